package drakkar

import "time"

// ErrorAction is the answer of OnError. The zero value is [Skip].
type ErrorAction struct {
	kind  errorActionKind
	after time.Duration
	tasks []Task
}

type errorActionKind uint8

const (
	actionSkip errorActionKind = iota
	actionRetry
	actionReplace
	actionDeadLetter
)

// Retry runs the task again after a pause, which survives crashes. After 0
// takes the pause of the task's retry policy. When the attempts of that policy
// are used up, the failure is final and dead-lettered.
func Retry(after time.Duration) ErrorAction {
	return ErrorAction{kind: actionRetry, after: max(0, after)}
}

// Skip accepts the failure: the task is settled, its message goes on. It
// appears in MessageGroup.Errors and is not dead-lettered.
func Skip() ErrorAction { return ErrorAction{} }

// Replace settles the task by others, which inherit its source offsets when
// they name none. Replaced by nothing, it is just settled. The depth of
// replacements of replacements is bounded by executor.max_replacement_depth.
func Replace(tasks ...Task) ErrorAction {
	return ErrorAction{kind: actionReplace, tasks: tasks}
}

// DeadLetter makes the failure final at once: the task is settled as failed and
// dead-lettered, whatever attempts its retry policy has left.
func DeadLetter() ErrorAction { return ErrorAction{kind: actionDeadLetter} }

// IsRetry reports whether the action is Retry, and its pause.
func (a ErrorAction) IsRetry() (after time.Duration, ok bool) {
	return a.after, a.kind == actionRetry
}

// IsReplace reports whether the action is Replace, and the tasks.
func (a ErrorAction) IsReplace() (tasks []Task, ok bool) {
	return a.tasks, a.kind == actionReplace
}

// IsDeadLetter reports whether the action is DeadLetter.
func (a ErrorAction) IsDeadLetter() bool { return a.kind == actionDeadLetter }

// DeliveryAction is the answer of OnDeliveryError. The zero value is [DLQ].
type DeliveryAction struct {
	kind  deliveryActionKind
	after time.Duration
}

type deliveryActionKind uint8

const (
	deliveryDLQ deliveryActionKind = iota
	deliveryRetry
	deliverySkip
)

// DLQ writes the payloads to the dead letter queue.
func DLQ() DeliveryAction { return DeliveryAction{} }

// RetryDelivery delivers again after a pause, which survives crashes. After 0
// takes the pause of the sink's retry policy. A payload which was refused as
// often as that policy allows is dead-lettered.
func RetryDelivery(after time.Duration) DeliveryAction {
	return DeliveryAction{kind: deliveryRetry, after: max(0, after)}
}

// SkipDelivery drops the payloads: counted and logged, not dead-lettered.
func SkipDelivery() DeliveryAction { return DeliveryAction{kind: deliverySkip} }

// IsRetry reports whether the action is RetryDelivery, and its pause.
func (a DeliveryAction) IsRetry() (after time.Duration, ok bool) {
	return a.after, a.kind == deliveryRetry
}

// IsSkip reports whether the action is SkipDelivery.
func (a DeliveryAction) IsSkip() bool { return a.kind == deliverySkip }

// DeliveryError describes payloads that a sink instance did not accept, for
// OnDeliveryError.
type DeliveryError struct {
	// SinkType is kafka, postgres, mongo, http, redis or filesystem.
	SinkType string
	SinkName string

	// Message is the sink's error, without secrets.
	Message string

	// Permanent is true when the same payloads can never succeed, and false
	// when the retries of a transient error are used up.
	Permanent bool

	// Attempts made so far.
	Attempts int

	// Payloads are the refused ones, as the sink saw them.
	Payloads []RefusedPayload
}

// RefusedPayload is a payload as the sink saw it.
type RefusedPayload struct {
	// ID is the delivery id.
	ID string

	// Target is the topic, table, collection, key or path.
	Target string

	Value Bytes

	// Source is the message the payload came of; a task that served several
	// messages counts for the lowest offset.
	Source Source
}

// Source is where a payload came from.
type Source struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	// TaskID is empty for payloads of message and window hooks.
	TaskID string `json:"task,omitempty"`
}

// Error implements error.
func (e DeliveryError) Error() string {
	return "delivering to " + e.SinkType + ":" + e.SinkName + ": " + e.Message
}
