package activities

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/workflows"
)

// taskComplete calls on_task_complete and encodes what it returns.
func (a *Activities) taskComplete(ctx context.Context, w workflows.WindowRef, spec workflows.TaskSpec, res drakkar.Result) ([]workflows.Output, error) {
	if !a.Pipeline.Hooks().TaskComplete {
		return nil, nil
	}
	res.Task = spec.Task
	began := time.Now()
	var payloads []sinks.Payload
	s := scope("on_task_complete", w, spec.SourceOffsets[0])
	s.TaskID = spec.ID
	err := a.hook(ctx, s, func(ctx context.Context) error {
		result, err := a.Pipeline.OnTaskComplete(ctx, res)
		if err != nil {
			return err
		}
		payloads, err = a.Sinks.Encode(origin(w, spec), result)
		return err
	})
	if err != nil {
		return nil, err
	}
	a.Events.Record(events.TaskComplete{
		At: at(w, spec.SourceOffsets[0]), TaskID: spec.ID, Outputs: len(payloads), Took: time.Since(began),
	})
	return outputs(payloads, spec.SourceOffsets), nil
}

func origin(w workflows.WindowRef, spec workflows.TaskSpec) sinks.Origin {
	return sinks.Origin{
		Topic: w.Topic, TopicID: w.TopicID, Partition: w.Partition, Offset: spec.SourceOffsets[0],
		Stage: sinks.StageTask, Index: spec.Index, TaskID: spec.ID,
	}
}

// outputs are payloads with all the messages that wait for them.
func outputs(payloads []sinks.Payload, offsets []int64) []workflows.Output {
	out := make([]workflows.Output, len(payloads))
	for i, p := range payloads {
		out[i] = workflows.Output{Payload: p}
		if len(offsets) > 1 {
			out[i].Also = offsets[1:]
		}
	}
	return out
}

// decide asks on_error what to do about a failed attempt and writes it into d.
// The error is one of the hook.
func (a *Activities) decide(ctx context.Context, w workflows.WindowRef, spec workflows.TaskSpec, te drakkar.TaskError, d *taskDone) error {
	te.Result.Task = spec.Task
	*d = taskDone{I: d.I}
	action, asked, err := a.onError(ctx, w, spec, te)
	if err != nil {
		return err
	}
	e := events.TaskFailed{At: at(w, spec.SourceOffsets[0]), Error: te, Precomputed: spec.Precomputed != nil}
	stats := a.Pool.Stats()
	e.Active, e.Waiting = stats.Active, stats.Waiting
	e.Action, err = a.apply(spec, te, d, answer{action: action, asked: asked})
	if err != nil {
		return err
	}
	a.Events.Record(e)
	return nil
}

// answer is what on_error said, if the handler has it.
type answer struct {
	action drakkar.ErrorAction
	asked  bool
}

func (a *Activities) onError(
	ctx context.Context, w workflows.WindowRef, spec workflows.TaskSpec, te drakkar.TaskError,
) (action drakkar.ErrorAction, asked bool, err error) {
	if !a.Pipeline.Hooks().Error {
		return action, false, nil
	}
	s := scope("on_error", w, spec.SourceOffsets[0])
	s.TaskID = spec.ID
	err = a.hook(ctx, s, func(ctx context.Context) (err error) {
		action, asked, err = a.Pipeline.OnError(ctx, spec.Task, te)
		return err
	})
	return action, asked, err
}

// apply turns the answer into what happens, and names it.
func (a *Activities) apply(spec workflows.TaskSpec, te drakkar.TaskError, d *taskDone, ans answer) (action string, err error) {
	tasks, replace := ans.action.IsReplace()
	after, retry := ans.action.IsRetry()
	if !ans.asked {
		// What could not be started here could not be started again.
		retry = te.Kind != drakkar.TaskStart && spec.Precomputed == nil
	}
	switch {
	case replace:
		return a.replace(spec, te, d, tasks)
	case retry && spec.Attempt < a.attempts(spec):
		next := spec
		next.Attempt++
		next.Postponed = 0
		if next.FirstFailed.IsZero() {
			next.FirstFailed = time.Now().UTC()
		}
		d.Again, d.After = &next, after
		if after == 0 {
			d.After = a.pause(spec)
		}
		return "retry", nil
	case ans.asked && !retry && !ans.action.IsDeadLetter():
		d.Settled = true
		return "skip", nil
	}
	class := workflows.ClassTask
	if te.Kind == drakkar.TaskStart {
		class = workflows.ClassStart
	}
	d.Settled, d.Letter = true, taskLetter(spec, te, class)
	return "dead_letter", nil
}

// replace settles the task by others.
func (a *Activities) replace(spec workflows.TaskSpec, te drakkar.TaskError, d *taskDone, tasks []drakkar.Task) (string, error) {
	if spec.Depth >= a.cfg.MaxReplacementDepth {
		d.Settled, d.Letter = true, taskLetter(spec, te, workflows.ClassDepth)
		return "dead_letter", nil
	}
	replaced := make([]workflows.TaskSpec, len(tasks))
	checked := make([]drakkar.Task, len(tasks))
	for n, t := range tasks {
		replaced[n] = replacement(spec, t, n)
		checked[n] = replaced[n].Task
	}
	err := drakkar.CheckTasks(checked, 0, func(o int64) bool { return slices.Contains(spec.SourceOffsets, o) })
	if err != nil {
		return "", fmt.Errorf("replacing task %q: %w", spec.ID, err)
	}
	for i := range replaced {
		replaced[i].Task = checked[i]
	}
	d.Settled, d.Replaced = true, replaced // only now: what is refused must not run
	return "replace", nil
}

// attempts is how often the task may run.
func (a *Activities) attempts(spec workflows.TaskSpec) int {
	if spec.Retry != nil && spec.Retry.MaxAttempts > 0 {
		return spec.Retry.MaxAttempts
	}
	return a.cfg.MaxRetries + 1
}

// pause is the policy's pause after the attempt. It is never 0, which would
// mean a task that was handed back.
func (a *Activities) pause(spec workflows.TaskSpec) time.Duration {
	initial, limit := a.cfg.RetryInitialInterval, a.cfg.RetryMaxInterval
	if p := spec.Retry; p != nil {
		if p.InitialInterval > 0 {
			initial = p.InitialInterval
		}
		if p.MaxInterval > 0 {
			limit = p.MaxInterval
		}
	}
	return max(time.Millisecond, grow(initial, limit, spec.Attempt))
}

// grow is the pause after attempt n: doubled each time, bounded by limit.
func grow(initial, limit time.Duration, n int) time.Duration {
	d := initial
	for range n - 1 {
		if d >= limit/2 {
			return limit
		}
		d *= 2
	}
	return min(d, limit)
}

// letterOutput is what a letter keeps of each output stream.
const letterOutput = 16 << 10

func taskLetter(spec workflows.TaskSpec, te drakkar.TaskError, class string) *workflows.Letter {
	te.Result.Stdout, te.Result.StdoutTruncated = tail(te.Result.Stdout, te.Result.StdoutTruncated)
	te.Result.Stderr, te.Result.StderrTruncated = tail(te.Result.Stderr, te.Result.StderrTruncated)
	l := workflows.Letter{
		Kind: workflows.LetterTask, Offset: spec.SourceOffsets[0], Class: class, Stage: string(te.Kind),
		Error: errorText(te), Attempts: spec.Attempt, First: spec.FirstFailed, Last: time.Now().UTC(),
		Task: &spec, Failure: &te,
	}
	if l.First.IsZero() {
		l.First = l.Last
	}
	return &l
}

func tail(b drakkar.Bytes, cut bool) (drakkar.Bytes, bool) {
	if n := len(b); n > letterOutput {
		return b[n-letterOutput:], true
	}
	return b, cut
}
