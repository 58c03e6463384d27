package activities

import (
	"context"
	"errors"
	"time"

	"github.com/drakkar-go/drakkar/workflows"
)

// maxWaiting is how many jobs a patient Deliver keeps: heartbeats hold them. It
// takes sinks that refuse payloads a few at a time, and a dead letter queue that
// is away, to get there. Then all of them go back to the window.
const maxWaiting = 32

// patience is what heartbeats hold of a patient Deliver.
type patience struct {
	// Begun says that the first attempt at everything has been made.
	Begun bool `json:"begun,omitempty"`

	Waiting  []waitingJob            `json:"waiting,omitempty"`
	Achieved workflows.DeliverResult `json:"achieved"`

	why error
}

// waitingJob is a job with the time of its next attempt. Each sink has its own:
// one that is to be left alone for long does not hold up the others.
type waitingJob struct {
	Job workflows.DeliverJob `json:"job"`
	Due time.Time            `json:"due"`
}

// errWaiting is why Temporal repeats a Deliver that had nothing due.
var errWaiting = errors.New("waiting for the next attempt at what is left")

// take adds what an attempt came to.
func (p *patience) take(out workflows.DeliverResult, why error) {
	p.Achieved.Delivered += out.Delivered
	p.Achieved.Skipped += out.Skipped
	p.Achieved.DeadLettered += out.DeadLettered
	now := time.Now()
	for _, job := range out.Pending {
		p.Waiting = append(p.Waiting, waitingJob{Job: job, Due: now.Add(job.After)})
	}
	if why != nil {
		p.why = why
	}
}

// deliverPatiently delivers until nothing is left. It waits by having itself
// repeated by Temporal, which adds nothing to the window's history.
func (a *Activities) deliverPatiently(ctx context.Context, in workflows.DeliverInput) (workflows.DeliverResult, error) {
	var state patience
	if err := resumed(ctx, &state); err != nil {
		return workflows.DeliverResult{}, err
	}
	stop := a.beat(ctx, state)
	defer stop()
	err := a.attempt(ctx, in, &state)
	stop()
	if err != nil {
		lastBeat(ctx, state) // what has arrived is not delivered again
		return workflows.DeliverResult{}, err
	}
	if len(state.Waiting) == 0 || len(state.Waiting) > maxWaiting {
		out := state.Achieved
		for _, w := range state.Waiting {
			out.Pending = append(out.Pending, w.Job)
		}
		return out, nil
	}
	next := state.Waiting[0].Due
	for _, w := range state.Waiting {
		if w.Due.Before(next) {
			next = w.Due
		}
	}
	return workflows.DeliverResult{}, repeat(ctx, state.why, time.Until(next), state)
}

// attempt makes the first attempt at everything, or one at each job that is due.
// After an error the state is what is still to be done.
func (a *Activities) attempt(ctx context.Context, in workflows.DeliverInput, state *patience) error {
	if !state.Begun && in.Job != nil {
		state.take(workflows.DeliverResult{Pending: []workflows.DeliverJob{*in.Job}}, errWaiting)
		state.Begun = true
		return nil
	}
	if !state.Begun {
		out, why, err := a.deliverAll(ctx, in)
		if err != nil {
			return err
		}
		state.take(out, why)
		state.Begun = true
		return nil
	}
	state.why = errWaiting
	now := time.Now()
	waiting := state.Waiting
	state.Waiting = nil
	for i, w := range waiting {
		if w.Due.After(now) {
			state.Waiting = append(state.Waiting, w)
			continue
		}
		run := a.deliver
		if w.Job.DLQ {
			run = a.bury
		}
		out, why, err := run(ctx, in, w.Job)
		if err != nil {
			state.Waiting = append(state.Waiting, waiting[i:]...)
			return err
		}
		state.take(out, why)
	}
	return nil
}
