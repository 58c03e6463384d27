package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/drakkar-go/drakkar/blobs"
)

// arrange turns messages into batches and sets them going. A hook that keeps
// failing has the messages split in halves until the one that cannot be
// arranged stands alone; that one is dead-lettered. A half is tried once and a
// single message twice, since the whole was given all of its attempts before.
func (r *window) arrange(ctx workflow.Context, msgs []Message, attempts int) {
	plan, kind, err := r.arrangeRetrying(ctx, msgs, attempts)
	switch {
	case ctx.Err() != nil:
	case err == nil:
		r.accept(ctx, msgs, plan)
	case len(msgs) == 1:
		offset := msgs[0].Offset
		class := ClassArrange
		if kind == ErrTypeLost {
			class = ClassUnreadable
		}
		r.letter(ctx, []int64{offset}, Letter{
			Kind: LetterMessage, Class: class, Stage: "arrange", Error: err.Error(), Attempts: attempts,
		})
		r.release(ctx, []int64{offset})
	default:
		half := len(msgs) / 2
		for _, part := range [][]Message{msgs[:half], msgs[half:]} {
			tries := 1
			if len(part) == 1 {
				tries = min(2, r.set.HookMaxAttempts)
			}
			r.arrange(ctx, part, tries)
		}
	}
}

// arrangeRetrying calls the hook up to attempts times with a growing pause.
func (r *window) arrangeRetrying(ctx workflow.Context, msgs []Message, attempts int) (plan Plan, kind string, err error) {
	in := ArrangeInput{Window: r.ref(), Messages: msgs, Open: r.in.Open}
	if len(msgs) < len(r.in.Messages) {
		in.Window.InlineLimit = inlineSpent // many parts can be arranged in one step
	}
	summary := fmt.Sprintf("p%d %d-%d, %d messages", r.in.Partition, msgs[0].Offset, msgs[len(msgs)-1].Offset, len(msgs))
	local := r.set.LocalArrange
	for n, failures := 1, 0; ; n++ {
		plan = Plan{}
		err = r.hook(ctx, local, hookCall{activity: ArrangeActivity, summary: summary, in: in, out: &plan})
		if err == nil || ctx.Err() != nil {
			return plan, "", err
		}
		local = false // what failed is not hurried
		kind, message := failure(err)
		err = fmt.Errorf("arrange: %s", message)
		if kind == ErrTypeHook {
			failures++ // anything else is the worker's own trouble, or a halt
		}
		if kind == ErrTypeLost || failures >= attempts {
			return Plan{}, kind, err
		}
		if err := workflow.Sleep(ctx, backoff(r.set.HookInitialInterval, r.set.HookMaxInterval, n)); err != nil {
			return Plan{}, "", err
		}
	}
}

// accept takes a plan: its batches run, its messages without tasks settle, and
// those that could not be decoded are dead-lettered.
func (r *window) accept(ctx workflow.Context, msgs []Message, plan Plan) {
	r.result.Tasks += plan.Tasks
	offsets := make([]int64, len(msgs))
	for i, m := range msgs {
		offsets[i] = m.Offset
	}
	for _, o := range plan.LetterOffsets {
		r.byOff[o].skipHook = true
	}
	for _, b := range plan.Batches {
		for _, c := range b.Counts {
			r.byOff[c.Offset].open += c.N
		}
	}
	if plan.Letters.Len > 0 {
		r.deliver(ctx, nil, plan.Letters, plan.LetterOffsets)
	}
	for _, b := range plan.Batches {
		r.inlined += 2 * b.Tasks.Inline()
		r.start(ctx, b)
	}
	r.settle(ctx, offsets, blobs.List[Output]{})
	r.release(ctx, offsets)
	r.details(ctx)
}
