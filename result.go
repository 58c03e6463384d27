package drakkar

import (
	"fmt"
	"time"
)

// Result is what one attempt of a task left behind.
type Result struct {
	// Task is the task that ran.
	Task Task `json:"-"`

	// ExitCode is the program's, or -1 when it did not end by itself: killed
	// by a signal, timed out, not started. Of a resident program it is what the
	// program answered, or -1 when it gave no answer.
	ExitCode int `json:"exit_code"`

	// Stdout and Stderr hold at most executor.max_output_bytes each. The
	// program was never blocked by that limit; what came after it is dropped
	// and the Truncated field says so. It is also set when something that the
	// program had started kept the pipe open until it was let go.
	Stdout          Bytes `json:"stdout,omitempty"`
	Stderr          Bytes `json:"stderr,omitempty"`
	StdoutTruncated bool  `json:"stdout_truncated,omitempty"`
	StderrTruncated bool  `json:"stderr_truncated,omitempty"`

	// StartedAt and Duration are of this attempt, without its wait for a slot.
	StartedAt time.Time     `json:"started_at,omitzero"`
	Duration  time.Duration `json:"duration"`

	// PID is 0 when no program was started.
	PID int `json:"pid,omitempty"`

	// Attempt counts from 1.
	Attempt int `json:"attempt,omitempty"`
}

// TaskErrorKind says how a task failed.
type TaskErrorKind string

const (
	// TaskExit means that the program ended with another exit code than 0,
	// or by a signal; of a resident program, that it answered with such a
	// code, ended without an answer, or broke the protocol.
	TaskExit TaskErrorKind = "exit"

	// TaskTimeout means that the program ran longer than its timeout and was
	// ended, or that a resident program was not ready in time. Its output up to
	// then is kept.
	TaskTimeout TaskErrorKind = "timeout"

	// TaskStart means that the program could not be started: it is not
	// executable, an argument holds a NUL byte, or it is missing wherever it was
	// tried for 42 s. Another attempt would fail in the same way. A host
	// that is short of something fails no task: it is tried again until it
	// starts.
	TaskStart TaskErrorKind = "start"

	// TaskExecute means that Execute, the handler's own Go, returned an error
	// or panicked.
	TaskExecute TaskErrorKind = "execute"
)

// TaskError says why an attempt failed. It is an error.
type TaskError struct {
	Kind TaskErrorKind `json:"kind"`

	// Message is one line for people.
	Message string `json:"message"`

	// Result is what there is of the attempt: exit code, output so far, PID.
	Result Result `json:"result"`
}

// Error implements error.
func (e TaskError) Error() string {
	return fmt.Sprintf("task %s: %s", e.Result.Task.ID, e.Message)
}

// MessageGroup is a message with everything that came of it, once each of its
// tasks is settled.
type MessageGroup[In any] struct {
	Message Message[In]

	// Tasks are all tasks that were ever scheduled for the message, those
	// which were replaced included.
	Tasks []Task

	// Results are those of the tasks that succeeded, in the order of their
	// completion.
	Results []Result

	// Errors are the final failures: retries are not counted, and a task that
	// was replaced is not one.
	Errors []TaskError

	// StartedAt is when the message's window was arranged, FinishedAt when
	// its last task settled.
	StartedAt  time.Time
	FinishedAt time.Time
}

// Total is the number of tasks ever scheduled for the message.
func (g MessageGroup[In]) Total() int { return len(g.Tasks) }

// Succeeded is the number of tasks which succeeded.
func (g MessageGroup[In]) Succeeded() int { return len(g.Results) }

// Failed is the number of tasks which failed for good.
func (g MessageGroup[In]) Failed() int { return len(g.Errors) }

// Replaced is the number of tasks which OnError replaced by others.
func (g MessageGroup[In]) Replaced() int {
	return max(0, g.Total()-g.Succeeded()-g.Failed())
}

// AllSucceeded reports whether there was a success and no failure.
func (g MessageGroup[In]) AllSucceeded() bool { return g.Failed() == 0 && g.Succeeded() > 0 }

// AnyFailed reports whether a task failed for good.
func (g MessageGroup[In]) AnyFailed() bool { return g.Failed() > 0 }

// IsEmpty reports whether Arrange made no task for the message.
func (g MessageGroup[In]) IsEmpty() bool { return g.Total() == 0 }

// Duration is the time from StartedAt to FinishedAt, never negative.
func (g MessageGroup[In]) Duration() time.Duration {
	return max(0, g.FinishedAt.Sub(g.StartedAt))
}
