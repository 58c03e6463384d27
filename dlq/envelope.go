// Package dlq is the dead letter queue: a Kafka topic that receives what could
// not be worked on or delivered, with everything that is needed to look into it
// and to play it again.
//
// Each dead letter is one record. Its value is an Envelope as JSON, its key is
// the key of the source message, and its headers repeat what tools filter by.
package dlq

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/sinks"
)

// Version of the envelopes which this package writes. It reads no other.
const Version = 1

// Kind says what a dead letter is about.
type Kind string

const (
	// KindPayload is a payload that its sink did not take.
	KindPayload Kind = "payload"
	// KindMessage is a message that could not be worked on: it does not parse,
	// or a hook failed on it.
	KindMessage Kind = "message"
	// KindTask is a task that failed for good.
	KindTask Kind = "task"
)

// Envelope is one dead letter. Its JSON keeps every byte of values, keys,
// arguments and output, whether they are UTF-8 or not, and tells nil from
// empty.
type Envelope struct {
	V int `json:"v"`

	// ID is the delivery id of a payload. Messages and tasks have ids of the
	// same form. Writing one ID twice means the same dead letter twice.
	ID   string `json:"id"`
	Kind Kind   `json:"kind"`

	// FirstFailed and LastFailed are of the first and of the last attempt.
	// Written is when the dead letter was made.
	FirstFailed time.Time `json:"first_failed,omitzero"`
	LastFailed  time.Time `json:"last_failed,omitzero"`
	Written     time.Time `json:"written,omitzero"`

	// Pipeline and Workflow say who gave up: the workflow is the window's.
	Pipeline string `json:"pipeline,omitempty"`
	Workflow string `json:"workflow,omitempty"`

	// Class is a short word for the reason, fit for filters: permanent,
	// transient, parse, arrange, ...
	Class string `json:"class"`
	// Error is one for people, without secrets.
	Error    string `json:"error"`
	Attempts int    `json:"attempts,omitempty"`

	// Payload is there for KindPayload: exactly what the sink was given.
	Payload *sinks.Payload `json:"payload,omitempty"`
	// PayloadMissing says why parts of Payload are not there.
	PayloadMissing string `json:"payload_missing,omitempty"`

	// Source is the message this came of.
	Source Source `json:"source"`

	// Task is there when a task failed, or returned the payload.
	Task *Task `json:"task,omitempty"`
}

// Source is the message a dead letter came of.
type Source struct {
	Topic string `json:"topic"`
	// TopicID are a few characters of the topic's id.
	TopicID   string `json:"topic_id,omitempty"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`

	Key     drakkar.Bytes    `json:"key"`
	Value   drakkar.Bytes    `json:"value"`
	Headers []drakkar.Header `json:"headers,omitempty"`

	// Timestamp is zero when the message has none, or one that JSON cannot hold:
	// before the year 0 or after 9999.
	Timestamp time.Time `json:"ts,omitzero"`

	// ValueMissing says why Value, and perhaps Key and Headers, are not there.
	// The coordinates still name the record, for as long as its topic keeps it.
	ValueMissing string `json:"value_missing,omitempty"`
}

// Task is a task and what its last attempt left.
type Task struct {
	Task drakkar.Task `json:"task"`

	// Kind, Message and ExitCode are of the last failure. Kind is empty when
	// the task did not fail.
	Kind     drakkar.TaskErrorKind `json:"kind,omitempty"`
	Message  string                `json:"message,omitempty"`
	ExitCode int                   `json:"exit_code,omitempty"`

	// Stdout and Stderr are the ends of the output. Cut is set when there was
	// more of it.
	Stdout drakkar.Bytes `json:"stdout,omitzero"`
	Stderr drakkar.Bytes `json:"stderr,omitzero"`
	Cut    bool          `json:"cut,omitempty"`
}

// maxExcerpt is how many bytes of each output stream a dead letter keeps.
const maxExcerpt = 16 << 10

// NewTask describes a task and its last failure, or nil when it did not fail.
// Of the output it keeps the last 16 KiB of each stream.
func NewTask(t drakkar.Task, failure *drakkar.TaskError) *Task {
	d := &Task{Task: t}
	if failure == nil {
		return d
	}
	r := failure.Result
	d.Kind, d.Message, d.ExitCode = failure.Kind, failure.Message, r.ExitCode
	d.Stdout, d.Stderr = r.Stdout, r.Stderr
	d.Cut = r.StdoutTruncated || r.StderrTruncated
	d.cut(maxExcerpt)
	return d
}

// cut leaves the last n bytes of each stream.
func (t *Task) cut(n int) {
	for _, stream := range []*drakkar.Bytes{&t.Stdout, &t.Stderr} {
		if len(*stream) > n {
			*stream, t.Cut = (*stream)[len(*stream)-n:], true
		}
	}
}

// Encode returns the envelope as JSON. It sets V, and leaves out times that JSON
// cannot hold: a producer that counts in microseconds makes messages of the year
// 58000.
func (e Envelope) Encode() ([]byte, error) {
	e.V = Version
	for _, t := range []*time.Time{&e.FirstFailed, &e.LastFailed, &e.Written, &e.Source.Timestamp} {
		if y := t.UTC().Year(); y < 0 || y > 9999 {
			*t = time.Time{}
		}
	}
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encoding dead letter %s: %w", e.ID, err)
	}
	return data, nil
}

// Decode is the inverse of Encode. It refuses what is not an envelope, and
// envelopes of a version or kind that it does not know.
func Decode(data []byte) (Envelope, error) {
	var e Envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return Envelope{}, fmt.Errorf("decoding dead letter: %w", err)
	}
	if err := e.check(); err != nil {
		return Envelope{}, fmt.Errorf("decoding dead letter: %w", err)
	}
	return e, nil
}

func (e Envelope) check() error {
	switch {
	case e.V == 0:
		return errors.New("it is not one: the field v is missing")
	case e.V != Version:
		return fmt.Errorf("its version is %d and this program reads version %d: use the release that wrote it, or a later one", e.V, Version)
	}
	switch e.Kind {
	case KindMessage, KindTask:
		return nil
	case KindPayload:
		if e.Payload == nil {
			return errors.New("it is about a payload and has none")
		}
		return nil
	}
	return fmt.Errorf("its kind %q is unknown", e.Kind)
}
