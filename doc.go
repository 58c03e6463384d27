// Package drakkar is what the author of a pipeline imports.
//
// Drakkar reads a Kafka topic, runs a CPU-heavy external program for each piece
// of work and delivers what the programs print to any mix of Kafka, PostgreSQL,
// MongoDB, Redis, HTTP and files. It commits an offset only when everything
// that came out of the message has arrived.
//
// An author writes a [Handler]. Only Arrange is required: it turns a window of
// messages into tasks, each one invocation of a program. Every further hook is
// an interface of one method which Drakkar looks for by assertion, the way
// net/http looks for http.Flusher:
//
//	TaskCompleter      OnTaskComplete      a task has succeeded
//	MessageCompleter   OnMessageComplete   all tasks of a message are settled
//	WindowCompleter    OnWindowComplete    all tasks of a window are settled
//	ErrorHandler       OnError             a task has failed
//	DeliveryErrorHandler OnDeliveryError   a sink has refused a payload
//	Executor           Execute             run the task in Go, not as a process
//	Deserializer       Deserialize         decode a message in another way
//	Labeler            MessageLabel        name a message in logs and pages
//	Prioritizer        TaskPriority        which task takes a free slot first
//	AssignHandler      OnAssign            partitions were assigned
//	RevokeHandler      OnRevoke            partitions were revoked
//	PeriodicRunner     Periodics           work on a timer, beside the stream
//
// # What a hook may rely on
//
// A hook can run again: after a crash, and when it returned an error. It must
// be repeatable. What it returned before the crash is not lost, and payloads
// carry ids which are the same at every repetition, so a repeated delivery
// can be recognised. A panic in a hook is an error of that hook. Hooks of
// different messages run at the same time; a handler with state of its own
// locks it.
package drakkar
