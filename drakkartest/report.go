package drakkartest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/drakkar-go/drakkar"
)

// Report is what came of a window.
type Report struct {
	// Tasks are all tasks that were ever scheduled: those of Arrange in its
	// order, then replacements.
	Tasks []drakkar.Task

	// Results are those of the tasks that succeeded, in the order of their
	// completion.
	Results []drakkar.Result

	// Errors are the failures of tasks that were final: skipped or
	// dead-lettered.
	Errors []drakkar.TaskError

	// Failures are all attempts that failed, with what became of them.
	Failures []Failure

	// Groups are the messages with everything that came of them, whether or
	// not the handler has OnMessageComplete. Message.Payload is left out.
	Groups []drakkar.MessageGroup[any]

	// Outputs are the payloads of all hooks: those of tasks, then of messages,
	// then of the window.
	Outputs        drakkar.CollectResult
	TaskOutputs    drakkar.CollectResult
	MessageOutputs drakkar.CollectResult
	WindowOutputs  drakkar.CollectResult

	// HookErrors are errors and panics of hooks, and payloads that cannot be
	// encoded. Production calls the hook again, up to hooks.max_attempts
	// times; here it is called once, and its messages are dead-lettered.
	HookErrors []error

	// DeadLetters are messages and tasks that would be in the dead letter
	// queue.
	DeadLetters []DeadLetter

	// Annotations are the notes of hooks.
	Annotations []drakkar.Annotation
}

// Failure is an attempt that failed.
type Failure struct {
	Error   drakkar.TaskError
	Attempt int // from 1

	// Action is retry, skip, replace or dead_letter.
	Action string

	// After is the pause that Retry asked for; 0 is that of the policy.
	After time.Duration
}

// DeadLetter is a message or a task that was given up.
type DeadLetter struct {
	// Offset is the message, or the task's lowest.
	Offset int64

	// TaskID is empty for messages.
	TaskID string

	Err error
}

// Error implements error.
func (d DeadLetter) Error() string {
	if d.TaskID != "" {
		return fmt.Sprintf("task %s is dead-lettered: %s", d.TaskID, d.Err)
	}
	return fmt.Sprintf("message %d is dead-lettered: %s", d.Offset, d.Err)
}

// Unwrap returns why.
func (d DeadLetter) Unwrap() error { return d.Err }

// Err joins all errors of hooks, final failures of tasks and dead letters; nil
// when there are none.
func (r *Report) Err() error {
	var errs []error
	errs = append(errs, r.HookErrors...)
	for _, e := range r.Errors {
		errs = append(errs, e)
	}
	for _, d := range r.DeadLetters {
		errs = append(errs, d)
	}
	return errors.Join(errs...)
}

// RequireNoErrors fails the test unless all hooks and tasks went well. Attempts
// that failed and were repeated or replaced are fine.
func (r *Report) RequireNoErrors(t testing.TB) {
	t.Helper()
	if err := r.Err(); err != nil {
		t.Fatalf("the window did not go well:\n%v", err)
	}
}

func merge(rs ...drakkar.CollectResult) (out drakkar.CollectResult) {
	for _, r := range rs {
		out.Kafka = append(out.Kafka, r.Kafka...)
		out.Postgres = append(out.Postgres, r.Postgres...)
		out.Mongo = append(out.Mongo, r.Mongo...)
		out.HTTP = append(out.HTTP, r.HTTP...)
		out.Redis = append(out.Redis, r.Redis...)
		out.Files = append(out.Files, r.Files...)
		out.Custom = append(out.Custom, r.Custom...)
	}
	return out
}
