package drakkartest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/executor"
)

// Input is what a run is made of: messages and options, in any order.
type Input interface {
	apply(r *run) error
}

type inputFunc func(*run) error

func (f inputFunc) apply(r *run) error { return f(r) }

// MessageOption changes a message.
type MessageOption func(*drakkar.Record)

// Message is a message of the window. The value may be a string, []byte,
// drakkar.Bytes or json.RawMessage, which it holds as they are, nil, which
// makes it a tombstone, or anything else, as JSON. Its offset is one above that
// of the message before it, the first is 0.
func Message(value any, opts ...MessageOption) Input {
	return inputFunc(func(r *run) error {
		data, err := encode(value)
		if err != nil {
			return fmt.Errorf("encoding message %d: %w", len(r.records), err)
		}
		rec := drakkar.Record{Value: data, Offset: r.next}
		for _, o := range opts {
			o(&rec)
		}
		if rec.Offset < r.next {
			return fmt.Errorf("message %d has offset %d, and the one before it %d: offsets must rise", len(r.records), rec.Offset, r.next-1)
		}
		r.next = rec.Offset + 1
		r.records = append(r.records, rec)
		return nil
	})
}

func encode(value any) (drakkar.Bytes, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		return append(drakkar.Bytes{}, v...), nil
	case []byte:
		return v, nil
	case drakkar.Bytes:
		return v, nil
	case json.RawMessage:
		return drakkar.Bytes(v), nil
	}
	return json.Marshal(value)
}

// Offset sets the offset, which must be above that of the message before.
func Offset(offset int64) MessageOption {
	return func(r *drakkar.Record) { r.Offset = offset }
}

// Key sets the key.
func Key(key string) MessageOption {
	return func(r *drakkar.Record) { r.Key = append(drakkar.Bytes{}, key...) }
}

// Header adds a header.
func Header(key, value string) MessageOption {
	return func(r *drakkar.Record) {
		r.Headers = append(r.Headers, drakkar.Header{Key: key, Value: append(drakkar.Bytes{}, value...)})
	}
}

// Timestamp sets the timestamp.
func Timestamp(at time.Time) MessageOption {
	return func(r *drakkar.Record) { r.Timestamp = at }
}

// Partition is where the messages come from. Defaults to partition 0 of the
// topic "input".
func Partition(topic string, partition int32) Input {
	return inputFunc(func(r *run) error { r.topic, r.partition = topic, partition; return nil })
}

// Pending is what Window.Pending returns. Defaults to nothing.
func Pending(tasks ...drakkar.Task) Input {
	return inputFunc(func(r *run) error { r.pending = tasks; return nil })
}

// PassUnparsed hands messages that cannot be decoded to Arrange, as
// on_parse_error: pass does. Without it they are dead-lettered.
func PassUnparsed() Input {
	return inputFunc(func(r *run) error { r.pass = true; return nil })
}

// Binary is executor.binary_path: the program of tasks that name none.
func Binary(path string) Input {
	return inputFunc(func(r *run) error { r.binary = path; return nil })
}

// Resident runs programs as executor.mode: resident does, with executor.resident
// framing and args. Tasks that name a Mode keep it; without this option, those
// with drakkar.ModeResident use lines and no arguments.
func Resident(framing string, args ...string) Input {
	return inputFunc(func(r *run) error {
		r.mode, r.resident = drakkar.ModeResident, executor.Resident{Framing: framing, Args: args}
		return nil
	})
}

// Slots is how many programs run at the same time. Defaults to 4.
func Slots(n int) Input {
	return inputFunc(func(r *run) error { r.slots = n; return nil })
}

// Attempts is how often a task without a policy of its own runs. Defaults to 4,
// as executor.max_retries does.
func Attempts(n int) Input {
	return inputFunc(func(r *run) error { r.attempts = n; return nil })
}

// Runner runs the tasks instead of programs and of Execute, one after the
// other. A result with an exit code other than 0 is a failed task, and so is an
// error: a drakkar.TaskError as it is, any other as one of Execute.
func Runner(f func(drakkar.Task) (drakkar.Result, error)) Input {
	return inputFunc(func(r *run) error { r.runner = f; return nil })
}
