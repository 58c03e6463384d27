package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/drakkar-go/drakkar/blobs"
)

const (
	// maxOutstanding bounds the batches of one window that are in Execute.
	maxOutstanding = 16

	// inlineBudget is what the lists of a window may take in its history; half
	// of it is gone once a list has been a result and an input.
	inlineBudget = 6 << 20

	// inlineList is what one list may take. A result holds up to three, and
	// Temporal refuses payloads of 2 MiB.
	inlineList = 384 << 10

	// inlineAtOnce is what the outputs of all batches under way may take
	// together: they can come back in one step, whose commands Temporal refuses
	// from 4 MiB on.
	inlineAtOnce = 1 << 20

	// inlineSpent is the limit once the budget is used up.
	inlineSpent = 4 << 10
)

// PendingQuery asks a window for its tasks that are not finished: the batches
// that hold at least one.
const PendingQuery = "pending"

// Workflows are the workflows of an executor.
type Workflows struct {
	// Settings returns the executor's settings of this moment. It is called
	// once for each window.
	Settings func() Settings
}

// window is one run of the Window workflow.
type window struct {
	in   WindowInput
	set  Settings
	slot workflow.Semaphore
	wg   workflow.WaitGroup

	msgs    []*message // in the order of their offsets
	byOff   map[int64]*message
	running map[int]Batch // batches not settled, by number, for the query
	batches int

	// Kept for message and window hooks only: which batches there were, and
	// what they came to.
	seen     []Batch
	outcomes []Outcome

	started  time.Time
	inlined  int
	result   WindowResult
	progress progress
}

// message is what the window knows of one of its messages.
type message struct {
	Message
	open     int  // tasks not settled
	holds    int  // hooks and deliveries under way
	skipHook bool // dead-lettered: no message hook
	hooked   bool // its message hook has been scheduled
}

func (m *message) done() bool { return m.open == 0 && m.holds == 0 }

// Window works on one window of messages to its end.
func (w *Workflows) Window(ctx workflow.Context, in WindowInput) (WindowResult, error) {
	r := &window{
		in: in, started: workflow.Now(ctx), byOff: map[int64]*message{}, running: map[int]Batch{},
		slot: workflow.NewSemaphore(ctx, maxOutstanding), wg: workflow.NewWaitGroup(ctx),
	}
	for _, m := range in.Messages {
		msg := &message{Message: m, holds: 1} // held until its window is arranged
		r.msgs = append(r.msgs, msg)
		r.byOff[m.Offset] = msg
	}
	r.result.Messages = len(in.Messages)

	err := workflow.SideEffectWithOptions(ctx, workflow.SideEffectOptions{Summary: "settings"},
		func(workflow.Context) any { return w.Settings() }).Get(&r.set)
	if err != nil {
		return WindowResult{}, fmt.Errorf("reading settings: %w", err)
	}
	if err := workflow.SetQueryHandler(ctx, PendingQuery, r.pending); err != nil {
		return WindowResult{}, fmt.Errorf("setting the query handler: %w", err)
	}
	r.run(ctx)
	if err := ctx.Err(); err != nil {
		return WindowResult{}, err
	}
	return r.result, nil
}

// run is the whole course; it returns when nothing is left to do.
func (r *window) run(ctx workflow.Context) {
	if len(r.msgs) == 0 {
		return
	}
	if r.in.DeadLetter {
		r.deadLetterAll(ctx)
		r.wg.Wait(ctx)
		return
	}
	r.arrange(ctx, r.in.Messages, r.set.HookMaxAttempts)
	r.wg.Wait(ctx)
	if offsets := r.windowOffsets(); r.set.Hooks.WindowComplete && len(offsets) > 0 && ctx.Err() == nil {
		r.details(ctx)
		r.collect(ctx, []HookCall{{Stage: StageWindow, Offsets: offsets}}, carried{})
		r.wg.Wait(ctx)
	}
}

// windowOffsets are those that are dead-lettered when the window hook is given
// up.
func (r *window) windowOffsets() []int64 {
	out := make([]int64, 0, len(r.msgs))
	for _, m := range r.msgs {
		if !m.skipHook {
			out = append(out, m.Offset)
		}
	}
	return out
}

// deadLetterAll writes every message to the dead letter queue.
func (r *window) deadLetterAll(ctx workflow.Context) {
	offsets := make([]int64, len(r.msgs))
	for i, m := range r.msgs {
		offsets[i] = m.Offset
	}
	r.letter(ctx, offsets, Letter{
		Kind: LetterMessage, Class: ClassRerun, Attempts: 1,
		Error: "the window was run again too often",
	})
	r.release(ctx, offsets)
}

// letter sends the messages to the dead letter queue with what is known.
func (r *window) letter(ctx workflow.Context, offsets []int64, l Letter) {
	now := workflow.Now(ctx)
	if l.First.IsZero() {
		l.First = now
	}
	l.Last = now
	items := make([]Letter, len(offsets))
	for i, o := range offsets {
		items[i] = l
		items[i].Offset = o
		r.byOff[o].skipHook = true
	}
	r.deliver(ctx, nil, blobs.List[Letter]{Items: items, Len: len(items)}, offsets)
}

// ref tells an activity about the window, and how much of a list may travel.
func (r *window) ref() WindowRef {
	limit := inlineList
	if r.inlined > inlineBudget {
		limit = inlineSpent
	}
	return WindowRef{Link: r.in.Link, TopicID: r.in.TopicID, Last: r.in.Last, InlineLimit: limit}
}

// hold keeps messages from being done; release ends one hold.
func (r *window) hold(offsets []int64) {
	for _, o := range offsets {
		r.byOff[o].holds++
	}
}

func (r *window) release(ctx workflow.Context, offsets []int64) {
	for _, o := range offsets {
		r.byOff[o].holds--
	}
	r.publish(ctx)
}

// spawn runs f beside the others; the window waits for it.
func (r *window) spawn(ctx workflow.Context, f func(workflow.Context)) {
	r.wg.Add(1)
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer r.wg.Done()
		f(ctx)
	})
}

// pending answers PendingQuery.
func (r *window) pending() ([]blobs.List[TaskSpec], error) {
	var out []blobs.List[TaskSpec]
	for n := range r.batches {
		if b, ok := r.running[n]; ok {
			out = append(out, b.Tasks)
		}
	}
	return out, nil
}

// details is the line that Temporal's UI shows above the history.
func (r *window) details(ctx workflow.Context) {
	done := 0
	for _, m := range r.msgs {
		if m.done() {
			done++
		}
	}
	workflow.SetCurrentDetails(ctx, fmt.Sprintf(
		"%d of %d messages done, %d tasks (%d failed), %d batches under way, %d payloads delivered, %d dead-lettered",
		done, len(r.msgs), r.result.Tasks, r.result.Failed, len(r.running), r.result.Delivered, r.result.DeadLettered))
}

// backoff is the pause before attempt n+1, growing from initial to limit.
func backoff(initial, limit time.Duration, n int) time.Duration {
	d := initial
	for range n - 1 {
		if d >= limit/2 {
			return limit
		}
		d *= 2
	}
	return min(d, limit)
}

// failure names the application error behind err, "" for any other.
func failure(err error) (kind, message string) {
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return app.Type(), app.Message()
	}
	return "", err.Error()
}
