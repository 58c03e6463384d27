package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/drakkar-go/drakkar/blobs"
)

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
func (r *window) collect(ctx workflow.Context, calls []HookCall, carry carried) {
	waiting := union(callOffsets(calls), carry.offsets)
	r.hold(waiting) // before anything can ask whether the messages are done
	r.spawn(ctx, func(ctx workflow.Context) {
		r.collectAll(ctx, calls, carry.outputs, waiting)
		r.release(ctx, waiting)
	})
}

// collectAll is the rounds of collect.
func (r *window) collectAll(ctx workflow.Context, calls []HookCall, outputs blobs.List[Output], waiting []int64) {
	local := r.set.LocalCollect
	for n, rounds := 1, 0; len(calls) > 0; n++ {
		out, err := r.collectOnce(ctx, calls, local)
		if ctx.Err() != nil {
			return
		}
		r.deliver(ctx, []blobs.List[Output]{outputs, out.Outputs}, blobs.List[Letter]{}, waiting)
		r.inlined += 2 * out.Outputs.Inline()
		outputs, out.Outputs = blobs.List[Output]{}, blobs.List[Output]{}
		local = false   // what failed is not hurried
		if err == nil { // anything else is the worker's own trouble, no attempt of the hooks
			rounds++
			calls, out.Calls = out.Calls, nil
			r.take(ctx, out)
		}
		switch {
		case len(calls) == 0:
			return
		case lost(err):
			r.giveUp(ctx, failed(calls, err))
			return
		case rounds >= r.set.HookMaxAttempts:
			r.giveUp(ctx, calls)
			return
		}
		if workflow.Sleep(ctx, backoff(r.set.HookInitialInterval, r.set.HookMaxInterval, n)) != nil {
			return
		}
	}
}

// union is a with what b has besides, each once.
func union(a, b []int64) []int64 {
	seen := make(map[int64]bool, len(a))
	for _, o := range a {
		seen[o] = true
	}
	for _, o := range b {
		if !seen[o] {
			seen[o] = true
			a = append(a, o)
		}
	}
	return a
}

func lost(err error) bool {
	if err == nil {
		return false
	}
	kind, _ := failure(err)
	return kind == ErrTypeLost
}

// failed marks all calls as failed by an error of the activity itself.
func failed(calls []HookCall, err error) []HookCall {
	_, message := failure(err)
	out := make([]HookCall, len(calls))
	for i, c := range calls {
		c.Attempts++
		c.Error = message
		out[i] = c
	}
	return out
}

// callOffsets are the messages which the calls are about, each once.
func callOffsets(calls []HookCall) []int64 {
	var out []int64
	seen := map[int64]bool{}
	for _, c := range calls {
		for _, o := range c.Offsets {
			if !seen[o] {
				seen[o] = true
				out = append(out, o)
			}
		}
	}
	return out
}

// collectOnce is one round of calls.
func (r *window) collectOnce(ctx workflow.Context, calls []HookCall, local bool) (out Outcome, err error) {
	in := CollectInput{Window: r.ref(), Calls: calls, WantRecords: r.wantRecords(), StartedAt: r.started}
	for _, c := range calls {
		switch c.Stage {
		case StageMessage:
			in.Messages = append(in.Messages, r.byOff[c.Offset].Message)
		case StageWindow:
			for _, m := range r.msgs {
				if !m.skipHook {
					in.Messages = append(in.Messages, m.Message)
				}
			}
		case StageTask, StageError: // carry what they need
			continue
		}
	}
	if len(in.Messages) > 0 {
		in.Tasks, in.Records = r.about(in.Messages)
	}
	local = local || in.inline() > maxRegular
	err = r.hook(ctx, local, hookCall{
		activity: CollectActivity, summary: collectSummary(calls), in: in, out: &out, calls: len(calls),
	})
	return out, err
}

// maxRegular is how large the input of an activity may get: Temporal refuses
// 2 MiB. What is larger is called inside the workflow's own step, whose inputs
// do not travel.
const maxRegular = 1536 << 10

// inline is the size of the input.
func (in CollectInput) inline() int {
	n := 0
	for _, m := range in.Messages {
		n += m.EncodedLen()
	}
	for _, l := range in.Tasks {
		n += l.Inline()
	}
	for _, l := range in.Records {
		n += l.Inline()
	}
	for _, c := range in.Calls {
		n += c.Task.Inline() + len(c.Error)
	}
	return n
}

// about are the lists that hold tasks of the messages.
func (r *window) about(msgs []Message) (tasks []blobs.List[TaskSpec], records []blobs.List[TaskRecord]) {
	wanted := make(map[int64]bool, len(msgs))
	for _, m := range msgs {
		wanted[m.Offset] = true
	}
	concerns := func(counts []Count) bool {
		return slices.ContainsFunc(counts, func(c Count) bool { return wanted[c.Offset] })
	}
	for _, b := range r.seen {
		if concerns(b.Counts) {
			tasks = append(tasks, b.Tasks)
		}
	}
	for _, o := range r.outcomes {
		if concerns(o.Settled) {
			records = append(records, o.Records)
		}
	}
	return tasks, records
}

func collectSummary(calls []HookCall) string {
	return fmt.Sprintf("%s ×%d", calls[0].Stage, len(calls))
}

// giveUp dead-letters the messages of hooks that cannot be called. Tasks whose
// hook failed are settled by Collect, which knows what to keep of them.
func (r *window) giveUp(ctx workflow.Context, calls []HookCall) {
	var out Outcome
	in := CollectInput{Window: r.ref(), Calls: calls, GiveUp: true, WantRecords: r.wantRecords()}
	err := r.hook(ctx, false, hookCall{
		activity: CollectActivity, summary: "giving up " + collectSummary(calls), in: in, out: &out,
	})
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		for _, c := range calls {
			r.letter(ctx, c.Offsets, Letter{
				Kind: LetterMessage, Class: ClassHook, Stage: string(c.Stage), Error: c.Error, Attempts: c.Attempts,
			})
			if c.Stage == StageTask || c.Stage == StageError {
				for _, o := range c.Offsets {
					r.byOff[o].open--
				}
				r.settle(ctx, c.Offsets, blobs.List[Output]{})
			}
		}
		return
	}
	for _, o := range out.LetterOffsets {
		r.byOff[o].skipHook = true
	}
	r.take(ctx, out)
}
