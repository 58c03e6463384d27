package drakkartest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/executor"
)

const (
	// maxOutput, taskTimeout and killGrace are the defaults of the settings
	// max_output_bytes, task_timeout and kill_grace of executor.
	maxOutput   = 1 << 20
	taskTimeout = 2 * time.Minute
	killGrace   = 2 * time.Second
)

// task is a task with its place.
type task struct {
	drakkar.Task
	attempt int
	depth   int
}

// start starts a pool, unless programs are faked.
func (r *run) start(ctx context.Context) (stop func() error, err error) {
	r.pool, err = executor.New(executor.Config{
		Slots: r.slots, BinaryPath: r.binary, EnvInheritParent: true,
		TaskTimeout: taskTimeout, KillGrace: killGrace, MaxOutputBytes: maxOutput,
		Mode: r.mode, Resident: r.resident,
	}, executor.Deps{})
	if err != nil {
		return nil, err
	}
	if r.runner != nil {
		return func() error { return nil }, nil
	}
	if err := r.pool.Start(ctx); err != nil {
		return nil, err
	}
	return func() error { return r.pool.Stop(context.WithoutCancel(ctx)) }, nil
}

// execute runs tasks, and what follows from them, until all are settled: in
// rounds, each the repetitions and replacements of the one before.
func (r *run) execute(ctx context.Context, tasks []*task) error {
	for len(tasks) > 0 {
		outcomes := r.round(ctx, tasks)
		var next []*task
		for i, t := range tasks {
			follow, err := r.settle(ctx, t, outcomes[i])
			if err != nil {
				return err
			}
			next = append(next, follow...)
		}
		tasks = next
	}
	return nil
}

// outcome is what an attempt came to.
type outcome struct {
	res drakkar.Result
	err error
}

// round runs one attempt of each task. Programs run side by side, a fake runs
// one after the other.
func (r *run) round(ctx context.Context, tasks []*task) []outcome {
	outcomes := make([]outcome, len(tasks))
	var wg sync.WaitGroup
	for i, t := range tasks {
		if r.runner != nil && t.Precomputed == nil {
			outcomes[i].res, outcomes[i].err = r.fake(t)
			continue
		}
		job := r.job(t)
		wg.Go(func() { outcomes[i].res, outcomes[i].err = r.pool.Run(ctx, job) })
	}
	wg.Wait()
	return outcomes
}

func (r *run) job(t *task) executor.Job {
	priority, err := r.p.Priority(t.Task)
	if err != nil {
		r.rep.HookErrors = append(r.rep.HookErrors, err)
	}
	job := executor.Job{
		Task: t.Task, Attempt: t.attempt, Priority: priority,
		At: events.At{Topic: r.topic, Partition: r.partition, Offset: t.SourceOffsets[0]},
	}
	if r.p.Hooks().Execute {
		job.Execute = r.p.Execute
	}
	return job
}

// fake runs the task as the test says.
func (r *run) fake(t *task) (drakkar.Result, error) {
	res, err := r.runner(t.Task)
	res.Task, res.Attempt = t.Task, t.attempt
	var te drakkar.TaskError
	switch {
	case errors.As(err, &te):
		te.Result.Task, te.Result.Attempt = t.Task, t.attempt
		return te.Result, te
	case err != nil:
		res.ExitCode = -1
		return res, drakkar.TaskError{Kind: drakkar.TaskExecute, Message: err.Error(), Result: res}
	case res.ExitCode != 0:
		return res, drakkar.TaskError{
			Kind: drakkar.TaskExit, Message: fmt.Sprintf("exit code %d", res.ExitCode), Result: res,
		}
	}
	return res, nil
}

// settle calls the hook of the task and returns the tasks that follow from it.
func (r *run) settle(ctx context.Context, t *task, o outcome) ([]*task, error) {
	var te drakkar.TaskError
	switch {
	case o.err == nil:
		r.succeeded(ctx, t, o.res)
		return nil, nil
	case errors.As(o.err, &te):
		te.Result.Task = t.Task
		return r.failed(ctx, t, te)
	}
	return nil, fmt.Errorf("running task %s: %w", t.ID, o.err)
}

func (r *run) succeeded(ctx context.Context, t *task, res drakkar.Result) {
	res.Task = t.Task
	out, err := r.p.OnTaskComplete(r.scope(ctx, "on_task_complete", t.SourceOffsets[0], t.ID), res)
	if !r.collect(&r.rep.TaskOutputs, "on_task_complete", out, err, r.of(t)...) {
		return
	}
	r.rep.Results = append(r.rep.Results, res)
	for _, m := range r.of(t) {
		m.group.Results = append(m.group.Results, res)
	}
}

// failed asks on_error. Without it the task is repeated, unless it could not be
// started or its failure was known beforehand.
func (r *run) failed(ctx context.Context, t *task, te drakkar.TaskError) ([]*task, error) {
	action, asked, err := r.p.OnError(r.scope(ctx, "on_error", t.SourceOffsets[0], t.ID), t.Task, te)
	if err != nil {
		r.rep.HookErrors = append(r.rep.HookErrors, err)
		r.giveUp(err, r.of(t)...)
		return nil, nil
	}
	if !asked && te.Kind != drakkar.TaskStart && t.Precomputed == nil {
		action = drakkar.Retry(0)
	} else if !asked {
		action = drakkar.DeadLetter()
	}
	failure := Failure{Error: te, Attempt: t.attempt, Action: "dead_letter"}
	defer func() { r.rep.Failures = append(r.rep.Failures, failure) }()

	after, retry := action.IsRetry()
	tasks, replace := action.IsReplace()
	switch {
	case retry && t.attempt < r.limit(t):
		failure.Action, failure.After = "retry", after
		return []*task{{Task: t.Task, attempt: t.attempt + 1, depth: t.depth}}, nil
	case replace && t.depth < maxDepth:
		failure.Action = "replace"
		return r.replace(t, tasks)
	case !retry && !replace && !action.IsDeadLetter():
		failure.Action = "skip"
	default:
		r.rep.DeadLetters = append(r.rep.DeadLetters, DeadLetter{Offset: t.SourceOffsets[0], TaskID: t.ID, Err: te})
	}
	r.rep.Errors = append(r.rep.Errors, te)
	for _, m := range r.of(t) {
		m.group.Errors = append(m.group.Errors, te)
	}
	return nil, nil
}

func (r *run) limit(t *task) int {
	if t.Retry != nil && t.Retry.MaxAttempts > 0 {
		return t.Retry.MaxAttempts
	}
	return r.attempts
}

// replace completes the tasks that replace another, and schedules them.
func (r *run) replace(t *task, tasks []drakkar.Task) ([]*task, error) {
	checked := slices.Clone(tasks)
	for n := range checked {
		c := &checked[n]
		if c.ID == "" || c.ID == t.ID { // a copy of the task that was changed
			c.ID = fmt.Sprintf("%s.%d", t.ID, n)
		}
		c.ParentID = cmp.Or(c.ParentID, t.ID)
		if len(c.SourceOffsets) == 0 {
			c.SourceOffsets = t.SourceOffsets
		}
	}
	err := drakkar.CheckTasks(checked, r.partition, func(o int64) bool { return slices.Contains(t.SourceOffsets, o) })
	if err != nil {
		err = &drakkar.HookError{Hook: "on_error", Err: fmt.Errorf("replacing task %q: %w", t.ID, err)}
		r.rep.HookErrors = append(r.rep.HookErrors, err)
		r.giveUp(err, r.of(t)...)
		return nil, nil
	}
	if checked, err = travel(checked); err != nil {
		return nil, fmt.Errorf("carrying tasks: %w", err)
	}
	out := make([]*task, len(checked))
	for i, c := range checked {
		out[i] = &task{Task: c, attempt: 1, depth: t.depth + 1}
	}
	r.schedule(out)
	return out, nil
}
