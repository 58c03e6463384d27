package activities

import (
	"context"
	"slices"

	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/workflows"
)

// collectState is what heartbeats hold of a Collect that Temporal repeats.
type collectState struct {
	// Attempts were made at each call that is left.
	Attempts int `json:"attempts"`

	// Left are the calls that failed; empty while that is all of them. Done are
	// the others.
	Left blobs.List[workflows.HookCall] `json:"left,omitzero"`
	Done []blobs.List[doneCall]         `json:"done,omitempty"`
}

// doneCall is a call that succeeded. Task is there for the hook of a task.
type doneCall struct {
	Call    workflows.HookCall `json:"call"`
	Task    *taskDone          `json:"task,omitempty"`
	Outputs []workflows.Output `json:"outputs,omitempty"`
}

// called are calls with what each came to, after that many attempts at those
// that failed.
type called struct {
	calls    []workflows.HookCall
	results  []*callDone
	attempts int
}

// failed is how many calls failed, and the error of one.
func (c called) failed() (n int, why error) {
	for _, r := range c.results {
		if r.err != nil {
			n, why = n+1, r.err
		}
	}
	return n, why
}

// leave puts into the state what the next run needs of this round.
func (a *Activities) leave(ctx context.Context, w workflows.WindowRef, state *collectState, round called) (err error) {
	var left []workflows.HookCall
	var done []doneCall
	for i, r := range round.results {
		c := round.calls[i]
		switch {
		case r.err != nil:
			left = append(left, c)
		case r.spec != nil:
			done = append(done, doneCall{Call: c, Task: &r.done})
		default:
			done = append(done, doneCall{Call: c, Outputs: r.outputs})
		}
	}
	if len(done) == 0 {
		return nil
	}
	kept := slices.Clip(state.Done)
	if len(kept) >= maxEarlier {
		earlier, err := unpackAll(ctx, a.Blobs, kept)
		if err != nil {
			return err
		}
		done, kept = append(earlier, done...), nil
	}
	if state.Left, err = blobs.Pack(ctx, a.Blobs, prefix(w), beatInline, left); err != nil {
		return err
	}
	list, err := blobs.Pack(ctx, a.Blobs, prefix(w), beatInline/maxEarlier, done)
	kept = append(kept, list)
	state.Done = kept
	return err
}

// withEarlier is the round, behind the calls that succeeded in runs before.
func (a *Activities) withEarlier(ctx context.Context, state collectState, round called) (called, error) {
	done, err := unpackAll(ctx, a.Blobs, state.Done)
	if err != nil {
		return called{}, err
	}
	all := called{attempts: state.Attempts}
	for _, d := range done {
		r := &callDone{outputs: d.Outputs}
		if d.Task != nil && d.Call.Task != nil {
			r.spec, r.done = &d.Call.Task.Spec, *d.Task
		}
		all.calls, all.results = append(all.calls, d.Call), append(all.results, r)
	}
	all.calls = append(all.calls, round.calls...)
	all.results = append(all.results, round.results...)
	return all, nil
}
