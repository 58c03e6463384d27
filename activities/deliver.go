package activities

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/workflows"
)

// Deliver delivers payloads to their sinks, all sinks at the same time, and
// letters to the dead letter queue. What a sink did not accept comes back as
// jobs: to be tried again after a pause, or for the dead letter queue.
func (a *Activities) Deliver(ctx context.Context, in workflows.DeliverInput) (workflows.DeliverResult, error) {
	defer a.beat(ctx)()
	if job := in.Job; job != nil {
		if job.DLQ {
			return a.bury(ctx, in, *job)
		}
		return a.deliver(ctx, in, *job)
	}
	var out workflows.DeliverResult
	if total := listLen(in.Outputs); total > 0 {
		all := workflows.DeliverJob{Items: []workflows.Range{{Last: int64(total) - 1}}}
		res, err := a.deliver(ctx, in, all)
		if err != nil {
			return out, err
		}
		out = res
	}
	if total := listLen(in.Letters); total > 0 {
		res, err := a.bury(ctx, in, workflows.DeliverJob{
			DLQ: true, Letters: true, Items: []workflows.Range{{Last: int64(total) - 1}},
		})
		if err != nil {
			return out, err
		}
		out.DeadLettered += res.DeadLettered
		out.Pending = append(out.Pending, res.Pending...)
	}
	return out, nil
}

// deliver is one attempt at the sinks.
func (a *Activities) deliver(ctx context.Context, in workflows.DeliverInput, job workflows.DeliverJob) (out workflows.DeliverResult, err error) {
	all, err := unpackAll(ctx, a.Blobs, in.Outputs)
	if err != nil {
		return out, err
	}
	at := positions(job.Items, len(all))
	payloads := make([]sinks.Payload, len(at))
	for i, pos := range at {
		payloads[i] = all[pos].Payload
	}
	failures := a.Sinks.Deliver(sinks.WithAttempt(ctx, job.Attempts+1), payloads)
	out.Delivered = len(payloads) - len(failures)
	if len(failures) > 0 && ctx.Err() != nil {
		return out, context.Cause(ctx) // the worker stops: not the sinks' fault
	}
	job.Attempts += int(activity.GetInfo(ctx).Attempt) - 1
	d := &decider{a: a, w: in.Window, job: job, all: all, at: at}
	for _, group := range grouped(failures) {
		d.decide(ctx, group, &out)
	}
	if len(failures) == 0 {
		return out, nil
	}
	return out, unchanged(in, out, failures[0].Err)
}

// unchanged leaves the waiting to Temporal when an attempt at a part has
// achieved nothing: repeating the activity adds nothing to the window's
// history, however long a sink is away. Otherwise the workflow goes on with
// what is left.
func unchanged(in workflows.DeliverInput, out workflows.DeliverResult, why error) error {
	if in.Job == nil || out.Delivered+out.Skipped+out.DeadLettered > 0 || len(out.Pending) != 1 {
		return nil
	}
	next := out.Pending[0]
	if next.DLQ != in.Job.DLQ || !slices.Equal(next.Items, in.Job.Items) {
		return nil
	}
	return temporal.NewApplicationErrorWithOptions(
		errorText(why), workflows.ErrTypeNotYet, temporal.ApplicationErrorOptions{NextRetryDelay: next.After})
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
// sink and of one class.
func grouped(failures []sinks.SinkFailure) [][]sinks.SinkFailure {
	type key struct {
		ref   sinks.Ref
		class sinks.Class
	}
	groups := map[key][]sinks.SinkFailure{}
	var order []key
	for _, f := range failures {
		k := key{f.Ref, f.Class}
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
// exhausted.
func (d *decider) decide(ctx context.Context, group []sinks.SinkFailure, out *workflows.DeliverResult) {
	policy, ok := d.a.Sinks.Policy(group[0].Ref)
	if !ok { // another executor may have it, a newer one
		policy = heldPolicy
	}
	next := d.next(group)
	permanent := group[0].Class == sinks.Permanent
	hold := policy.OnOpen == "hold"
	exhausted := !hold && (next.Attempts >= policy.MaxAttempts || group[0].BreakerOpen)
	if !permanent && !exhausted {
		next.After = max(grow(policy.InitialInterval, policy.MaxInterval, next.Attempts), retryAfter(group))
		d.again(next, len(group), out)
		return
	}
	action := d.ask(ctx, group, next, permanent)
	after, retry := action.IsRetry()
	switch {
	case action.IsSkip():
		out.Skipped += len(group)
		d.a.Events.Record(events.SinkSkipped{
			Sink:     events.Sink{Type: string(next.To.Type), Name: next.To.Name},
			Payloads: len(group), Err: group[0].Err,
		})
	case retry && next.Attempts < policy.MaxAttempts:
		next.After = after
		if after == 0 {
			next.After = grow(policy.InitialInterval, policy.MaxInterval, next.Attempts)
		}
		d.again(next, len(group), out)
	default:
		next.DLQ, next.Class = true, workflows.ClassExhausted
		if permanent {
			next.Class = workflows.ClassPermanent
		}
		out.Pending = append(out.Pending, next)
	}
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

func (d *decider) again(next workflows.DeliverJob, n int, out *workflows.DeliverResult) {
	d.a.Events.Record(events.SinkRetry{
		Sink:     events.Sink{Type: string(next.To.Type), Name: next.To.Name},
		Payloads: n, After: next.After,
	})
	out.Pending = append(out.Pending, next)
}

// next is the job of what failed.
func (d *decider) next(group []sinks.SinkFailure) workflows.DeliverJob {
	job := workflows.DeliverJob{
		To: group[0].Ref, Attempts: d.job.Attempts + 1, First: d.job.First, Error: errorText(group[0].Err),
	}
	if job.First.IsZero() {
		job.First = time.Now().UTC()
	}
	at := make([]int, len(group))
	waiting := map[int64]bool{}
	for i, f := range group {
		at[i] = d.at[f.Index]
		o := d.all[at[i]]
		waiting[o.Source.Offset] = true
		for _, also := range o.Also {
			waiting[also] = true
		}
	}
	job.Items = ranges(at)
	job.Offsets = slices.Sorted(maps.Keys(waiting))
	return job
}

// ask calls on_delivery_error. When the hook itself fails, its default answer
// stands: the dead letter queue keeps everything.
func (d *decider) ask(ctx context.Context, group []sinks.SinkFailure, next workflows.DeliverJob, permanent bool) drakkar.DeliveryAction {
	if !d.a.Pipeline.Hooks().DeliveryError {
		return drakkar.DLQ()
	}
	e := drakkar.DeliveryError{
		SinkType: string(next.To.Type), SinkName: next.To.Name, Message: next.Error,
		Permanent: permanent, Attempts: next.Attempts,
	}
	for _, f := range group {
		p := d.all[d.at[f.Index]].Payload
		e.Payloads = append(e.Payloads, drakkar.RefusedPayload{ID: p.ID, Target: d.a.Sinks.Target(p), Value: p.Value, Source: p.Source})
	}
	action := drakkar.DLQ()
	err := d.a.hook(ctx, scope("on_delivery_error", d.w, next.Offsets[0]), func(ctx context.Context) (err error) {
		action, err = d.a.Pipeline.OnDeliveryError(ctx, e)
		return err
	})
	if err != nil {
		d.a.Log.Error(fmt.Sprintf("on_delivery_error failed, %d payloads for %s go to the dead letter queue: %v", len(group), next.To, err))
		return drakkar.DLQ()
	}
	return action
}
