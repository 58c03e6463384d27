package drakkar

import (
	"encoding/json"
	"fmt"
	"time"
)

// Task is one invocation of the external program, or one call of
// [Executor].Execute, or a result that is known already.
type Task struct {
	// ID names the task in its window. Message.Task fills it; ids must be
	// unique in a window and, for deliveries to be recognisable after a crash,
	// the same when Arrange runs again. Empty ids are filled in by position.
	ID string

	// Args are the program's arguments, without its name. There is no shell.
	Args []string

	// Stdin is written to the program, which then sees end of file. Nil gives
	// it /dev/null.
	Stdin Bytes

	// Env is added to the environment, over executor.env.
	Env map[string]string

	// Binary overrides executor.binary_path.
	Binary string

	// Dir is the working directory; empty means the executor's own.
	Dir string

	// Mode is how the program runs: spawned for this task, or resident, which
	// is one that takes task after task. Empty means executor.mode.
	Mode TaskMode

	// Timeout bounds one attempt, the wait for a slot not included. Zero means
	// executor.task_timeout.
	Timeout time.Duration

	// Priority orders tasks which wait for a slot: the smaller goes first.
	// Nil means what TaskPriority says, or else 0. Tasks of equal priority
	// start oldest first, fair across partitions.
	Priority *float64

	// Labels are shown beside the task and searchable.
	Labels map[string]string

	// Metadata travels with the task to its hooks, as JSON: a number comes
	// back as float64.
	Metadata map[string]any

	// Precomputed is the result of the task when it is known already, from a
	// cache for instance. Such a task takes no slot and starts no program.
	Precomputed *Precomputed

	// Retry bounds and times the attempts. Nil means the executor's policy.
	Retry *RetryPolicy

	// SourceOffsets are the messages this task works for: one or, when one
	// task serves several messages, many. They must be in the window. A
	// replacement inherits them.
	SourceOffsets []int64

	// ParentID is the task which this one replaces. Drakkar fills it.
	ParentID string
}

// TaskMode is how the program of a task runs.
type TaskMode string

const (
	// ModeSpawn starts the program for the task, with its arguments and its
	// standard input.
	ModeSpawn TaskMode = "spawn"

	// ModeResident hands the task to a program that was started before with
	// the same Binary, Dir and Env, or starts one, in the protocol of
	// docs/resident.md. An Env that differs from task to task makes each task
	// start a program of its own.
	ModeResident TaskMode = "resident"
)

// Precomputed is a result known without running anything.
type Precomputed struct {
	Stdout   Bytes         `json:"stdout,omitempty"`
	Stderr   Bytes         `json:"stderr,omitempty"`
	ExitCode int           `json:"exit_code,omitempty"`
	Duration time.Duration `json:"duration,omitempty"`
}

// RetryPolicy bounds and times the attempts of a task.
type RetryPolicy struct {
	// MaxAttempts counts the first attempt too. Zero means the executor's
	// setting; 1 means that the task is not repeated.
	MaxAttempts int `json:"max_attempts,omitempty"`

	// InitialInterval is the pause before the second attempt, used when
	// OnError answers Retry(0). Zero means the executor's setting. Each
	// further pause is twice as long, up to MaxInterval.
	InitialInterval time.Duration `json:"initial_interval,omitempty"`

	// MaxInterval bounds the pause. Zero means the executor's setting.
	MaxInterval time.Duration `json:"max_interval,omitempty"`
}

// taskJSON is Task as it travels: strings that may hold any bytes are Bytes.
type taskJSON struct {
	ID            string            `json:"id"`
	Args          []Bytes           `json:"args,omitempty"`
	Stdin         *Bytes            `json:"stdin,omitempty"`
	Env           map[string]Bytes  `json:"env,omitempty"`
	Binary        Bytes             `json:"binary,omitempty"`
	Dir           Bytes             `json:"dir,omitempty"`
	Mode          TaskMode          `json:"mode,omitempty"`
	Timeout       time.Duration     `json:"timeout,omitempty"`
	Priority      *float64          `json:"priority,omitempty"`
	Labels        map[string]string `json:"labels,omitempty"`
	Metadata      map[string]any    `json:"metadata,omitempty"`
	Precomputed   *Precomputed      `json:"precomputed,omitempty"`
	Retry         *RetryPolicy      `json:"retry,omitempty"`
	SourceOffsets []int64           `json:"offsets,omitempty"`
	ParentID      string            `json:"parent,omitempty"`
}

// MarshalJSON implements json.Marshaler. Arguments, paths and values of the
// environment survive it byte for byte, whatever they hold; an empty map or
// slice comes back as nil.
func (t Task) MarshalJSON() ([]byte, error) {
	w := taskJSON{
		ID: t.ID, Binary: Bytes(t.Binary), Dir: Bytes(t.Dir), Mode: t.Mode, Timeout: t.Timeout,
		Priority: t.Priority, Labels: t.Labels, Metadata: t.Metadata, Precomputed: t.Precomputed, Retry: t.Retry,
		SourceOffsets: t.SourceOffsets, ParentID: t.ParentID,
	}
	if t.Stdin != nil {
		w.Stdin = &t.Stdin
	}
	for _, a := range t.Args {
		w.Args = append(w.Args, nonNil([]byte(a)))
	}
	if len(t.Env) > 0 {
		w.Env = make(map[string]Bytes, len(t.Env))
		for k, v := range t.Env {
			w.Env[k] = nonNil([]byte(v))
		}
	}
	return json.Marshal(w)
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Task) UnmarshalJSON(data []byte) error {
	var w taskJSON
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("decoding task: %w", err)
	}
	*t = Task{
		ID: w.ID, Binary: string(w.Binary), Dir: string(w.Dir), Mode: w.Mode, Timeout: w.Timeout,
		Priority: w.Priority, Labels: w.Labels, Metadata: w.Metadata, Precomputed: w.Precomputed, Retry: w.Retry,
		SourceOffsets: w.SourceOffsets, ParentID: w.ParentID,
	}
	if w.Stdin != nil {
		t.Stdin = *w.Stdin
	}
	for _, a := range w.Args {
		t.Args = append(t.Args, string(a))
	}
	if len(w.Env) > 0 {
		t.Env = make(map[string]string, len(w.Env))
		for k, v := range w.Env {
			t.Env[k] = string(v)
		}
	}
	return nil
}
