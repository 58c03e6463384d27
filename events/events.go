// Package events is the one seam through which every step reports what it did.
//
// A step builds one typed event and hands it to a Recorder, once. Metrics, logs
// and the flight recorder are Recorders; nothing else counts or logs the
// course of a message. Names are those an operator of the seed product knows.
package events

import (
	"time"

	"github.com/drakkar-go/drakkar"
)

// Event is one of the types of this package.
type Event interface {
	// EventName is the event's name in logs and in the flight recorder.
	EventName() string
}

// Recorder takes events. Record is called by many goroutines at the same time,
// must not block, and must not keep the event's slices and maps.
type Recorder interface {
	Record(e Event)
}

// RecorderFunc is a function as a Recorder.
type RecorderFunc func(Event)

// Record calls f.
func (f RecorderFunc) Record(e Event) { f(e) }

// Tee hands each event to all recorders, in order.
func Tee(rs ...Recorder) Recorder {
	return RecorderFunc(func(e Event) {
		for _, r := range rs {
			r.Record(e)
		}
	})
}

// Discard drops every event.
var Discard Recorder = RecorderFunc(func(Event) {})

// Sink names an instance of a sink: type kafka, name results.
type Sink struct {
	Type string
	Name string
}

// At is a place in the source: where an event happened.
type At struct {
	Topic     string
	Partition int32
	Offset    int64
}

// ---- ingest ----

// Consumed: a message was read and queued.
type Consumed struct {
	At
	Bytes int
}

// Assigned: partitions were assigned to this process.
type Assigned struct {
	Topic      string
	Partitions []int32
}

// Revoked: partitions were taken away, or lost.
type Revoked struct {
	Topic      string
	Partitions []int32
	Lost       bool
}

// AssignmentReady: the chain of a partition was walked and reading begins.
type AssignmentReady struct {
	At      // Offset is where reading begins
	Epoch   string
	Adopted int // windows taken over
	// NewEpoch says why a new epoch was begun; empty when the old one goes on.
	NewEpoch string
	Took     time.Duration
}

// WindowStarted: a window's workflow was started, or one that another owner
// had started was adopted.
type WindowStarted struct {
	At       // Offset is the window's start
	Workflow string
	Last     int64
	Messages int
	Bytes    int
	Adopted  bool
	Took     time.Duration // to the server's acknowledgement
}

// WindowFinished: a window's workflow ended well and its messages are done.
type WindowFinished struct {
	At
	Workflow     string
	Last         int64
	Messages     int
	Tasks        int
	Failed       int
	Delivered    int
	DeadLettered int
	Skipped      int
	Took         time.Duration // since its start was acknowledged or it was adopted
}

// WindowRerun: a window that was terminated or failed was reset.
type WindowRerun struct {
	At
	Workflow string
	Reason   string
	Run      int // counts from 1
}

// WindowReread: a window that was gone from Temporal was read again from the
// topic and started again, with what is not known to be done.
type WindowReread struct {
	At
	Workflow string
	Last     int64
	Messages int // started again
	// Gone is how many messages of the window the topic does not hold any more,
	// at most: some may have been done. Nothing can bring them back; it is an
	// alarm.
	Gone int
	Took time.Duration
}

// WindowDeadLettered: what is left of a window goes to the dead letter queue,
// because it was run again too often or got too old.
type WindowDeadLettered struct {
	At
	Workflow string
	Last     int64
	Reason   string
}

// WorkflowTaskFailed: a step of a workflow could not be made, and Temporal tries
// it again: the code is not the one that the history was made with
// (NonDeterminismError), or has panicked (WorkflowError). The workflow stands
// still meanwhile, others go on. Which one it is says the log of Temporal's SDK.
type WorkflowTaskFailed struct {
	Workflow string // the workflow's type
	Reason   string
}

// WindowOverdue: a window is open for longer than windows.max_age. It is an
// alarm, recorded once by each process that follows it.
type WindowOverdue struct {
	At
	Workflow string
	Last     int64
	Age      time.Duration
}

// OldWindowsCancelled: open windows of former epochs of a partition were ended
// because reset.cancel_old asks for it.
type OldWindowsCancelled struct {
	At      // Offset is where the new epoch is read from
	Epoch   string
	Windows int
}

// Committed: Kafka has accepted an offset.
type Committed struct {
	At   // Offset is the next one to be read
	Took time.Duration
}

// CommitFailed: Kafka has not accepted an offset; it is committed again.
type CommitFailed struct {
	At
	Err error
}

// Paused and Resumed: a partition was paused or resumed because of what is
// queued.
type Paused struct{ At }

// Resumed is the counterpart of Paused.
type Resumed struct{ At }

// ConsumerError: the Kafka client reported an error. It goes on by itself
// unless Fatal.
type ConsumerError struct {
	Err   error
	Fatal bool
}

// OffsetsSkipped: messages were lost before they could be read, because the
// topic's retention passed them. Nothing can bring them back; it is an alarm.
type OffsetsSkipped struct {
	At      // Offset is the first that is gone
	Next    int64
	Because string
}

// IngestFailed: a step of reading or of following windows failed. It is
// repeated after a pause, unless Stuck: then someone has to act, and the
// partition's offset waits meanwhile.
type IngestFailed struct {
	At       // Partition is -1 when the step is not about one
	Workflow string
	Doing    string // "starting the window", ...
	Err      error
	Stuck    bool
}

// QueueDepth is a reading, taken each second: what waits in this process.
type QueueDepth struct {
	Messages, Bytes, OpenWindows, Partitions int
	PerPartition                             []PartitionDepth
}

// PartitionDepth is one partition of a QueueDepth.
type PartitionDepth struct {
	Topic     string
	Partition int32
	Messages  int
	// Uncommitted is how many offsets were read and are not committed yet.
	Uncommitted int64
	// Lag is the log's end less the committed offset; -1 when unknown.
	Lag int64
	// OldestWindow is the age of the oldest window that is not finished.
	OldestWindow time.Duration
}

// ---- hooks ----

// ParseFailed: a message's value could not be decoded.
type ParseFailed struct {
	At
	Policy string
	Err    error
}

// Arranged: the arrange hook returned.
type Arranged struct {
	At       // Offset is the window's first message
	Workflow string
	Messages int
	Tasks    int
	Labels   []string
	Offsets  []int64
	TaskIDs  []string
	Took     time.Duration
}

// HookRan: any hook returned, well or not. Hook is its name: arrange,
// on_task_complete, on_error, on_message_complete, on_window_complete,
// on_delivery_error, deserialize, task_priority, on_assign, on_revoke.
type HookRan struct {
	Hook string
	At
	TaskID string
	Took   time.Duration
	Err    error
}

// TaskComplete: on_task_complete returned.
type TaskComplete struct {
	At
	TaskID  string
	Outputs int
	Took    time.Duration
}

// MessageComplete: on_message_complete returned.
type MessageComplete struct {
	At
	Tasks, Succeeded, Failed, Replaced, Outputs int
	Took                                        time.Duration
}

// WindowComplete: on_window_complete returned.
type WindowComplete struct {
	At
	Workflow string
	Tasks    int
	Outputs  int
	Took     time.Duration
}

// Annotated: a hook attached a note. Dropped is set when it was too large.
type Annotated struct {
	drakkar.Annotation
	Dropped bool
}

// ---- tasks ----

// TaskStarted: a task holds its slot and begins to run.
type TaskStarted struct {
	At          // Offset is the task's lowest
	Task        drakkar.Task
	Attempt     int
	Slot        int // -1 for a precomputed task
	Waited      time.Duration
	Precomputed bool
	Active      int // slots in use
	Waiting     int // tasks waiting for a slot
}

// TaskCompleted: an attempt succeeded.
type TaskCompleted struct {
	At
	Result      drakkar.Result
	Precomputed bool
	Active      int
	Waiting     int
}

// TaskFailed: an attempt failed. Final is false when it will be repeated or
// was replaced.
type TaskFailed struct {
	At
	Error       drakkar.TaskError
	Action      string // retry, skip, replace, dead_letter; postponed when the host could not start it
	Precomputed bool
	Active      int
	Waiting     int
}

// OrphanKilled: a process that had left its task's process group was ended.
type OrphanKilled struct{ PID int }

// ResidentStarted: a program that takes task after task was started and is
// ready.
type ResidentStarted struct {
	PID    int
	Binary string
	Took   time.Duration // until it was ready
}

// ResidentEnded: a program that takes task after task is gone. One that was
// never ready ends without having started.
type ResidentEnded struct {
	PID    int
	Binary string
	// Reason is max_tasks or max_memory when it was replaced, evicted when its
	// room was needed for another program, stopped with the pool, interrupted
	// with a task that timed out or was cancelled, protocol when it broke the
	// protocol, exited when it ended by itself.
	Reason string
	// Detail is what is known of the reasons protocol and exited, one line.
	Detail string
	Ready  bool // it has been ready
	Tasks  int  // answered
	Lived  time.Duration
	// Unclaimed is how many bytes it wrote to stderr between tasks. They are in
	// no result.
	Unclaimed int64
}

// ---- delivery ----

// Produced: a payload has arrived.
type Produced struct {
	At
	ID     string
	Sink   Sink
	Target string
}

// SinkDelivered: a batch, or what was good of it, has arrived.
type SinkDelivered struct {
	Sink     Sink
	Payloads int
	Took     time.Duration
}

// SinkError: payloads of a batch were refused. Attempt 0 is one that the breaker
// kept back.
type SinkError struct {
	Sink     Sink
	Class    string
	Payloads int
	Attempt  int
	Err      error
}

// SinkRetry: refused payloads will be delivered again after a pause. Held says
// that they were not tried, since the breaker is open.
type SinkRetry struct {
	Sink     Sink
	Payloads int
	After    time.Duration
	Held     bool
}

// SinkSkipped: on_delivery_error dropped payloads.
type SinkSkipped struct {
	Sink     Sink
	Payloads int
	Err      error
}

// BreakerChanged: a sink's circuit breaker changed its state.
type BreakerChanged struct {
	Sink  Sink
	State string // closed, half_open, open
}

// DeadLettered: a payload or a message is in the dead letter queue.
type DeadLettered struct {
	At
	ID    string
	Sink  Sink // zero for messages and tasks
	Class string
	Err   string
}

// DLQFailed: the dead letter queue did not accept entries. They are written
// again for as long as it takes, and the watermark waits.
type DLQFailed struct {
	Entries int
	Attempt int
	Err     error
}

// ---- process ----

// PeriodicRun: a periodic ran.
type PeriodicRun struct {
	Task string
	Took time.Duration
	Err  error
	// Stopped is set when the error ended the periodic.
	Stopped bool
}

// RecorderPanicked: a Recorder of the author's own panicked. The event passed it
// by.
type RecorderPanicked struct {
	// Event is the name of the event that it was given.
	Event string
	Value string // what it panicked with
	// Stack is where, the first time only.
	Stack string
}

// PoolState is a reading, taken each second.
type PoolState struct {
	Slots, Active, Waiting int
}
