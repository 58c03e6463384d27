package workflows

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/sinks"
)

// Names of the activities a window calls.
const (
	ArrangeActivity   = "Arrange"
	ExecuteActivity   = "Execute"
	CollectActivity   = "Collect"
	DeliverActivity   = "Deliver"
	RebalanceActivity = "Rebalance"
)

// Types of application errors that activities return on purpose.
const (
	// ErrTypeHook is an error or a panic of a hook inside a local activity: it
	// is called again with a growing pause, by a regular one.
	ErrTypeHook = "HookError"

	// ErrTypeHalt is a message that cannot be decoded while on_parse_error is
	// halt: repeated for as long as it takes.
	ErrTypeHalt = "ParseHalt"

	// ErrTypeNotYet is what has to be tried again: a part that a sink or the
	// dead letter queue has not accepted, hooks, a batch of which every task
	// failed. Temporal repeats the activity after the pause it names.
	ErrTypeNotYet = "NotYet"

	// ErrTypeLost is an object of the blob store that is gone: repeating the
	// call cannot bring it back.
	ErrTypeLost = "BlobLost"
)

// Settings are the executor's settings as a window needs them. A window reads
// them once, at its start, and keeps them in its history, so that all of its
// steps agree whichever worker takes them.
type Settings struct {
	Hooks drakkar.Hooks `json:"hooks"`

	LocalArrange bool `json:"local_arrange"`
	LocalCollect bool `json:"local_collect"`

	HookMaxAttempts     int           `json:"hook_max_attempts"`
	HookInitialInterval time.Duration `json:"hook_initial_interval"`
	HookMaxInterval     time.Duration `json:"hook_max_interval"`
	HookTimeout         time.Duration `json:"hook_timeout"`

	// HeartbeatTimeout is how long a silent worker is waited for.
	HeartbeatTimeout time.Duration `json:"heartbeat_timeout"`
}

// WindowRef is what every activity is told about its window.
type WindowRef struct {
	Link
	TopicID string `json:"topic_id"`
	Last    int64  `json:"last"`

	// InlineLimit is how many bytes of a list may travel in the result.
	InlineLimit int `json:"inline_limit"`
}

// TaskSpec is a task with its place: what one attempt needs.
type TaskSpec struct {
	drakkar.Task

	// Index is the task's place among those of its lowest message, dotted for
	// replacements: part of the ids of its deliveries. That of a replacement
	// whose lowest message is another one begins with that of the task it
	// replaces, as in o100.0.1.
	Index string

	// Attempt is the number of the next attempt, from 1.
	Attempt int

	// Depth is how many replacements led to this task.
	Depth int

	// Lane names the tasks that run one after the other, in the order of their
	// batch; a replacement has the lane of the task it replaces. Empty is no
	// lane: such a task runs beside all others. A lane is never divided: at any
	// time all of its open tasks are in one batch, or wait for one hook.
	Lane string

	// FirstFailed is when the first attempt failed.
	FirstFailed time.Time

	// Postponed is how often the next attempt could not be made where it was
	// tried: the host had no such program, or was short of something.
	Postponed int
}

// taskSpecJSON is TaskSpec as it travels. Embedded, a Task would bring its own
// encoding along and hide the other fields.
type taskSpecJSON struct {
	Task        drakkar.Task `json:"task"`
	Index       string       `json:"index"`
	Attempt     int          `json:"attempt"`
	Depth       int          `json:"depth,omitempty"`
	Lane        string       `json:"lane,omitempty"`
	FirstFailed time.Time    `json:"first_failed,omitzero"`
	Postponed   int          `json:"postponed,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (s TaskSpec) MarshalJSON() ([]byte, error) {
	return json.Marshal(taskSpecJSON{
		Task: s.Task, Index: s.Index, Attempt: s.Attempt, Depth: s.Depth, FirstFailed: s.FirstFailed,
		Postponed: s.Postponed, Lane: s.Lane,
	})
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *TaskSpec) UnmarshalJSON(data []byte) error {
	var w taskSpecJSON
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("decoding task: %w", err)
	}
	*s = TaskSpec{
		Task: w.Task, Index: w.Index, Attempt: w.Attempt, Depth: w.Depth, FirstFailed: w.FirstFailed,
		Postponed: w.Postponed, Lane: w.Lane,
	}
	return nil
}

// Batch is the tasks of one Execute. The workflow never looks into Tasks: the
// counts are what it needs.
type Batch struct {
	Tasks  blobs.List[TaskSpec] `json:"tasks"`
	Counts Counts               `json:"counts,omitempty"`

	// New counts the tasks which the window does not know yet: replacements.
	// NewTasks is how many they are.
	New      Counts `json:"new,omitempty"`
	NewTasks int    `json:"new_tasks,omitempty"`

	// Here says that the executor which arranged has free slots: the batch goes
	// to the workflow's own queue, from which Temporal hands it to who has just
	// taken a step of the window, without another poll.
	Here bool `json:"here,omitempty"`

	// After is how long to wait before the batch runs.
	After time.Duration `json:"after,omitempty"`

	// Priority is Temporal's, 1 to 5, the smaller goes first.
	Priority int `json:"priority,omitempty"`

	// Summary is the line that Temporal's UI shows.
	Summary string `json:"summary,omitempty"`
}

// HookRetry is how often hooks are called, and the pauses between.
type HookRetry struct {
	MaxAttempts     int           `json:"max_attempts"`
	InitialInterval time.Duration `json:"initial_interval"`
	MaxInterval     time.Duration `json:"max_interval"`
}

// ArrangeInput is the messages of a window. As a local activity Arrange calls
// the hook once, and its error comes back. As a regular one it has itself
// repeated by Temporal, which adds nothing to the window's history, until the
// attempts are used up; then it splits the messages in halves until those that
// cannot be arranged stand alone, and makes letters of them.
type ArrangeInput struct {
	Window   WindowRef `json:"window"`
	Messages []Message `json:"messages"`
	Open     []string  `json:"open,omitempty"`

	// Attempts were made before.
	Attempts int       `json:"attempts,omitempty"`
	Retry    HookRetry `json:"retry,omitzero"`
}

// Plan is what Arrange made of messages.
type Plan struct {
	Batches []Batch `json:"batches,omitempty"`
	Tasks   int     `json:"tasks"`

	// Letters are messages that could not be decoded or arranged, and
	// LetterOffsets theirs. They have no tasks and no hooks.
	Letters       blobs.List[Letter] `json:"letters,omitzero"`
	LetterOffsets []Range            `json:"letter_offsets,omitempty"`
}

// ExecuteInput is one batch, without its counts: they are for the window.
type ExecuteInput struct {
	Window WindowRef `json:"window"`
	Batch  Batch     `json:"batch"`

	// Records asks for what became of each task, for message or window hooks.
	// RecordLimit is how many bytes of them may travel in the result.
	Records     bool `json:"records,omitempty"`
	RecordLimit int  `json:"record_limit,omitempty"`

	// MaxFollowUps is how many batches the replacements may make; 0 means 1.
	MaxFollowUps int `json:"max_follow_ups,omitempty"`

	// Patient asks to come back only when nothing is left to repeat or to
	// replace: the window has had as many batches as its history has room for.
	Patient bool `json:"patient,omitempty"`
}

// Outcome is what tasks, or calls of hooks, came to. The zero value is
// "nothing".
type Outcome struct {
	// Settled counts the tasks that need nothing further: succeeded, failed
	// for good, or replaced.
	Settled Counts `json:"settled,omitempty"`

	// FollowUps are attempts to repeat, replacements to run, and tasks that a
	// stopping worker handed back.
	FollowUps []Batch `json:"follow_ups,omitempty"`

	// Outputs are payloads to deliver.
	Outputs blobs.List[Output] `json:"outputs,omitzero"`

	// Records are what became of settled tasks, if they were asked for.
	Records blobs.List[TaskRecord] `json:"records,omitzero"`

	// Letters go to the dead letter queue; LetterOffsets are the messages that
	// wait for them.
	Letters       blobs.List[Letter] `json:"letters,omitzero"`
	LetterOffsets []Range            `json:"letter_offsets,omitempty"`

	// Buried are messages that are dead-lettered themselves, and not only a
	// task of theirs: no further hook is called for them.
	Buried []Range `json:"buried,omitempty"`

	// Calls are hooks that failed and are to be called again, durably.
	Calls Calls `json:"calls,omitzero"`

	Succeeded int `json:"succeeded,omitempty"`
	Failed    int `json:"failed,omitempty"`

	// New counts tasks which the window does not know yet and which were taken
	// up at once; NewTasks is how many they are. Those that settled already are
	// in Settled too.
	New      Counts `json:"new,omitempty"`
	NewTasks int    `json:"new_tasks,omitempty"`
}

// Output is a payload with the messages that wait for it, besides the one it
// names as its source: a task can serve several.
type Output struct {
	sinks.Payload
	Also []int64 `json:"also,omitempty"`
}

// TaskRecord is what became of a task. It holds the task, so that hooks which
// look at records need nothing else.
type TaskRecord struct {
	Task  drakkar.Task `json:"task"`
	Index string       `json:"index"`

	// One of these is set; none for a task that was replaced.
	Result *drakkar.Result    `json:"result,omitempty"`
	Error  *drakkar.TaskError `json:"error,omitempty"`
}

// Stage is the hook that a HookCall calls.
type Stage string

// The stages that are called durably by Collect.
const (
	StageTask    Stage = "on_task_complete"
	StageError   Stage = "on_error"
	StageMessage Stage = "on_message_complete"
	StageWindow  Stage = "on_window_complete"
)

// HookCall is one call of a hook that failed.
type HookCall struct {
	Stage Stage `json:"stage"`

	// Offset is the message of a message hook.
	Offset int64 `json:"offset,omitempty"`

	// Task is that of a task hook, and Rest the tasks behind it that have to
	// wait for it: those of the same key.
	Task *TaskCall  `json:"task,omitempty"`
	Rest []TaskSpec `json:"rest,omitempty"`

	// Attempts made and the last error.
	Attempts int    `json:"attempts,omitempty"`
	Error    string `json:"error,omitempty"`
}

// TaskCall is a task whose hook is to be called again.
type TaskCall struct {
	Spec   TaskSpec           `json:"spec"`
	Result *drakkar.Result    `json:"result,omitempty"`
	Error  *drakkar.TaskError `json:"error,omitempty"`
}

// Calls are hooks to call again, all of them together: however many hooks of a
// batch fail, the window has one list and one activity for them.
type Calls struct {
	List blobs.List[HookCall] `json:"list,omitzero"`

	// Messages are those the calls are about, and Tasks counts the tasks that
	// are open until their hooks have run.
	Messages []Range `json:"messages,omitempty"`
	Tasks    Counts  `json:"tasks,omitempty"`

	// Attempts made at each.
	Attempts int `json:"attempts,omitempty"`
}

// CollectInput is some calls of hooks with what they look at. What fails comes
// back in the outcome's Calls, after as many attempts as that took; hooks whose
// attempts are used up come back as letters. A repetition in which every call
// fails again is left to Temporal, which adds nothing to the window's history.
type CollectInput struct {
	Window WindowRef `json:"window"`

	// Stage is StageMessage for the hook of each of the Messages and
	// StageWindow for the one of all of them. Empty, Calls says what to call.
	Stage Stage                `json:"stage,omitempty"`
	Calls blobs.List[HookCall] `json:"calls,omitzero"`

	// Attempts were made before at each call.
	Attempts int       `json:"attempts,omitempty"`
	Retry    HookRetry `json:"retry"`

	// Patient asks to come back only when each call has succeeded or is given
	// up: the window's history has no room for rounds.
	Patient bool `json:"patient,omitempty"`

	// Messages are those the calls are about; for the window hook all of them.
	Messages []Message `json:"messages,omitempty"`

	// Records hold at least what became of the tasks of the messages.
	Records []blobs.List[TaskRecord] `json:"records,omitempty"`

	// WantRecords asks for what became of tasks whose hook is called, up to
	// RecordLimit bytes of it in the result.
	WantRecords bool      `json:"want_records,omitempty"`
	RecordLimit int       `json:"record_limit,omitempty"`
	StartedAt   time.Time `json:"started_at,omitzero"`
}

// LetterKind is what a dead letter is about.
type LetterKind string

// The kinds of dead letters of messages and tasks.
const (
	LetterMessage LetterKind = "message"
	LetterTask    LetterKind = "task"
)

// Classes of dead letters, the label of their metric.
const (
	ClassParse      = "parse"
	ClassArrange    = "arrange"
	ClassHook       = "hook"
	ClassTask       = "task"
	ClassStart      = "task_start"
	ClassDepth      = "replacement_depth"
	ClassLost       = "blob_lost"
	ClassRerun      = "rerun"
	ClassPermanent  = "permanent"
	ClassExhausted  = "exhausted"
	ClassUnreadable = "unreadable"
)

// Letter is a message or a task on its way to the dead letter queue.
type Letter struct {
	Kind LetterKind `json:"kind"`

	// Offset is the message; for a task its lowest. Each is set instead where
	// the window has the same to say of many: a letter for every message of
	// the ranges, in their order.
	Offset int64   `json:"offset"`
	Each   []Range `json:"each,omitempty"`

	Class    string    `json:"class"`
	Stage    string    `json:"stage,omitempty"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	First    time.Time `json:"first,omitzero"`
	Last     time.Time `json:"last,omitzero"`

	// Task is there when the letter is about a task or its hook, and Failure
	// when the task itself failed.
	Task    *TaskSpec          `json:"task,omitempty"`
	Failure *drakkar.TaskError `json:"failure,omitempty"`
}

// DeliverInput is payloads and letters to deliver, or a part of them that
// failed before.
type DeliverInput struct {
	Window  WindowRef            `json:"window"`
	Outputs []blobs.List[Output] `json:"outputs,omitempty"`
	Letters []blobs.List[Letter] `json:"letters,omitempty"`

	// Job is the part to do; nil means everything.
	Job *DeliverJob `json:"job,omitempty"`

	// Sources are the messages of dead letters. Those of the window that are
	// not among them are read from Kafka.
	Sources []Message `json:"sources,omitempty"`

	// Patient asks to come back only when nothing is left to deliver: the
	// window's history has no room for rounds. The messages of all that is left
	// are held together then.
	Patient bool `json:"patient,omitempty"`
}

// DeliverJob is a part of a DeliverInput that is still to be delivered, to one
// sink or to the dead letter queue.
type DeliverJob struct {
	// DLQ says that the items go to the dead letter queue.
	DLQ bool `json:"dlq,omitempty"`

	// To is the sink that has not accepted the items; zero for letters.
	To sinks.Ref `json:"to,omitzero"`

	// Items are positions in the concatenated outputs, or in the concatenated
	// letters when Letters is set.
	Items   blobs.List[Range] `json:"items"`
	Letters bool              `json:"letters,omitempty"`

	// Offsets are the messages that wait for the items. Where they are too
	// scattered to be told one by one, some between them wait too.
	Offsets []Range `json:"offsets"`

	// Ask says that the items were refused, and that on_delivery_error, which
	// failed HookAttempts times, is to be asked about them. Class is why they
	// were refused.
	Ask          bool `json:"ask,omitempty"`
	HookAttempts int  `json:"hook_attempts,omitempty"`

	// After is how long to wait before the next attempt: by the window, or by
	// Deliver when the window asks it to be patient.
	After time.Duration `json:"after,omitempty"`

	// Rounds is how often the job has come back to the window. One that comes
	// back too often is repeated by Temporal until it is done.
	Rounds int `json:"rounds,omitempty"`

	// Attempts made at the sink, and DLQAttempts at the dead letter queue. What
	// a circuit breaker held back was no attempt.
	Attempts    int       `json:"attempts,omitempty"`
	DLQAttempts int       `json:"dlq_attempts,omitempty"`
	First       time.Time `json:"first,omitzero"`

	// Refused is how many of the attempts were refused for good.
	Refused int `json:"refused,omitempty"`

	Class string `json:"class,omitempty"`
	Error string `json:"error,omitempty"`
}

// DeliverResult says what arrived and what is left to do.
type DeliverResult struct {
	Delivered    int          `json:"delivered,omitempty"`
	Skipped      int          `json:"skipped,omitempty"`
	DeadLettered int          `json:"dead_lettered,omitempty"`
	Pending      []DeliverJob `json:"pending,omitempty"`
}
