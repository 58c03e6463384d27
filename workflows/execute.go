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
	in := r.executeInput(ctx, b)
	err := workflow.ExecuteActivity(r.executeOptions(ctx, in.Batch), ExecuteActivity, in).Get(ctx, &out)
	r.recordRoom += in.RecordLimit - out.Records.Inline()
	r.slot.Release(1)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.abandon(ctx, b, err)
	default:
		r.take(ctx, out)
		r.publish(ctx) // what has neither outputs nor hooks is done now
	}
}

// executeInput is a batch with what its outcome may take of the history.
func (r *window) executeInput(ctx workflow.Context, b Batch) ExecuteInput {
	in := ExecuteInput{
		Window: r.ref(), Batch: b, Records: r.wantRecords(), Patient: r.batches > maxBatches || r.patient(ctx),
	}
	in.Batch.Counts, in.Batch.New = nil, nil
	in.Batch.Here = b.Here && !in.Patient // whose repetitions are for who has room
	in.Window.InlineLimit = min(in.Window.InlineLimit, inlineAtOnce/max(1, min(len(r.running), maxOutstanding)))
	in.RecordLimit = r.reserveRecords(in.Records)
	in.MaxFollowUps = max(1, (maxBatches-r.batches)/max(1, len(r.running)))
	return in
}

// abandon settles a batch that cannot be run: its content is gone.
func (r *window) abandon(ctx workflow.Context, b Batch, err error) {
	_, why := failure(err)
	var offsets []int64
	r.each(b.Counts, func(m *message, n int) {
		offsets = append(offsets, m.Offset)
		m.open -= n
	})
	r.result.Failed += b.Tasks.Len
	r.letter(ctx, offsets, Letter{
		Kind: LetterMessage, Class: ClassLost, Stage: "execute", Attempts: 1,
		Error: fmt.Sprintf("%d tasks could not be run: %s", b.Tasks.Len, why),
	})
	r.settle(ctx, offsets, blobs.List[Output]{})
}

// take accounts for an outcome and sets going what follows from it: repeated
// and replaced tasks, hooks to call again, hooks of messages that settled, and
// deliveries.
func (r *window) take(ctx workflow.Context, out Outcome) {
	r.inlined += out.Outputs.Inline() + out.Records.Inline() + out.Letters.Inline() + out.Calls.List.Inline()
	r.result.Failed += out.Failed
	r.result.Tasks += out.NewTasks
	r.each(out.New, func(m *message, n int) { m.open += n })
	if out.Records.Len > 0 {
		r.known = append(r.known, known{settled: out.Settled, records: out.Records})
	}
	for _, b := range out.FollowUps {
		r.inlined += 2*b.Tasks.Inline() + b.Counts.EncodedLen() + b.New.EncodedLen()
		r.each(b.New, func(m *message, n int) { m.open += n })
		r.result.Tasks += b.NewTasks
		r.start(ctx, b)
	}
	for _, o := range r.within(out.Buried) {
		r.byOff[o].skipHook = true
	}
	var settled []int64
	r.each(out.Settled, func(m *message, n int) {
		settled = append(settled, m.Offset)
		m.open -= n
	})
	if out.Letters.Len > 0 {
		r.deliver(ctx, nil, out.Letters, r.within(out.LetterOffsets))
	}
	if out.Calls.List.Len > 0 {
		r.collect(ctx, collecting{offsets: r.within(out.Calls.Messages), calls: out.Calls}, carried{})
	}
	r.settle(ctx, settled, out.Outputs)
}

// settle calls the message hooks of those messages that have no open task any
// more, and delivers what they return together with the outputs of the tasks.
func (r *window) settle(ctx workflow.Context, offsets []int64, outputs blobs.List[Output]) {
	var hooks []int64
	if r.set.Hooks.MessageComplete {
		for _, o := range offsets {
			m := r.byOff[o]
			if m.open == 0 && !m.skipHook && !m.hooked {
				m.hooked = true
				hooks = append(hooks, o)
			}
		}
	}
	if len(hooks) == 0 {
		r.deliver(ctx, []blobs.List[Output]{outputs}, blobs.List[Letter]{}, offsets)
		return
	}
	r.collect(ctx, collecting{stage: StageMessage, offsets: hooks}, carried{outputs: outputs, offsets: offsets})
}
