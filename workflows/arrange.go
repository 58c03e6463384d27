package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/drakkar-go/drakkar/blobs"
)

// arrange turns the messages into batches and sets them going. Messages that
// cannot be arranged come back as letters.
func (r *window) arrange(ctx workflow.Context) {
	plan, err := r.plan(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		_, message := failure(err)
		r.letter(ctx, r.offsets(), Letter{
			Kind: LetterMessage, Class: ClassArrange, Stage: "arrange", Error: message, Attempts: r.set.HookMaxAttempts,
		})
		r.release(ctx, r.offsets())
		return
	}
	r.accept(ctx, plan)
}

// plan calls the hook. What fails inside the workflow's own step is not hurried
// any more: a regular activity goes on with the attempts that are left.
func (r *window) plan(ctx workflow.Context) (plan Plan, err error) {
	in := ArrangeInput{Window: r.ref(), Messages: r.in.Messages, Open: r.in.Open, Retry: r.retry()}
	local := r.set.LocalArrange
	for n := 1; ; n++ {
		plan = Plan{}
		err = r.hook(ctx, local, hookCall{activity: ArrangeActivity, summary: r.in.Summary(), in: in, out: &plan})
		if err == nil || ctx.Err() != nil || lost(err) {
			return plan, err
		}
		if kind, _ := failure(err); kind == ErrTypeHook {
			in.Attempts++ // anything else is the worker's own trouble, or a halt
		}
		local = false
		if err := workflow.Sleep(ctx, backoff(r.set.HookInitialInterval, r.set.HookMaxInterval, n)); err != nil {
			return Plan{}, fmt.Errorf("waiting to arrange again: %w", err)
		}
	}
}

// accept takes a plan: its batches run, its messages without tasks settle, and
// those that could not be decoded or arranged are dead-lettered.
func (r *window) accept(ctx workflow.Context, plan Plan) {
	r.result.Tasks += plan.Tasks
	letters := r.within(plan.LetterOffsets)
	for _, o := range letters {
		r.byOff[o].skipHook = true
	}
	for _, b := range plan.Batches {
		r.each(b.Counts, func(m *message, n int) { m.open += n })
		r.inlined += 2 * b.Counts.EncodedLen() // in the plan, and where they settle
	}
	if plan.Letters.Len > 0 {
		r.deliver(ctx, nil, plan.Letters, letters)
	}
	for _, b := range plan.Batches {
		r.inlined += 2 * b.Tasks.Inline()
		r.start(ctx, b)
	}
	offsets := r.offsets()
	r.settle(ctx, offsets, blobs.List[Output]{})
	r.release(ctx, offsets)
	r.details(ctx)
}
