package exechandler

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/drakkar-go/drakkar"
)

// luggageKey is the key of Task.Metadata that the handler uses.
const luggageKey = "exec"

// luggage is what a task carries to its hooks, which see the task alone: the
// parts of the message that templates of deliver refer to, and what became of
// the program when a further exit code means success.
type luggage struct {
	// Value and Key are nil when the message has none, or nobody asks.
	Value     drakkar.Bytes    `json:"value,omitzero"`
	Key       drakkar.Bytes    `json:"key,omitzero"`
	Headers   []drakkar.Header `json:"headers,omitempty"`
	Timestamp time.Time        `json:"timestamp,omitzero"`
	Topic     string           `json:"topic,omitempty"`
	Partition int32            `json:"partition,omitempty"`

	// Unrenderable marks a task that stands for a message which the command
	// could not be rendered for.
	Unrenderable bool `json:"unrenderable,omitempty"`

	// ExitCode and Truncated are the program's, of a task that was replaced by
	// its own success.
	ExitCode  int  `json:"exit_code,omitempty"`
	Truncated bool `json:"truncated,omitempty"`
}

// pack takes from a message what is used of it.
func pack(m drakkar.Message[any], used fields) luggage {
	var l luggage
	if used[fieldValue] || used["Raw"] {
		l.Value = m.Value
	}
	if used[fieldKey] {
		l.Key = m.Key
	}
	if used["Header"] {
		l.Headers = m.Headers
	}
	if used["Timestamp"] {
		l.Timestamp = m.Timestamp
	}
	if used["Topic"] {
		l.Topic = m.Topic
	}
	if used["Partition"] {
		l.Partition = m.Partition
	}
	return l
}

// carry puts it into the task, unless there is nothing to carry.
func carry(t *drakkar.Task, l luggage) {
	data, err := json.Marshal(l)
	if err != nil || string(data) == "{}" { // its types cannot fail
		return
	}
	t.Metadata = map[string]any{luggageKey: json.RawMessage(data)}
}

// luggageOf reads what the task carries. It has travelled as JSON since, and is
// a map of what JSON knows.
func luggageOf(t drakkar.Task) (l luggage, err error) {
	data, err := json.Marshal(t.Metadata[luggageKey])
	if err != nil {
		return l, fmt.Errorf("reading what task %s carries: %w", t.ID, err)
	}
	if err := json.Unmarshal(data, &l); err != nil {
		return l, fmt.Errorf("reading what task %s carries: %w", t.ID, err)
	}
	return l, nil
}

// record is the message as far as it was carried.
func (l luggage) record(t drakkar.Task) drakkar.Record {
	r := drakkar.Record{
		Topic: l.Topic, Partition: l.Partition, Key: l.Key, Value: l.Value,
		Headers: l.Headers, Timestamp: l.Timestamp,
	}
	if len(t.SourceOffsets) > 0 {
		r.Offset = t.SourceOffsets[0]
	}
	return r
}
