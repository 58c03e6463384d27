package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/workflows"
)

// Deliver delivers payloads to their sinks, all sinks at the same time, and
// letters to the dead letter queue. What a sink did not accept comes back as
// jobs: to be tried again after a pause, or for the dead letter queue.
func (a *Activities) Deliver(ctx context.Context, in workflows.DeliverInput) (workflows.DeliverResult, error) {
	switch {
	case in.Patient:
		return a.deliverPatiently(ctx, in)
	case in.Job != nil:
		return a.deliverJob(ctx, in)
	}
	defer a.beat(ctx)()
	out, _, err := a.deliverAll(ctx, in)
	return out, err
}

// deliverAll is the first attempt at everything. Once something has arrived, it
// returns what is left and no error: what is delivered must not be repeated.
func (a *Activities) deliverAll(ctx context.Context, in workflows.DeliverInput) (out workflows.DeliverResult, why, err error) {
	letters, err := a.letters(ctx, in)
	if err != nil {
		return out, nil, err
	}
	if total := listLen(in.Outputs); total > 0 {
		out, why, err = a.deliver(ctx, in, workflows.DeliverJob{Items: all(total)})
		if err != nil {
			return out, nil, err
		}
	}
	if len(letters) == 0 {
		return out, why, nil
	}
	job := workflows.DeliverJob{DLQ: true, Letters: true, Items: all(len(letters)), Offsets: lettersAt(letters)}
	res, because, err := a.bury(ctx, in, job)
	switch {
	case err != nil && out.Delivered > 0:
		out.Pending = append(out.Pending, job)
		return out, cmp.Or(why, err), nil
	case err != nil:
		return out, nil, err
	}
	out.DeadLettered += res.DeadLettered
	out.Pending = append(out.Pending, res.Pending...)
	return out, cmp.Or(why, because), nil
}

// all are n items.
func all(n int) blobs.List[workflows.Range] {
	return blobs.List[workflows.Range]{Items: []workflows.Range{{Last: int64(n) - 1}}, Len: 1}
}

// jobState is what heartbeats hold: what is left of a job, and what earlier runs
// have achieved.
type jobState struct {
	Job      *workflows.DeliverJob   `json:"job,omitempty"`
	Achieved workflows.DeliverResult `json:"achieved"`
}

// maxRounds is how often a job comes back to the window, with what is left of
// it. Its outputs travel along each time.
const maxRounds = 5

// deliverJob is one attempt at a part that failed before. Its waiting is left to
// Temporal while nothing of it changes, and for good after some rounds:
// repeating the activity adds nothing to the window's history, however long a
// sink is away.
func (a *Activities) deliverJob(ctx context.Context, in workflows.DeliverInput) (out workflows.DeliverResult, err error) {
	state := jobState{}
	if err := resumed(ctx, &state); err != nil {
		return out, err
	}
	if state.Job == nil {
		state.Job = in.Job
	}
	job, before := *state.Job, state.Achieved
	stop := a.beat(ctx, state)
	defer stop()
	run := a.deliver
	if job.DLQ {
		run = a.bury
	}
	out, why, err := run(ctx, in, job)
	if err != nil {
		return out, err
	}
	progress := out.Delivered+out.Skipped+out.DeadLettered > 0
	out.Delivered += before.Delivered
	out.Skipped += before.Skipped
	out.DeadLettered += before.DeadLettered
	same := len(out.Pending) == 1 && out.Pending[0].DLQ == job.DLQ
	if !same || progress && job.Rounds < maxRounds {
		for i := range out.Pending {
			out.Pending[i].Rounds = job.Rounds + 1
		}
		return out, nil
	}
	next := out.Pending[0]
	next.Rounds = job.Rounds
	out.Pending = nil
	stop()
	return out, repeat(ctx, why, next.After, jobState{Job: &next, Achieved: out})
}

// deliver is one attempt at the sinks, or one more question to
// on_delivery_error about what they refused. Why is the error of a sink.
func (a *Activities) deliver(
	ctx context.Context, in workflows.DeliverInput, job workflows.DeliverJob,
) (out workflows.DeliverResult, why, err error) {
	all, err := unpackAll(ctx, a.Blobs, in.Outputs)
	if err != nil {
		return out, nil, err
	}
	items, err := blobs.Unpack(ctx, a.Blobs, job.Items)
	if err != nil {
		return out, nil, lost(err)
	}
	d := &decider{a: a, w: in.Window, job: job, all: all, at: positions(items, len(all))}
	if job.Ask {
		out, why = d.askAgain(ctx)
		return out, why, nil
	}
	payloads := make([]sinks.Payload, len(d.at))
	for i, pos := range d.at {
		payloads[i] = all[pos].Payload
	}
	failures := a.Sinks.Deliver(attempted(ctx, job), payloads)
	out.Delivered = len(payloads) - len(failures)
	if len(failures) == 0 {
		return out, nil, nil
	}
	switch {
	case ctx.Err() == nil:
		for _, group := range grouped(failures) {
			d.decide(ctx, group, &out)
		}
	case out.Delivered == 0:
		return out, nil, context.Cause(ctx)
	default:
		d.cutOff(failures, &out)
	}
	d.pack(ctx, &out)
	return out, failures[0].Err, nil
}

// attempted says in ctx what attempt at a job this is. One that was cut off does
// not count, but may have been sent: by a Deliver that Temporal repeats, or by
// one that has left the job, with its time.
func attempted(ctx context.Context, job workflows.DeliverJob) context.Context {
	ctx = sinks.WithAttempt(ctx, job.Attempts+1)
	if activity.GetInfo(ctx).Attempt > 1 || !job.First.IsZero() {
		ctx = sinks.WithRepeat(ctx)
	}
	return ctx
}

// cutOff is an attempt that ended because the worker stops, which is not the
// sinks' fault: what has not arrived is delivered elsewhere, and only that.
func (d *decider) cutOff(failures []sinks.SinkFailure, out *workflows.DeliverResult) {
	byRef := map[sinks.Ref][]sinks.SinkFailure{}
	var order []sinks.Ref
	for _, f := range failures {
		if _, ok := byRef[f.Ref]; !ok {
			order = append(order, f.Ref)
		}
		byRef[f.Ref] = append(byRef[f.Ref], f)
	}
	for _, ref := range order {
		out.Pending = append(out.Pending, d.next(byRef[ref]))
	}
}

// positions are the items of ranges, those that exist.
func positions(ranges []workflows.Range, n int) []int {
	var out []int
	for _, r := range ranges {
		for i := r.First; i <= r.Last && i < int64(n); i++ {
			out = append(out, int(i))
		}
	}
	return out
}

// ranges is the inverse of positions.
func ranges(positions []int) []workflows.Range {
	slices.Sort(positions)
	var out []workflows.Range
	for _, p := range positions {
		if n := len(out); n > 0 && out[n-1].Last == int64(p)-1 {
			out[n-1].Last = int64(p)
			continue
		}
		out = append(out, workflows.Range{First: int64(p), Last: int64(p)})
	}
	return out
}

// grouped puts together the failures that are decided about together: of one
// sink, of one class, and either tried or held back by its breaker.
func grouped(failures []sinks.SinkFailure) [][]sinks.SinkFailure {
	type key struct {
		ref   sinks.Ref
		class sinks.Class
		held  bool
	}
	groups := map[key][]sinks.SinkFailure{}
	var order []key
	for _, f := range failures {
		k := key{f.Ref, f.Class, f.BreakerOpen}
		if _, ok := groups[k]; !ok {
			order = append(order, k)
		}
		groups[k] = append(groups[k], f)
	}
	out := make([][]sinks.SinkFailure, len(order))
	for i, k := range order {
		out[i] = groups[k]
	}
	return out
}

// heldShare is the part of the time that payloads have been waiting for which
// they wait again while the breaker holds them back: those that wait for hours
// need not ask twice a second whether the probe has ended.
const heldShare = 4

// decider decides what follows from refused payloads.
type decider struct {
	a   *Activities
	w   workflows.WindowRef
	job workflows.DeliverJob
	all []workflows.Output
	at  []int // positions of the payloads of this attempt in all
}

// decide decides about the failures of one sink: transient ones are delivered
// again, on_delivery_error is asked about those that are permanent or
// exhausted. What the breaker held back has not been tried.
func (d *decider) decide(ctx context.Context, group []sinks.SinkFailure, out *workflows.DeliverResult) {
	policy := d.policy(group[0].Ref)
	next := d.next(group)
	held := group[0].BreakerOpen
	if !held {
		next.Attempts++
	}
	permanent := group[0].Class == sinks.Permanent
	hold := policy.OnOpen == "hold"
	exhausted := !hold && (next.Attempts >= policy.MaxAttempts || held)
	if !permanent && !exhausted {
		next.After = max(grow(policy.InitialInterval, policy.MaxInterval, max(1, next.Attempts)), retryAfter(group))
		if held {
			next.After = max(next.After, min(policy.MaxInterval, time.Since(next.First)/heldShare))
		}
		d.again(next, len(group), held, out)
		return
	}
	next.Class = workflows.ClassExhausted
	if permanent {
		next.Class = workflows.ClassPermanent
		next.Refused++
	}
	d.answer(ctx, next, out)
}

// askAgain asks on_delivery_error about the items of the job.
func (d *decider) askAgain(ctx context.Context) (out workflows.DeliverResult, why error) {
	next := d.job
	next.Ask = false
	next.Items = blobs.List[workflows.Range]{Items: ranges(d.at)}
	d.answer(ctx, next, &out)
	d.pack(ctx, &out)
	return out, errors.New(next.Error)
}

// answer does what on_delivery_error says about refused payloads. While the hook
// itself fails, it is asked again; the dead letter queue keeps what nobody could
// be asked about. A hook that was cut off, since the worker stops, has not
// answered: it is asked elsewhere, and what has arrived is not delivered again.
func (d *decider) answer(ctx context.Context, next workflows.DeliverJob, out *workflows.DeliverResult) {
	policy := d.policy(next.To)
	action, err := d.ask(ctx, next)
	if err != nil && ctx.Err() != nil {
		next.Ask = true
		out.Pending = append(out.Pending, next)
		return
	}
	if err != nil {
		next.HookAttempts++
		if next.HookAttempts < d.a.cfg.HookMaxAttempts {
			next.Ask = true
			next.After = grow(d.a.cfg.HookInitialInterval, d.a.cfg.HookMaxInterval, next.HookAttempts)
			out.Pending = append(out.Pending, next)
			return
		}
		d.a.Log.Error(fmt.Sprintf("on_delivery_error failed %d times, payloads for %s go to the dead letter queue: %v",
			next.HookAttempts, next.To, err))
		action = drakkar.DLQ()
	}
	next.HookAttempts = 0
	tries := next.Attempts
	if next.Class == workflows.ClassPermanent { // attempts while the sink was away were none of its refusals
		tries = next.Refused
	}
	after, retry := action.IsRetry()
	n := count(next)
	switch {
	case action.IsSkip():
		out.Skipped += n
		d.a.Events.Record(events.SinkSkipped{
			Sink:     events.Sink{Type: string(next.To.Type), Name: next.To.Name},
			Payloads: n, Err: errors.New(next.Error),
		})
	case retry && tries < policy.MaxAttempts:
		next.Class = ""
		next.After = after
		if after == 0 {
			next.After = grow(policy.InitialInterval, policy.MaxInterval, max(1, next.Attempts))
		}
		d.again(next, n, false, out)
	default:
		next.DLQ, next.After = true, 0
		out.Pending = append(out.Pending, next)
	}
}

// count is how many payloads the items of a job are.
func count(job workflows.DeliverJob) int {
	n := 0
	for _, r := range job.Items.Items {
		n += int(r.Last-r.First) + 1
	}
	return n
}

// pack makes the jobs ready to travel, once.
func (d *decider) pack(ctx context.Context, out *workflows.DeliverResult) {
	for i := range out.Pending {
		job := &out.Pending[i]
		job.Items = d.a.packRanges(ctx, d.w, job.Items.Items)
	}
}

// policy is how a sink is delivered to. One that this process does not have may
// be there in another, a newer one.
func (d *decider) policy(ref sinks.Ref) sinks.Policy {
	if policy, ok := d.a.Sinks.Policy(ref); ok {
		return policy
	}
	return heldPolicy
}

// heldPolicy is that of sinks which this process does not have: during an
// upgrade, payloads wait for an executor that does.
var heldPolicy = sinks.Policy{Delivery: config.Delivery{
	OnOpen: "hold", MaxAttempts: 10, InitialInterval: time.Second, MaxInterval: 30 * time.Second,
}}

// retryAfter is the longest pause that the other side asked for.
func retryAfter(group []sinks.SinkFailure) time.Duration {
	var longest time.Duration
	for _, f := range group {
		longest = max(longest, f.RetryAfter)
	}
	return longest
}

func (d *decider) again(next workflows.DeliverJob, n int, held bool, out *workflows.DeliverResult) {
	d.a.Events.Record(events.SinkRetry{
		Sink:     events.Sink{Type: string(next.To.Type), Name: next.To.Name},
		Payloads: n, After: next.After, Held: held,
	})
	out.Pending = append(out.Pending, next)
}

// next is the job of what failed.
func (d *decider) next(group []sinks.SinkFailure) workflows.DeliverJob {
	job := workflows.DeliverJob{
		To: group[0].Ref, Attempts: d.job.Attempts, Refused: d.job.Refused, First: d.job.First, Error: errorText(group[0].Err),
	}
	if job.First.IsZero() {
		job.First = time.Now().UTC()
	}
	at := make([]int, len(group))
	var waiting []int64
	for i, f := range group {
		at[i] = d.at[f.Index]
		o := d.all[at[i]]
		waiting = append(append(waiting, o.Source.Offset), o.Also...)
	}
	job.Items.Items = ranges(at)
	job.Offsets = coarseRanges(waiting)
	return job
}

const (
	// maxRanges is how many ranges of messages a job holds: there are as many
	// jobs as sinks that fail.
	maxRanges = 500

	// maxItems is how many bytes of positions a job holds.
	maxItems = 16 << 10
)

// coarseRanges are ranges that hold all of the offsets, and others between them
// when they are very scattered.
func coarseRanges(offsets []int64) []workflows.Range {
	out := workflows.Ranges(offsets)
	for len(out) > maxRanges {
		half := out[:0]
		for pair := range slices.Chunk(out, 2) {
			half = append(half, workflows.Range{First: pair[0].First, Last: pair[len(pair)-1].Last})
		}
		out = half
	}
	return out
}

// packRanges makes positions ready to travel. They travel themselves, however
// many they are, when the store does not take them: what has arrived would be
// delivered again if that were an error.
func (a *Activities) packRanges(ctx context.Context, w workflows.WindowRef, r []workflows.Range) blobs.List[workflows.Range] {
	l, err := blobs.Pack(ctx, a.Blobs, prefix(w), maxItems, r)
	if err != nil {
		a.Log.Warn("keeping positions of payloads: " + err.Error())
		return blobs.List[workflows.Range]{Items: r, Len: len(r)}
	}
	return l
}

// ask calls on_delivery_error about the items of a job. Without one the answer
// is the dead letter queue.
func (d *decider) ask(ctx context.Context, job workflows.DeliverJob) (action drakkar.DeliveryAction, err error) {
	if !d.a.Pipeline.Hooks().DeliveryError {
		return drakkar.DLQ(), nil
	}
	e := drakkar.DeliveryError{
		SinkType: string(job.To.Type), SinkName: job.To.Name, Message: job.Error,
		Permanent: job.Class == workflows.ClassPermanent, Attempts: job.Attempts,
	}
	for _, i := range positions(job.Items.Items, len(d.all)) {
		p := d.all[i].Payload
		e.Payloads = append(e.Payloads, drakkar.RefusedPayload{ID: p.ID, Target: d.a.Sinks.Target(p), Value: p.Value, Source: p.Source})
	}
	err = d.a.hook(ctx, scope("on_delivery_error", d.w, job.Offsets[0].First), func(ctx context.Context) (err error) {
		action, err = d.a.Pipeline.OnDeliveryError(ctx, e)
		return err
	})
	return action, err
}
