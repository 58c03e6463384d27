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
	// ErrTypeHook is an error or a panic of a hook: the call is repeated with
	// a growing pause, up to hooks.max_attempts times.
	ErrTypeHook = "HookError"

	// ErrTypeHalt is a message that cannot be decoded while on_parse_error is
	// halt: repeated for as long as it takes.
	ErrTypeHalt = "ParseHalt"

	// ErrTypeNotYet is a part that a sink, or the dead letter queue, has not
	// accepted yet: Temporal repeats the activity after the pause it names.
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
	// replacements: part of the ids of its deliveries.
	Index string

	// Attempt is the number of the next attempt, from 1.
	Attempt int

	// Depth is how many replacements led to this task.
	Depth int

	// FirstFailed is when the first attempt failed.
	FirstFailed time.Time
}

// taskSpecJSON is TaskSpec as it travels. Embedded, a Task would bring its own
// encoding along and hide the other fields.
type taskSpecJSON struct {
	Task        drakkar.Task `json:"task"`
	Index       string       `json:"index"`
	Attempt     int          `json:"attempt"`
	Depth       int          `json:"depth,omitempty"`
	FirstFailed time.Time    `json:"first_failed,omitzero"`
}

// MarshalJSON implements json.Marshaler.
func (s TaskSpec) MarshalJSON() ([]byte, error) {
	return json.Marshal(taskSpecJSON{
		Task: s.Task, Index: s.Index, Attempt: s.Attempt, Depth: s.Depth, FirstFailed: s.FirstFailed,
	})
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *TaskSpec) UnmarshalJSON(data []byte) error {
	var w taskSpecJSON
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("decoding task: %w", err)
	}
	*s = TaskSpec{Task: w.Task, Index: w.Index, Attempt: w.Attempt, Depth: w.Depth, FirstFailed: w.FirstFailed}
	return nil
}

// Count says that N tasks concern a message. A task that serves several
// messages counts for each.
type Count struct {
	Offset int64 `json:"o"`
	N      int   `json:"n"`
}

// Batch is the tasks of one Execute. The workflow never looks into Tasks: the
// counts are what it needs.
type Batch struct {
	Tasks  blobs.List[TaskSpec] `json:"tasks"`
	Counts []Count              `json:"counts"`

	// New counts the tasks which the window does not know yet: replacements.
	New []Count `json:"new,omitempty"`

	// After is how long to wait before the batch runs.
	After time.Duration `json:"after,omitempty"`

	// Priority is Temporal's, 1 to 5, the smaller goes first.
	Priority int `json:"priority,omitempty"`

	// Summary is the line that Temporal's UI shows.
	Summary string `json:"summary,omitempty"`
}

// ArrangeInput is some or all messages of a window.
type ArrangeInput struct {
	Window   WindowRef `json:"window"`
	Messages []Message `json:"messages"`
	Open     []string  `json:"open,omitempty"`
}

// Plan is what Arrange made of messages.
type Plan struct {
	Batches []Batch `json:"batches,omitempty"`
	Tasks   int     `json:"tasks"`

	// Letters are messages that could not be decoded, and LetterOffsets
	// theirs. They have no tasks and no hooks.
	Letters       blobs.List[Letter] `json:"letters,omitzero"`
	LetterOffsets []int64            `json:"letter_offsets,omitempty"`
}

// ExecuteInput is one batch.
type ExecuteInput struct {
	Window WindowRef `json:"window"`
	Batch  Batch     `json:"batch"`

	// Records asks for what became of each task, for message or window hooks.
	Records bool `json:"records,omitempty"`
}

// Outcome is what tasks, or calls of hooks, came to. The zero value is
// "nothing".
type Outcome struct {
	// Settled counts the tasks that need nothing further: succeeded, failed
	// for good, or replaced.
	Settled []Count `json:"settled,omitempty"`

	// FollowUps are attempts to repeat, replacements to run, and tasks that a
	// stopping worker handed back.
	FollowUps []Batch `json:"follow_ups,omitempty"`

	// Outputs are payloads to deliver.
	Outputs blobs.List[Output] `json:"outputs,omitzero"`

	// Records are what became of settled tasks, if they were asked for.
	Records blobs.List[TaskRecord] `json:"records,omitzero"`

	// Letters go to the dead letter queue; LetterOffsets are the messages they
	// come from.
	Letters       blobs.List[Letter] `json:"letters,omitzero"`
	LetterOffsets []int64            `json:"letter_offsets,omitempty"`

	// Calls are hooks that failed and are to be called again, durably.
	Calls []HookCall `json:"calls,omitempty"`

	Succeeded int `json:"succeeded,omitempty"`
	Failed    int `json:"failed,omitempty"`
}

// Output is a payload with the messages that wait for it, besides the one it
// names as its source: a task can serve several.
type Output struct {
	sinks.Payload
	Also []int64 `json:"also,omitempty"`
}

// TaskRecord is what became of a task.
type TaskRecord struct {
	ID      string  `json:"id"`
	Offsets []int64 `json:"offsets"`

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

// HookCall is one call of a hook.
type HookCall struct {
	Stage Stage `json:"stage"`

	// Offset is the message of a message hook.
	Offset int64 `json:"offset,omitempty"`

	// Task is the one item of a task hook: the task and its result or error.
	Task blobs.List[TaskCall] `json:"task,omitzero"`

	// Offsets are the messages that are dead-lettered when the hook is given
	// up.
	Offsets []int64 `json:"offsets,omitempty"`

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

// CollectInput is some calls of hooks with what they look at.
type CollectInput struct {
	Window WindowRef  `json:"window"`
	Calls  []HookCall `json:"calls"`

	// GiveUp makes dead letters of the calls instead of calling.
	GiveUp bool `json:"give_up,omitempty"`

	// Messages are those the calls are about; for the window hook all of them.
	Messages []Message `json:"messages,omitempty"`

	// Tasks and Records hold at least the tasks of the messages.
	Tasks   []blobs.List[TaskSpec]   `json:"tasks,omitempty"`
	Records []blobs.List[TaskRecord] `json:"records,omitempty"`

	WantRecords bool      `json:"want_records,omitempty"`
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

	// Offset is the message; for a task its lowest.
	Offset int64 `json:"offset"`

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

	// Sources are the messages of dead letters.
	Sources []Message `json:"sources,omitempty"`
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
	Items   []Range `json:"items"`
	Letters bool    `json:"letters,omitempty"`

	// Offsets are the messages that wait for the items.
	Offsets []int64 `json:"offsets"`

	// After is how long to wait before the next attempt.
	After time.Duration `json:"after,omitempty"`

	// Attempts made at the sink, and DLQAttempts at the dead letter queue.
	Attempts    int       `json:"attempts,omitempty"`
	DLQAttempts int       `json:"dlq_attempts,omitempty"`
	First       time.Time `json:"first,omitzero"`

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
