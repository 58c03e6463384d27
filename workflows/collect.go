package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/drakkar-go/drakkar/blobs"
)

// collecting is hooks to call: that of each of the messages, that of the
// window, or those of tasks that failed where the task ran.
type collecting struct {
	stage   Stage // StageMessage, StageWindow, or empty for hooks of tasks
	offsets []int64

	// calls are those that failed before; none before the first round of
	// message and window hooks.
	calls Calls
}

// carried are outputs of tasks that are delivered together with what hooks
// return, and the messages that wait for them.
type carried struct {
	outputs blobs.List[Output]
	offsets []int64
}

// collect calls hooks until each has succeeded or is given up. What a round
// returns is delivered at once, whatever the others do, and the first round's
// together with what is carried along. The messages are held until the last of
// it has arrived. It returns at once.
func (r *window) collect(ctx workflow.Context, todo collecting, carry carried) {
	waiting := union(todo.offsets, carry.offsets)
	r.hold(waiting) // before anything can ask whether the messages are done
	r.spawn(ctx, func(ctx workflow.Context) {
		r.collectAll(ctx, todo, carry.outputs, waiting)
		r.release(ctx, waiting)
	})
}

// collectAll is the rounds of collect: the first, and one with those that
// failed, which is repeated by Temporal while all of them fail. What fails is
// not hurried: only the first round is a local activity.
func (r *window) collectAll(ctx workflow.Context, todo collecting, outputs blobs.List[Output], waiting []int64) {
	local := r.set.LocalCollect
	for n := 1; ; n++ {
		if todo.calls.Attempts > 0 || n > 1 {
			local = false
			pause := backoff(r.set.HookInitialInterval, r.set.HookMaxInterval, max(1, todo.calls.Attempts))
			if workflow.Sleep(ctx, pause) != nil {
				return
			}
		}
		out, err := r.collectOnce(ctx, todo, local)
		if ctx.Err() != nil {
			return
		}
		r.deliver(ctx, []blobs.List[Output]{outputs, out.Outputs}, blobs.List[Letter]{}, waiting)
		r.inlined += out.Outputs.Inline()
		outputs, out.Outputs = blobs.List[Output]{}, blobs.List[Output]{}
		if lost(err) {
			r.giveUp(ctx, todo, err)
			return
		}
		if err != nil {
			continue // the worker's own trouble, no attempt of the hooks
		}
		todo.calls, out.Calls = out.Calls, Calls{}
		r.take(ctx, out)
		if todo.calls.List.Len == 0 {
			return
		}
		todo.offsets = r.within(todo.calls.Messages)
	}
}

// union is a with what b has besides, each once.
func union(a, b []int64) []int64 {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

func lost(err error) bool {
	if err == nil {
		return false
	}
	kind, _ := failure(err)
	return kind == ErrTypeLost
}

const (
	// maxRecords is what the records of a window may take inline, all of them
	// together: hooks of messages look at many, and an input may not exceed
	// 2 MiB.
	maxRecords = 128 << 10

	// maxMessages is what messages may take of the input of a regular activity.
	maxMessages = 768 << 10
)

// collectOnce is one round of calls.
func (r *window) collectOnce(ctx workflow.Context, todo collecting, local bool) (out Outcome, err error) {
	in := CollectInput{
		Window: r.ref(), Stage: todo.stage, Calls: todo.calls.List, Attempts: todo.calls.Attempts, Retry: r.retry(),
		WantRecords: r.wantRecords(), StartedAt: r.started,
	}
	in.Patient = !local && r.patient(ctx)
	if in.Calls.Len > 0 {
		in.Stage = ""
	}
	if todo.stage != "" {
		in.Records = r.about(todo.offsets)
		in.Messages = r.messages(todo.offsets)
	}
	if !local {
		in.Messages = r.travelling(in.Messages, maxMessages)
		r.inlined += in.Calls.Inline()
		for _, l := range in.Records {
			r.inlined += l.Inline()
		}
	}
	limit := r.reserveRecords(in.WantRecords && todo.stage == "")
	in.RecordLimit = limit
	err = r.hook(ctx, local, hookCall{
		activity: CollectActivity, summary: collectSummary(todo), in: in, out: &out, calls: max(len(todo.offsets), todo.calls.List.Len),
	})
	r.recordRoom += limit - out.Records.Inline()
	return out, err
}

// reserveRecords takes a part of the room that the window has for records. What
// of it is not used is given back.
func (r *window) reserveRecords(wanted bool) int {
	if !wanted {
		return 0
	}
	limit := max(0, r.recordRoom/4)
	r.recordRoom -= limit
	return limit
}

// about are the lists that hold what became of tasks of the messages.
func (r *window) about(offsets []int64) (records []blobs.List[TaskRecord]) {
	wanted := Ranges(offsets)
	for _, k := range r.known {
		if k.records.Len > 0 && meet(k.settled, wanted) {
			records = append(records, k.records)
		}
	}
	return records
}

// meet reports whether a message is in both, which are in order.
func meet(counts Counts, ranges []Range) bool {
	for i, j := 0, 0; i < len(counts) && j < len(ranges); {
		switch {
		case counts[i].Last < ranges[j].First:
			i++
		case ranges[j].Last < counts[i].First:
			j++
		default:
			return true
		}
	}
	return false
}

func collectSummary(todo collecting) string {
	if todo.stage == "" {
		return fmt.Sprintf("task hooks ×%d", todo.calls.List.Len)
	}
	if todo.stage == StageWindow {
		return string(todo.stage)
	}
	return fmt.Sprintf("%s ×%d", todo.stage, len(todo.offsets))
}

// giveUp dead-letters the messages of hooks that cannot be called: what they
// look at is gone from the store.
func (r *window) giveUp(ctx workflow.Context, todo collecting, err error) {
	_, why := failure(err)
	stage := todo.stage
	if stage == "" {
		stage = StageTask
		r.result.Failed += todo.calls.List.Len
	}
	r.letter(ctx, todo.offsets, Letter{
		Kind: LetterMessage, Class: ClassLost, Stage: string(stage), Error: why, Attempts: max(1, todo.calls.Attempts),
	})
	r.each(todo.calls.Tasks, func(m *message, n int) { m.open -= n })
	r.settle(ctx, todo.offsets, blobs.List[Output]{})
}
