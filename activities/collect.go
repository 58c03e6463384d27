package activities

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/workflows"
)

// collectAtOnce bounds the hooks that one Collect calls at the same time.
func collectAtOnce() int { return 2 * runtime.GOMAXPROCS(0) }

// Collect calls hooks: those of messages and windows, and those of tasks that
// failed where the task ran. A call that fails comes back in the outcome, and
// the workflow has it called again, together with all others that failed. While
// none of those succeeds, and where the window asks for patience until each has
// succeeded, Temporal repeats the activity. When the attempts are used up,
// letters are made of what is left.
func (a *Activities) Collect(ctx context.Context, in workflows.CollectInput) (workflows.Outcome, error) {
	state := collectState{Attempts: in.Attempts}
	if err := resumed(ctx, &state); err != nil {
		return workflows.Outcome{}, err
	}
	stop := a.beat(ctx, state)
	defer stop()
	began := time.Now()
	round, err := a.round(ctx, in, &state)
	if err != nil {
		return workflows.Outcome{}, err
	}
	failed, why := round.failed()
	if failed > 0 && ctx.Err() != nil {
		return workflows.Outcome{}, context.Cause(ctx) // the worker stops: not the hooks' fault
	}
	state.Attempts++
	again := in.Attempts > 0 && failed == len(round.calls) || in.Patient && failed > 0
	if again && state.Attempts < in.Retry.MaxAttempts {
		if err := a.leave(ctx, in.Window, &state, round); err != nil {
			return workflows.Outcome{}, err
		}
		stop()
		return workflows.Outcome{}, repeat(ctx, why, grow(in.Retry.InitialInterval, in.Retry.MaxInterval, state.Attempts), state)
	}
	a.collectTime.observe(time.Since(began))
	if round, err = a.withEarlier(ctx, state, round); err != nil {
		return workflows.Outcome{}, err
	}
	return a.collectedAll(ctx, in, round)
}

// round makes every call that is left once. Its error is no attempt of any
// hook.
func (a *Activities) round(ctx context.Context, in workflows.CollectInput, state *collectState) (called, error) {
	calls, err := a.toCall(ctx, in, state.Left)
	if err != nil {
		return called{}, err
	}
	m, err := a.material(ctx, in)
	if err != nil {
		return called{}, err
	}
	results := a.callAll(ctx, in, calls, m)
	for _, r := range results {
		if r.trouble != nil {
			return called{}, lost(r.trouble)
		}
	}
	return called{calls: calls, results: results}, nil
}

// toCall are the calls: those that earlier runs have left, those that failed
// before, or the first ones.
func (a *Activities) toCall(
	ctx context.Context, in workflows.CollectInput, left blobs.List[workflows.HookCall],
) ([]workflows.HookCall, error) {
	if left.Len > 0 {
		calls, err := blobs.Unpack(ctx, a.Blobs, left)
		return calls, lost(err)
	}
	switch in.Stage {
	case workflows.StageWindow:
		return []workflows.HookCall{{Stage: workflows.StageWindow}}, nil
	case workflows.StageMessage:
		out := make([]workflows.HookCall, len(in.Messages))
		for i, m := range in.Messages {
			out[i] = workflows.HookCall{Stage: workflows.StageMessage, Offset: m.Offset}
		}
		return out, nil
	case workflows.StageTask, workflows.StageError: // say in Calls what to call
	}
	calls, err := blobs.Unpack(ctx, a.Blobs, in.Calls)
	return calls, lost(err)
}

// callAll calls all hooks, some at the same time.
func (a *Activities) callAll(ctx context.Context, in workflows.CollectInput, calls []workflows.HookCall, m material) []*callDone {
	results := make([]*callDone, len(calls))
	var wg sync.WaitGroup
	slots := make(chan struct{}, collectAtOnce())
	for i, c := range calls {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			err := guard(string(c.Stage), func() error { results[i] = a.call(ctx, in, c, m); return nil })
			if err != nil {
				err = frozen(err)
				a.logPanic(string(c.Stage), err)
				results[i] = &callDone{err: err}
			}
		})
	}
	wg.Wait()
	return results
}

// callDone is what one call came to: of a task, or outputs.
type callDone struct {
	spec    *workflows.TaskSpec
	done    taskDone
	outputs []workflows.Output
	err     error // of the hook
	trouble error // of the worker: Kafka or the blob store is away
}

// collectedAll is the outcome of calls, in their order.
func (a *Activities) collectedAll(ctx context.Context, in workflows.CollectInput, round called) (workflows.Outcome, error) {
	m := &merged{attempts: round.attempts}
	var late []workflows.Output
	for i, r := range round.results {
		c := round.calls[i]
		switch {
		case r.err != nil:
			c.Attempts, c.Error = round.attempts, errorText(r.err)
			if round.attempts >= in.Retry.MaxAttempts {
				m.giveUp(in, c)
			} else {
				m.failedAgain(in, c)
			}
		case r.spec != nil:
			specs := append([]workflows.TaskSpec{*r.spec}, c.Rest...)
			m.unit(specs, append([]*taskDone{&r.done}, make([]*taskDone, len(c.Rest))...))
		default:
			late = append(late, r.outputs...)
		}
	}
	m.outputs = append(m.outputs, late...)
	return a.outcome(ctx, in.Window, m, limits{records: in.RecordLimit, followUps: 1})
}

// failedAgain adds a hook to call again.
func (m *merged) failedAgain(in workflows.CollectInput, c workflows.HookCall) {
	m.call(c)
	if c.Stage == workflows.StageWindow {
		for _, msg := range in.Messages {
			m.messages = append(m.messages, msg.Offset)
		}
	}
}

// giveUp makes a letter of a call whose hook failed too often. Its task settles
// as failed, and what waits behind it goes on.
func (m *merged) giveUp(in workflows.CollectInput, c workflows.HookCall) {
	now := time.Now().UTC()
	l := workflows.Letter{
		Kind: workflows.LetterMessage, Class: workflows.ClassHook, Stage: string(c.Stage),
		Error: c.Error, Attempts: c.Attempts, First: now, Last: now, Offset: c.Offset,
	}
	switch {
	case c.Task != nil:
		l.Task, l.Failure = &c.Task.Spec, c.Task.Error
		l.Each = workflows.Ranges(c.Task.Spec.SourceOffsets)
	case c.Stage == workflows.StageWindow:
		all := make([]int64, len(in.Messages))
		for i, msg := range in.Messages {
			all[i] = msg.Offset
		}
		l.Each = workflows.Ranges(all)
	}
	m.buried = append(m.buried, offsetsOf(l)...)
	done := &taskDone{Letter: &l, Settled: c.Task != nil}
	if c.Task == nil {
		m.letters = append(m.letters, l)
		return
	}
	specs := append([]workflows.TaskSpec{c.Task.Spec}, c.Rest...)
	m.unit(specs, append([]*taskDone{done}, make([]*taskDone, len(c.Rest))...))
}

// material is what hooks of messages and windows look at: the messages, and
// what became of their tasks, in the order of the tasks.
type material struct {
	messages map[int64]workflows.Message
	records  []workflows.TaskRecord
	byOffset map[int64][]workflows.TaskRecord
}

func (a *Activities) material(ctx context.Context, in workflows.CollectInput) (material, error) {
	m := material{messages: map[int64]workflows.Message{}, byOffset: map[int64][]workflows.TaskRecord{}}
	for _, msg := range in.Messages {
		m.messages[msg.Offset] = msg
	}
	records, err := unpackAll(ctx, a.Blobs, in.Records)
	if err != nil {
		return m, err
	}
	slices.SortStableFunc(records, inOrder)
	m.records = records
	for _, r := range records {
		for _, o := range r.Task.SourceOffsets {
			m.byOffset[o] = append(m.byOffset[o], r)
		}
	}
	return m, nil
}

// inOrder compares tasks by their place in the window.
func inOrder(a, b workflows.TaskRecord) int {
	if c := cmp.Compare(a.Task.SourceOffsets[0], b.Task.SourceOffsets[0]); c != 0 {
		return c
	}
	return slices.CompareFunc(strings.Split(a.Index, "."), strings.Split(b.Index, "."), func(x, y string) int {
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)) // numbers
	})
}

// call calls one hook.
func (a *Activities) call(ctx context.Context, in workflows.CollectInput, c workflows.HookCall, m material) *callDone {
	switch c.Stage {
	case workflows.StageMessage:
		return a.messageComplete(ctx, in, c, m)
	case workflows.StageWindow:
		return a.windowComplete(ctx, in, m)
	case workflows.StageTask, workflows.StageError:
		return a.taskAgain(ctx, in, c)
	}
	return &callDone{}
}

// taskAgain calls a task's hook once more.
func (a *Activities) taskAgain(ctx context.Context, in workflows.CollectInput, c workflows.HookCall) *callDone {
	t := c.Task
	r := &callDone{spec: &t.Spec}
	if t.Result != nil {
		var outputs []workflows.Output
		if outputs, r.err = a.taskComplete(ctx, in.Window, t.Spec, *t.Result); r.err == nil {
			r.done = taskDone{Settled: true, Succeeded: true, Outputs: outputs}
		}
	} else {
		r.err = a.decide(ctx, in.Window, t.Spec, *t.Error, &r.done)
	}
	if in.WantRecords && r.err == nil && r.done.Settled {
		r.done.Record = &workflows.TaskRecord{Task: t.Spec.Task, Index: t.Spec.Index, Result: t.Result}
		if t.Result == nil {
			r.done.Record = record(t.Spec, *t.Error, &r.done)
		}
	}
	return r
}

// messageComplete calls on_message_complete for one message.
func (a *Activities) messageComplete(ctx context.Context, in workflows.CollectInput, c workflows.HookCall, m material) *callDone {
	rec, err := a.record(ctx, in.Window, m.messages[c.Offset])
	if err != nil {
		return unreadable(err)
	}
	group := drakkar.MessageGroup[any]{StartedAt: in.StartedAt, FinishedAt: time.Now().UTC()}
	for _, r := range m.byOffset[c.Offset] {
		addTo(&group, r)
	}
	began := time.Now()
	payloads, err := a.collected(ctx, scope("on_message_complete", in.Window, c.Offset), sinks.StageMessage,
		in.Window, func(ctx context.Context) (drakkar.CollectResult, error) {
			return a.Pipeline.OnMessageComplete(ctx, drakkar.GroupInput{Message: a.Pipeline.Parse(ctx, rec), Group: group})
		})
	if err != nil {
		return &callDone{err: err}
	}
	a.Events.Record(events.MessageComplete{
		At: at(in.Window, c.Offset), Tasks: group.Total(), Succeeded: group.Succeeded(), Failed: group.Failed(),
		Replaced: group.Replaced(), Outputs: len(payloads), Took: time.Since(began),
	})
	return &callDone{outputs: outputs(payloads, []int64{c.Offset})}
}

// unreadable tells a message that is gone, which its hook cannot be called for,
// from one that cannot be read just now.
func unreadable(err error) *callDone {
	if errors.Is(err, ErrRecordGone) {
		return &callDone{err: err}
	}
	return &callDone{trouble: err}
}

// addTo adds a task, and what became of it, to its message's group.
func addTo(g *drakkar.MessageGroup[any], r workflows.TaskRecord) {
	g.Tasks = append(g.Tasks, r.Task)
	switch {
	case r.Result != nil:
		res := *r.Result
		res.Task = r.Task
		g.Results = append(g.Results, res)
	case r.Error != nil:
		te := *r.Error
		te.Result.Task = r.Task
		g.Errors = append(g.Errors, te)
	}
}

// windowComplete calls on_window_complete.
func (a *Activities) windowComplete(ctx context.Context, in workflows.CollectInput, m material) *callDone {
	var results []drakkar.Result
	for _, r := range m.records {
		if r.Result != nil {
			res := *r.Result
			res.Task = r.Task
			results = append(results, res)
		}
	}
	records := make([]drakkar.Record, len(in.Messages))
	for i, msg := range in.Messages {
		var err error
		if records[i], err = a.record(ctx, in.Window, msg); err != nil {
			return unreadable(err)
		}
	}
	first := in.Messages[0].Offset
	began := time.Now()
	payloads, err := a.collected(ctx, scope("on_window_complete", in.Window, first), sinks.StageWindow,
		in.Window, func(ctx context.Context) (drakkar.CollectResult, error) {
			msgs := make([]drakkar.Parsed, len(records))
			for i, rec := range records {
				msgs[i] = a.Pipeline.Parse(ctx, rec)
			}
			return a.Pipeline.OnWindowComplete(ctx, results, msgs)
		})
	if err != nil {
		return &callDone{err: err}
	}
	a.Events.Record(events.WindowComplete{
		At: at(in.Window, first), Workflow: in.Window.WorkflowID(), Tasks: len(m.records),
		Outputs: len(payloads), Took: time.Since(began),
	})
	all := make([]int64, len(in.Messages))
	for i, msg := range in.Messages {
		all[i] = msg.Offset
	}
	return &callDone{outputs: outputs(payloads, all)}
}

// collected calls a hook and encodes what it returns.
func (a *Activities) collected(
	ctx context.Context, s drakkar.HookScope, stage sinks.Stage, w workflows.WindowRef,
	call func(context.Context) (drakkar.CollectResult, error),
) (payloads []sinks.Payload, err error) {
	err = a.hook(ctx, s, func(ctx context.Context) error {
		result, err := call(ctx)
		if err != nil {
			return err
		}
		payloads, err = a.Sinks.Encode(sinks.Origin{
			Topic: w.Topic, TopicID: w.TopicID, Partition: w.Partition, Offset: s.Offset, Stage: stage,
		}, result)
		return err
	})
	return payloads, err
}
