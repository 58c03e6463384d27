package drakkar

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Header is one header of a Kafka record. Keys may repeat, and may hold any
// bytes: its JSON keeps them as that of [Bytes] does.
type Header struct {
	Key   string
	Value Bytes
}

// headerJSON is Header as it travels.
type headerJSON struct {
	Key   Bytes `json:"k"`
	Value Bytes `json:"v"`
}

// MarshalJSON implements json.Marshaler.
func (h Header) MarshalJSON() ([]byte, error) {
	return json.Marshal(headerJSON{Key: nonNil([]byte(h.Key)), Value: h.Value})
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *Header) UnmarshalJSON(data []byte) error {
	var w headerJSON
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("decoding header: %w", err)
	}
	h.Key, h.Value = string(w.Key), w.Value
	return nil
}

// Record is a Kafka record as it was read, before any decoding.
type Record struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`

	// Key is nil when the record has none.
	Key Bytes `json:"key,omitempty"`

	// Value is nil for a tombstone, which differs from an empty value.
	Value Bytes `json:"value"`

	Headers []Header `json:"headers,omitempty"`

	// Timestamp is Kafka's: of creation or of append, as the topic says.
	// It is the zero time when the record has none.
	Timestamp time.Time `json:"ts,omitzero"`
}

// String names the record as logs and errors do: topic/partition@offset.
func (r Record) String() string {
	return r.Topic + "/" + strconv.Itoa(int(r.Partition)) + "@" + strconv.FormatInt(r.Offset, 10)
}

// Message is a record with its decoded payload.
type Message[In any] struct {
	Record

	// Payload is the decoded value. It is the zero value for a tombstone and
	// when PayloadErr is set.
	Payload In

	// PayloadErr says why the value could not be decoded. A handler sees such
	// a message only with the setting on_parse_error: pass.
	PayloadErr error

	tasks *int // how many tasks were made from this message, for their ids
}

// Tombstone reports whether the record had a null value.
func (m Message[In]) Tombstone() bool { return m.Value == nil }

// Task returns a task for this message: its source offset is set, and its id
// is "<partition>-<offset>-<n>", n counting the tasks made from this message
// in this window. An Arrange which makes the same tasks in the same order
// therefore gives them the same ids, which is what keeps deliveries
// recognisable after a crash.
func (m Message[In]) Task(args ...string) Task {
	n := 0
	if m.tasks != nil {
		n = *m.tasks
		*m.tasks++
	}
	return Task{
		ID:            fmt.Sprintf("%d-%d-%d", m.Partition, m.Offset, n),
		Args:          args,
		SourceOffsets: []int64{m.Offset},
	}
}

// Window is one to many consecutive messages of one partition, handed to one
// Arrange.
type Window[In any] struct {
	Topic     string
	Partition int32

	// Messages are in the order of their offsets. Offsets may have gaps.
	Messages []Message[In]

	pending func(context.Context) ([]Task, error)
}

// Pending returns the tasks of this partition which are not finished yet, in
// windows opened before this one. They are asked for only when it is called:
// one query to Temporal for each open window.
func (w Window[In]) Pending(ctx context.Context) ([]Task, error) {
	if w.pending == nil {
		return nil, nil
	}
	return w.pending(ctx)
}
