package drakkartest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/executor"
)

// Run takes a window through a handler. What goes wrong inside of the handler is
// in the report; a window that cannot be made fails the test.
func Run[In any](t testing.TB, h drakkar.Handler[In], inputs ...Input) *Report {
	t.Helper()
	return RunPipeline(t, drakkar.NewPipeline(h), inputs...)
}

// RunPipeline is Run for what is a pipeline already.
func RunPipeline(t testing.TB, p *drakkar.Pipeline, inputs ...Input) *Report {
	t.Helper()
	r := &run{log: zaptest.NewLogger(t)}
	rep, err := r.do(t.Context(), p, inputs)
	if err != nil {
		t.Fatalf("running the window: %v", err)
	}
	return rep
}

// Try is RunPipeline outside of tests. The error is about the window, or about
// a handler with hooks that would never be called; what goes wrong inside of
// hooks is in the report.
func Try(ctx context.Context, p *drakkar.Pipeline, inputs ...Input) (*Report, error) {
	return (&run{log: zap.NewNop()}).do(ctx, p, inputs)
}

// maxDepth is how deep replacements of replacements may go, as
// executor.max_replacement_depth does by default.
const maxDepth = 10

// run is one window on its way through a handler.
type run struct {
	topic     string
	partition int32
	records   []drakkar.Record
	next      int64
	pending   []drakkar.Task
	pass      bool
	binary    string
	mode      drakkar.TaskMode
	resident  executor.Resident
	slots     int
	attempts  int
	runner    func(drakkar.Task) (drakkar.Result, error)
	log       *zap.Logger

	p     *drakkar.Pipeline
	pool  *executor.Pool
	msgs  []*message
	rep   *Report
	began time.Time
}

// message is a message and what is known of it.
type message struct {
	drakkar.Parsed
	group    drakkar.MessageGroup[any]
	skipHook bool // dead-lettered by a hook, or before there were any
}

func (r *run) do(ctx context.Context, p *drakkar.Pipeline, inputs []Input) (rep *Report, err error) {
	r.p, r.rep, r.topic, r.slots, r.attempts = p, &Report{}, "input", 4, 4
	if err := p.Check(); err != nil {
		return nil, err
	}
	for _, in := range inputs {
		if err := in.apply(r); err != nil {
			return nil, err
		}
	}
	if len(r.records) == 0 {
		return nil, errors.New("a window has at least one message")
	}
	stop, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()

	r.began = time.Now()
	r.parse(ctx)
	tasks, err := r.arranged(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.execute(ctx, tasks); err != nil {
		return nil, err
	}
	if err := r.complete(ctx); err != nil {
		return nil, err
	}
	r.rep.Outputs = merge(r.rep.TaskOutputs, r.rep.MessageOutputs, r.rep.WindowOutputs)
	return r.rep, nil
}

// parse decodes the messages.
func (r *run) parse(ctx context.Context) {
	for _, rec := range r.records {
		rec.Topic, rec.Partition = r.topic, r.partition
		m := &message{Parsed: r.p.Parse(ctx, rec)}
		m.group = drakkar.MessageGroup[any]{
			Message: drakkar.Message[any]{Record: rec, PayloadErr: m.Err}, StartedAt: r.began,
		}
		r.msgs = append(r.msgs, m)
		if m.Err != nil && !r.pass {
			r.giveUp(m.Err, m)
		}
	}
}

// giveUp dead-letters messages.
func (r *run) giveUp(err error, msgs ...*message) {
	for _, m := range msgs {
		m.skipHook = true
		r.rep.DeadLetters = append(r.rep.DeadLetters, DeadLetter{Offset: m.Record.Offset, Err: err})
	}
}

// arranged are the tasks of all messages.
func (r *run) arranged(ctx context.Context) ([]*task, error) {
	msgs := slices.DeleteFunc(slices.Clone(r.msgs), func(m *message) bool { return m.skipHook })
	if len(msgs) == 0 {
		return nil, nil
	}
	arranged, err := travel(r.arrange(ctx, msgs))
	if err != nil {
		return nil, fmt.Errorf("carrying tasks: %w", err)
	}
	tasks := make([]*task, len(arranged))
	for i, t := range arranged {
		tasks[i] = &task{Task: t, attempt: 1}
	}
	r.schedule(tasks)
	return tasks, nil
}

// arrange calls the hook. After an error, the messages are split in halves until
// the one that cannot be arranged stands alone.
func (r *run) arrange(ctx context.Context, msgs []*message) []drakkar.Task {
	in := drakkar.ArrangeInput{
		Topic: r.topic, Partition: r.partition,
		Pending: func(context.Context) ([]drakkar.Task, error) { return slices.Clone(r.pending), nil },
	}
	for _, m := range msgs {
		in.Messages = append(in.Messages, m.Parsed)
	}
	tasks, err := r.p.Arrange(r.scope(ctx, "arrange", msgs[0].Record.Offset, ""), in)
	switch half := len(msgs) / 2; {
	case err == nil:
		return tasks
	case half == 0:
		r.rep.HookErrors = append(r.rep.HookErrors, err)
		r.giveUp(err, msgs...)
		return nil
	default:
		r.rep.HookErrors = append(r.rep.HookErrors, err)
		return append(r.arrange(ctx, msgs[:half]), r.arrange(ctx, msgs[half:])...)
	}
}

// schedule enters tasks into the report and the groups of their messages.
func (r *run) schedule(tasks []*task) {
	for _, t := range tasks {
		r.rep.Tasks = append(r.rep.Tasks, t.Task)
		for _, m := range r.of(t) {
			m.group.Tasks = append(m.group.Tasks, t.Task)
		}
	}
}

// of are the messages of a task.
func (r *run) of(t *task) []*message {
	return slices.DeleteFunc(slices.Clone(r.msgs), func(m *message) bool {
		return !slices.Contains(t.SourceOffsets, m.Record.Offset)
	})
}

// complete calls the hooks of messages and of the window.
func (r *run) complete(ctx context.Context) error {
	for _, m := range r.msgs {
		m.group.FinishedAt = time.Now()
		r.rep.Groups = append(r.rep.Groups, m.group)
		if m.skipHook {
			continue
		}
		group, err := travelGroup(m.group)
		if err != nil {
			return err
		}
		offset := m.Record.Offset
		out, err := r.p.OnMessageComplete(r.scope(ctx, "on_message_complete", offset, ""),
			drakkar.GroupInput{Message: m.Parsed, Group: group})
		r.collect(&r.rep.MessageOutputs, "on_message_complete", out, err, m)
	}
	return r.completeWindow(ctx)
}

func (r *run) completeWindow(ctx context.Context) error {
	results, err := travelResults(r.rep.Results)
	if err != nil {
		return err
	}
	parsed := make([]drakkar.Parsed, len(r.msgs))
	for i, m := range r.msgs {
		parsed[i] = m.Parsed
	}
	out, err := r.p.OnWindowComplete(r.scope(ctx, "on_window_complete", r.records[0].Offset, ""), results, parsed)
	alive := slices.DeleteFunc(slices.Clone(r.msgs), func(m *message) bool { return m.skipHook })
	r.collect(&r.rep.WindowOutputs, "on_window_complete", out, err, alive...)
	return nil
}

// collect takes what a hook returned. Its error dead-letters the messages it
// was about.
func (r *run) collect(to *drakkar.CollectResult, hook string, out drakkar.CollectResult, err error, msgs ...*message) (ok bool) {
	if err == nil {
		if bad := encodable(out); bad != nil {
			err = &drakkar.HookError{Hook: hook, Err: bad}
		}
	}
	if err != nil {
		r.rep.HookErrors = append(r.rep.HookErrors, err)
		r.giveUp(err, msgs...)
		return false
	}
	*to = merge(*to, out)
	return true
}

// scope is the context of a hook.
func (r *run) scope(ctx context.Context, hook string, offset int64, taskID string) context.Context {
	return drakkar.WithHookScope(ctx, drakkar.HookScope{
		Hook: hook, Topic: r.topic, Partition: r.partition, Offset: offset, TaskID: taskID,
		Window: fmt.Sprintf("drakkartest/%s/%d/0/%d", r.topic, r.partition, r.records[0].Offset),
		Log:    r.log,
		Annotate: func(a drakkar.Annotation) {
			r.rep.Annotations = append(r.rep.Annotations, a)
		},
	})
}
