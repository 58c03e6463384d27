package activities

import (
	"context"
	"errors"
	"runtime"
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
// the workflow has it called again.
func (a *Activities) Collect(ctx context.Context, in workflows.CollectInput) (workflows.Outcome, error) {
	defer a.beat(ctx)()
	if in.GiveUp {
		return a.giveUp(ctx, in)
	}
	began := time.Now()
	m, err := a.material(ctx, in)
	if err != nil {
		return workflows.Outcome{}, err
	}
	results := make([]*callDone, len(in.Calls))
	var wg sync.WaitGroup
	slots := make(chan struct{}, collectAtOnce())
	for i, c := range in.Calls {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			results[i] = a.call(ctx, in, c, m)
		})
	}
	wg.Wait()
	for _, r := range results {
		if r.trouble != nil { // no attempt of any hook
			return workflows.Outcome{}, lost(r.trouble)
		}
	}
	a.collectTime.observe(time.Since(began))
	return a.mergeCalls(ctx, in, results)
}

// callDone is what one call came to: of a task, or outputs.
type callDone struct {
	spec    *workflows.TaskSpec
	done    taskDone
	outputs []workflows.Output
	err     error // of the hook
	trouble error // of the worker: Kafka or the blob store is away
}

// mergeCalls is the outcome of calls, in their order.
func (a *Activities) mergeCalls(ctx context.Context, in workflows.CollectInput, results []*callDone) (workflows.Outcome, error) {
	var specs []workflows.TaskSpec
	var done []*taskDone
	var outputs []workflows.Output
	var again []workflows.HookCall
	for i, r := range results {
		switch {
		case r.err != nil:
			c := in.Calls[i]
			c.Attempts++
			c.Error = errorText(r.err)
			again = append(again, c)
		case r.spec != nil:
			specs, done = append(specs, *r.spec), append(done, &r.done)
		default:
			outputs = append(outputs, r.outputs...)
		}
	}
	specs, done = append(specs, workflows.TaskSpec{}), append(done, &taskDone{Outputs: outputs})
	out, err := a.merge(ctx, in.Window, specs, done)
	out.Calls = again
	return out, err
}

// material is what hooks of messages and windows look at.
type material struct {
	messages map[int64]workflows.Message
	tasks    map[string]drakkar.Task
	byOffset map[int64][]drakkar.Task
	records  []workflows.TaskRecord
}

func (a *Activities) material(ctx context.Context, in workflows.CollectInput) (material, error) {
	m := material{
		messages: map[int64]workflows.Message{}, tasks: map[string]drakkar.Task{}, byOffset: map[int64][]drakkar.Task{},
	}
	for _, msg := range in.Messages {
		m.messages[msg.Offset] = msg
	}
	specs, err := unpackAll(ctx, a.Blobs, in.Tasks)
	if err != nil {
		return m, err
	}
	for _, s := range specs {
		if _, repeated := m.tasks[s.ID]; repeated {
			continue // a further attempt
		}
		m.tasks[s.ID] = s.Task
		for _, o := range s.SourceOffsets {
			m.byOffset[o] = append(m.byOffset[o], s.Task)
		}
	}
	m.records, err = unpackAll(ctx, a.Blobs, in.Records)
	return m, err
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
	calls, err := blobs.Unpack(ctx, a.Blobs, c.Task)
	if err != nil {
		return &callDone{trouble: err}
	}
	t := calls[0]
	r := &callDone{spec: &t.Spec}
	if t.Result != nil {
		var outputs []workflows.Output
		if outputs, r.err = a.taskComplete(ctx, in.Window, t.Spec, *t.Result); r.err == nil {
			r.done = taskDone{Settled: true, Succeeded: true, Outputs: outputs}
		}
	} else if r.err = a.decide(ctx, in.Window, t.Spec, *t.Error, &r.done); r.err != nil {
		return r
	}
	if in.WantRecords && r.err == nil && r.done.Settled {
		r.done.Record = &workflows.TaskRecord{ID: t.Spec.ID, Offsets: t.Spec.SourceOffsets, Result: t.Result}
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
	group := drakkar.MessageGroup[any]{
		Tasks: m.byOffset[c.Offset], StartedAt: in.StartedAt, FinishedAt: time.Now().UTC(),
	}
	for _, r := range m.records {
		for _, o := range r.Offsets {
			if o == c.Offset {
				m.addTo(&group, r)
			}
		}
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

// addTo adds what became of a task to its message's group.
func (m material) addTo(g *drakkar.MessageGroup[any], r workflows.TaskRecord) {
	switch {
	case r.Result != nil:
		res := *r.Result
		res.Task = m.tasks[r.ID]
		g.Results = append(g.Results, res)
	case r.Error != nil:
		te := *r.Error
		te.Result.Task = m.tasks[r.ID]
		g.Errors = append(g.Errors, te)
	}
}

// windowComplete calls on_window_complete.
func (a *Activities) windowComplete(ctx context.Context, in workflows.CollectInput, m material) *callDone {
	var results []drakkar.Result
	for _, r := range m.records {
		if r.Result != nil {
			res := *r.Result
			res.Task = m.tasks[r.ID]
			results = append(results, res)
		}
	}
	msgs := make([]drakkar.Parsed, 0, len(in.Messages))
	for _, msg := range in.Messages {
		rec, err := a.record(ctx, in.Window, msg)
		if err != nil {
			return unreadable(err)
		}
		msgs = append(msgs, a.Pipeline.Parse(ctx, rec))
	}
	first := in.Messages[0].Offset
	began := time.Now()
	payloads, err := a.collected(ctx, scope("on_window_complete", in.Window, first), sinks.StageWindow,
		in.Window, func(ctx context.Context) (drakkar.CollectResult, error) {
			return a.Pipeline.OnWindowComplete(ctx, results, msgs)
		})
	if err != nil {
		return &callDone{err: err}
	}
	a.Events.Record(events.WindowComplete{
		At: at(in.Window, first), Workflow: in.Window.WorkflowID(), Tasks: len(m.tasks),
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

// giveUp makes dead letters of calls whose hook failed too often. Tasks settle
// as failed.
func (a *Activities) giveUp(ctx context.Context, in workflows.CollectInput) (workflows.Outcome, error) {
	var specs []workflows.TaskSpec
	var done []*taskDone
	for _, c := range in.Calls {
		l := workflows.Letter{
			Kind: workflows.LetterMessage, Class: workflows.ClassHook, Stage: string(c.Stage),
			Error: c.Error, Attempts: c.Attempts, First: time.Now().UTC(), Last: time.Now().UTC(),
		}
		var spec workflows.TaskSpec
		var settled bool
		if c.Stage == workflows.StageTask || c.Stage == workflows.StageError {
			calls, err := blobs.Unpack(ctx, a.Blobs, c.Task)
			if err != nil {
				return workflows.Outcome{}, lost(err)
			}
			spec, settled = calls[0].Spec, true
			l.Task, l.Failure = &calls[0].Spec, calls[0].Error
		}
		for i, o := range c.Offsets {
			l.Offset = o
			each := l
			specs, done = append(specs, spec), append(done, &taskDone{Letter: &each, Settled: settled && i == 0})
		}
	}
	return a.merge(ctx, in.Window, specs, done)
}
