package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/drakkar-go/drakkar/blobs"
)

// wantRecords reports whether a hook will look at what became of tasks.
func (r *window) wantRecords() bool {
	return r.set.Hooks.MessageComplete || r.set.Hooks.WindowComplete
}

// start sets a batch going. Its number keeps it findable until it is settled.
func (r *window) start(ctx workflow.Context, b Batch) {
	n := r.batches
	r.batches++
	r.running[n] = b
	if r.wantRecords() {
		r.seen = append(r.seen, b)
	}
	r.spawn(ctx, func(ctx workflow.Context) {
		r.runBatch(ctx, b)
		delete(r.running, n)
		r.details(ctx)
	})
}

// runBatch waits for the batch's time and turn, executes it, and takes the
// outcome.
func (r *window) runBatch(ctx workflow.Context, b Batch) {
	if b.After > 0 && workflow.Sleep(ctx, b.After) != nil {
		return
	}
	if r.slot.Acquire(ctx, 1) != nil {
		return
	}
	var out Outcome
	in := ExecuteInput{Window: r.ref(), Batch: b, Records: r.wantRecords()}
	in.Window.InlineLimit = min(in.Window.InlineLimit, inlineAtOnce/max(1, min(len(r.running), maxOutstanding)))
	err := workflow.ExecuteActivity(r.executeOptions(ctx, b), ExecuteActivity, in).Get(ctx, &out)
	r.slot.Release(1)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.abandon(ctx, b, err)
	default:
		r.take(ctx, out)
	}
}

// abandon settles a batch that cannot be run: its content is gone.
func (r *window) abandon(ctx workflow.Context, b Batch, err error) {
	_, message := failure(err)
	offsets := make([]int64, len(b.Counts))
	for i, c := range b.Counts {
		offsets[i] = c.Offset
		r.byOff[c.Offset].open -= c.N
	}
	r.result.Failed += b.Tasks.Len
	r.letter(ctx, offsets, Letter{
		Kind: LetterMessage, Class: ClassLost, Stage: "execute", Attempts: 1,
		Error: fmt.Sprintf("%d tasks could not be run: %s", b.Tasks.Len, message),
	})
	r.settle(ctx, offsets, blobs.List[Output]{})
}

// take accounts for an outcome and sets going what follows from it: repeated
// and replaced tasks, hooks to call again, hooks of messages that settled, and
// deliveries.
func (r *window) take(ctx workflow.Context, out Outcome) {
	r.inlined += 2*out.Outputs.Inline() + out.Records.Inline() + out.Letters.Inline()
	r.result.Failed += out.Failed
	if out.Records.Len > 0 {
		r.outcomes = append(r.outcomes, Outcome{Settled: out.Settled, Records: out.Records})
	}
	for _, b := range out.FollowUps {
		r.inlined += 2 * b.Tasks.Inline()
		for _, c := range b.New {
			r.byOff[c.Offset].open += c.N
			r.result.Tasks += c.N
		}
		r.start(ctx, b)
	}
	settled := make([]int64, len(out.Settled))
	for i, c := range out.Settled {
		settled[i] = c.Offset
		r.byOff[c.Offset].open -= c.N
	}
	if out.Letters.Len > 0 {
		r.deliver(ctx, nil, out.Letters, out.LetterOffsets)
	}
	if len(out.Calls) > 0 {
		r.collect(ctx, out.Calls, carried{})
	}
	r.settle(ctx, settled, out.Outputs)
}

// settle calls the message hooks of those messages that have no open task any
// more, and delivers what they return together with the outputs of the tasks.
func (r *window) settle(ctx workflow.Context, offsets []int64, outputs blobs.List[Output]) {
	var calls []HookCall
	if r.set.Hooks.MessageComplete {
		for _, o := range offsets {
			m := r.byOff[o]
			if m.open == 0 && !m.skipHook && !m.hooked {
				m.hooked = true
				calls = append(calls, HookCall{Stage: StageMessage, Offset: o, Offsets: []int64{o}})
			}
		}
	}
	if len(calls) == 0 {
		r.deliver(ctx, []blobs.List[Output]{outputs}, blobs.List[Letter]{}, offsets)
		return
	}
	r.collect(ctx, calls, carried{outputs: outputs, offsets: offsets})
}
