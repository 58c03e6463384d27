package drakkar

import (
	"context"
	"time"
)

// Handler is what every pipeline has. In is the type of a decoded message:
// any type that encoding/json can fill. []byte, [Bytes] and string receive the
// value as it is.
type Handler[In any] interface {
	// Arrange turns a window of messages into tasks. A message may get no
	// task, and a task may serve several messages of the window. It is called
	// once for each window, for several windows at the same time.
	//
	// After an error, or a panic, it is called again with a growing pause, up
	// to hooks.max_attempts times. Then the window is split in halves until
	// the message that cannot be arranged stands alone; that one is
	// dead-lettered and the others go on.
	Arrange(ctx context.Context, w Window[In]) ([]Task, error)
}

// TaskCompleter is implemented by handlers that turn the result of a task into
// payloads.
type TaskCompleter interface {
	// OnTaskComplete is called when a task has succeeded, on the worker that
	// ran it, so files which the program left behind are there. When it keeps
	// failing for hooks.max_attempts, the task's messages are dead-lettered.
	OnTaskComplete(ctx context.Context, r Result) (CollectResult, error)
}

// MessageCompleter is implemented by handlers that look at all results of a
// message together.
type MessageCompleter[In any] interface {
	// OnMessageComplete is called once for each message when its last task has
	// settled, and also for messages without tasks. When it keeps failing for
	// hooks.max_attempts, the message is dead-lettered.
	OnMessageComplete(ctx context.Context, g MessageGroup[In]) (CollectResult, error)
}

// WindowCompleter is implemented by handlers that look at a whole window.
type WindowCompleter[In any] interface {
	// OnWindowComplete is called once when all tasks of the window have
	// settled and all of its message hooks have run, also for windows without
	// tasks. Results are those of tasks that succeeded. Its payloads are
	// delivered before the offsets of the window's last messages are
	// committed.
	OnWindowComplete(ctx context.Context, results []Result, messages []Message[In]) (CollectResult, error)
}

// ErrorHandler is implemented by handlers that decide about failed tasks.
// Without it a failed task is repeated as its retry policy says, unless it
// could not be started at all, and is then dead-lettered.
type ErrorHandler interface {
	// OnError is called for each failed attempt.
	OnError(ctx context.Context, t Task, e TaskError) ErrorAction
}

// DeliveryErrorHandler is implemented by handlers that decide about payloads
// which a sink refused for good, or could not take within its retry policy.
// Without it they are dead-lettered.
type DeliveryErrorHandler interface {
	OnDeliveryError(ctx context.Context, e DeliveryError) DeliveryAction
}

// Executor is implemented by handlers that run tasks in Go instead of as a
// subprocess. A call holds a slot and ctx ends at the task's timeout, like a
// subprocess.
type Executor interface {
	// Execute returns what the task produced. An error fails the task with
	// the kind TaskExecute; so does an ExitCode other than 0, with TaskExit.
	Execute(ctx context.Context, t Task) (Result, error)
}

// Deserializer is implemented by handlers that decode messages themselves. It
// is not called for tombstones.
type Deserializer[In any] interface {
	Deserialize(ctx context.Context, r Record) (In, error)
}

// Labeler is implemented by handlers that name messages in events, which a
// program's own events.Recorder is given; logs do not hold it. The default is
// "partition:offset".
type Labeler[In any] interface {
	MessageLabel(m Message[In]) string
}

// Prioritizer is implemented by handlers that order the tasks which wait for a
// slot: the smaller goes first. It is asked for tasks without a Priority of
// their own. A panic is counted, and the priority is 0.
type Prioritizer interface {
	TaskPriority(t Task) float64
}

// AssignHandler is implemented by handlers that want to know about assigned
// partitions. It runs on one executor, once for each rebalance, possibly after
// the first windows of these partitions.
type AssignHandler interface {
	OnAssign(ctx context.Context, topic string, partitions []int32) error
}

// RevokeHandler is the counterpart of AssignHandler for partitions that were
// revoked or lost.
type RevokeHandler interface {
	OnRevoke(ctx context.Context, topic string, partitions []int32) error
}

// PeriodicRunner is implemented by handlers with work on a timer. Every
// executor runs it, beside the stream.
type PeriodicRunner interface {
	Periodics() []Periodic
}

// Periodic is work on a timer.
type Periodic struct {
	// Name is shown in metrics and logs. Required.
	Name string

	// Every is the pause from the end of one run to the start of the next, so
	// runs never overlap. Required.
	Every time.Duration

	// Run does the work. A panic is an error.
	Run func(ctx context.Context) error

	// OnError says what an error means. Defaults to PeriodicContinue.
	OnError PeriodicOnError
}

// PeriodicOnError says what follows an error of a periodic.
type PeriodicOnError uint8

const (
	// PeriodicContinue logs the error and runs again at the next interval.
	PeriodicContinue PeriodicOnError = iota
	// PeriodicStop logs the error and does not run again.
	PeriodicStop
)
