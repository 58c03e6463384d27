package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
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

	// maxBatches is how many batches a window starts before they are asked to
	// come back only when they are done with: each costs about a dozen events,
	// and its hooks and deliveries another dozen, of a history that stays below
	// 5,000.
	maxBatches = 200

	// patientEvents and patientBytes are how long and how large the history gets
	// before everything under way is asked to come back only when it is done
	// with: what goes on failing costs nothing more then, whether tasks, hooks or
	// sinks, and however many.
	patientEvents = 2000
	patientBytes  = 4 << 20

	// maxPending is what the answer to PendingQuery may hold: Temporal refuses
	// 2 MiB.
	maxPending = 1 << 20

	// lettersAtOnce is how many messages one Deliver dead-letters when the
	// window has the same to say of each.
	lettersAtOnce = 1000
)

// PendingQuery asks a window for its tasks that are not finished: the batches
// that hold at least one. A list with a length, and with neither items nor a
// reference, is one for which the answer has no room.
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

	// known is what became of tasks, kept for message and window hooks only,
	// and recordRoom how many bytes of it may still travel inline.
	known      []known
	recordRoom int

	started  time.Time
	inlined  int // bytes that lists and messages take in the history, about
	result   WindowResult
	progress progress
}

// known is what became of some tasks, and how many of which messages they are.
type known struct {
	settled Counts
	records blobs.List[TaskRecord]
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
		slot: workflow.NewSemaphore(ctx, maxOutstanding), wg: workflow.NewWaitGroup(ctx), recordRoom: maxRecords,
	}
	for _, m := range in.Messages {
		msg := &message{Message: m, holds: 1} // held until its window is arranged
		r.msgs = append(r.msgs, msg)
		r.byOff[m.Offset] = msg
	}
	r.result.Messages, r.result.Last = len(in.Messages), in.Last

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
	r.arrange(ctx)
	r.wg.Wait(ctx)
	if offsets := r.windowOffsets(); r.set.Hooks.WindowComplete && len(offsets) > 0 && ctx.Err() == nil {
		r.details(ctx)
		r.collect(ctx, collecting{stage: StageWindow, offsets: offsets}, carried{})
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
	offsets := r.offsets()
	r.letter(ctx, offsets, Letter{
		Kind: LetterMessage, Class: ClassRerun, Attempts: 1,
		Error: cmp.Or(r.in.Because, "the window was run again too often"),
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
	for some := range slices.Chunk(offsets, lettersAtOnce) {
		for _, o := range some {
			r.byOff[o].skipHook = true
		}
		l.Each = Ranges(some)
		r.deliver(ctx, nil, blobs.List[Letter]{Items: []Letter{l}, Len: 1}, some)
	}
}

// offsets are those of all messages.
func (r *window) offsets() []int64 {
	out := make([]int64, len(r.msgs))
	for i, m := range r.msgs {
		out[i] = m.Offset
	}
	return out
}

// messages are those of the offsets, as they came.
func (r *window) messages(offsets []int64) []Message {
	out := make([]Message, len(offsets))
	for i, o := range offsets {
		out[i] = r.byOff[o].Message
	}
	return out
}

// within are the offsets of the messages in the ranges.
func (r *window) within(ranges []Range) []int64 {
	var out []int64
	for _, one := range ranges {
		for _, m := range r.between(one.First, one.Last) {
			out = append(out, m.Offset)
		}
	}
	return out
}

// each calls f for every message that the counts concern.
func (r *window) each(counts Counts, f func(m *message, n int)) {
	for _, c := range counts {
		for _, m := range r.between(c.First, c.Last) {
			f(m, c.N)
		}
	}
}

// between are the messages from first to last.
func (r *window) between(first, last int64) []*message {
	at := func(o int64) int {
		i, _ := slices.BinarySearchFunc(r.msgs, o, func(m *message, o int64) int { return cmp.Compare(m.Offset, o) })
		return i
	}
	return r.msgs[at(first):at(last+1)]
}

// ref tells an activity about the window, and how much of a list may travel.
func (r *window) ref() WindowRef {
	limit := inlineList
	if r.inlined > inlineBudget {
		limit = inlineSpent
	}
	return WindowRef{Link: r.in.Link, TopicID: r.in.TopicID, Last: r.in.Last, InlineLimit: limit}
}

// patient reports whether the history has no room for repetitions any more.
func (r *window) patient(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return info.GetCurrentHistoryLength() > patientEvents || info.GetCurrentHistorySize() > patientBytes
}

func (r *window) retry() HookRetry {
	return HookRetry{
		MaxAttempts: r.set.HookMaxAttempts, InitialInterval: r.set.HookInitialInterval, MaxInterval: r.set.HookMaxInterval,
	}
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
	room := maxPending
	for n := range r.batches {
		b, ok := r.running[n]
		if !ok {
			continue
		}
		list := b.Tasks
		if n := list.Inline(); n <= room {
			room -= n
		} else {
			list.Items, list.Ref = nil, ""
		}
		out = append(out, list)
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
