package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

// goFollow follows a window that holds a slot.
func (i *Ingest) goFollow(p *partition, w *openWindow) {
	i.work.Go(func() {
		defer p.share.release()

		i.follow(p, w)
	})
}

// follow waits for a window's result, for as long as the partition is owned.
// The window is known by its id alone, so a run that was reset by whomever is
// followed as well.
func (i *Ingest) follow(p *partition, w *openWindow) {
	looked := w.since
	for failed := 0; ; {
		res, err := i.opt.Temporal.Wait(p.ctx, w.id)
		var closed *ClosedError
		switch {
		case err == nil && res.Last != w.last:
			err = i.otherRange(p, w, res.Last)
		case err == nil:
			i.finished(p, w, res)
			return
		case p.ctx.Err() != nil:
			return
		case errors.Is(err, ErrNotYet):
			failed = 0
			p.problem(w.id, "")
			if looked, err = i.lookAtProgress(p, w, looked); err == nil {
				err = i.checkAge(p, w)
			}
		case errors.Is(err, ErrNotFound):
			err = i.windowGone(p, w)
		case errors.As(err, &closed):
			err = i.rerun(p, w, closed)
		default:
			failed++
			i.report(p, failure{key: w.id, workflow: w.id, doing: "following the window", err: err})
			err = pause(p.ctx, backoff(failed))
		}
		if err != nil {
			return
		}
	}
}

func (i *Ingest) finished(p *partition, w *openWindow, res workflows.WindowResult) {
	p.finish(w)
	i.events.Record(events.WindowFinished{
		At: w.at(), Workflow: w.id, Last: w.last, Messages: res.Messages, Tasks: res.Tasks,
		Failed: res.Failed, Delivered: res.Delivered, DeadLettered: res.DeadLettered,
		Skipped: res.Skipped, Took: time.Since(w.since),
	})
}

// lookAtProgress reads which messages of a window are done, when it is open for
// longer than its progress interval. A failure is left to the next look.
func (i *Ingest) lookAtProgress(p *partition, w *openWindow, looked time.Time) (time.Time, error) {
	if time.Since(looked) < i.opt.Ingest.ProgressInterval {
		return looked, nil
	}
	d, err := i.opt.Temporal.Describe(p.ctx, w.id)
	if err == nil && d.Last != w.last {
		return looked, i.otherRange(p, w, d.Last)
	}
	if err == nil {
		p.progress(w, d)
	}
	return time.Now(), nil
}

// otherRange gives up what is known of the chain: a window of it was gone, and
// another owner, who did not know its range, was faster to start it again. Its
// error ends the following of the window.
func (i *Ingest) otherRange(p *partition, w *openWindow, last int64) error {
	i.report(p, failure{
		key: w.id, workflow: w.id, doing: "following the window",
		err: fmt.Errorf("it ends at %d and not at %d: %w", last, w.last, errOtherRange),
	})
	return i.bringUpAnew(p)
}

// rerun runs a window again that ended without its result, unless it is one
// that was ended for its age and whose rest has not been started yet. Its error
// is that of the partition's context.
func (i *Ingest) rerun(p *partition, w *openWindow, closed *ClosedError) error {
	if i.opt.Windows.OnMaxAge == onMaxAgeDeadLetter && i.overAge(w) {
		return i.checkAge(p, w)
	}
	run, err := i.opt.Temporal.Reset(p.ctx, w.id, closed.Error(), i.opt.Windows.MaxReruns)
	switch {
	case p.ctx.Err() != nil:
		return context.Cause(p.ctx)
	case errors.Is(err, ErrNoRerun):
		return i.windowFailed(p, w, closed)
	case errors.Is(err, ErrNotFound):
		return i.windowGone(p, w)
	case err != nil:
		i.report(p, failure{key: w.id, workflow: w.id, doing: "running the window again", err: err})
		return pause(p.ctx, backoff(3))
	case run > 0:
		i.events.Record(events.WindowRerun{At: w.at(), Workflow: w.id, Reason: closed.Error(), Run: run})
	}
	p.problem(w.id, "")
	return nil
}

// windowFailed writes what is left of a window that has no rerun left to the
// dead letter queue. Its error is that of the partition's context.
func (i *Ingest) windowFailed(p *partition, w *openWindow, closed *ClosedError) error {
	return i.deadLetter(p, w, fmt.Sprintf("the window was run again windows.max_reruns (%d) times and ended without a result again: %v",
		i.opt.Windows.MaxReruns, closed))
}

// deadLetter starts the rest of a window as one that does nothing but write its
// messages to the dead letter queue. Its error is that of the partition's
// context.
func (i *Ingest) deadLetter(p *partition, w *openWindow, reason string) error {
	started, err := i.opt.Temporal.DeadLetter(p.ctx, w.id, reason)
	switch {
	case p.ctx.Err() != nil:
		return context.Cause(p.ctx)
	case errors.Is(err, ErrNotFound):
		return i.windowGone(p, w)
	case err != nil:
		i.report(p, failure{key: w.id, workflow: w.id, doing: "dead-lettering the window's rest", err: err})
		return pause(p.ctx, backoff(3))
	case started:
		i.events.Record(events.WindowDeadLettered{At: w.at(), Workflow: w.id, Last: w.last, Reason: reason})
	}
	p.problem(w.id, "")
	return nil
}

// checkAge raises the alarm about a window that is open for too long, and ends
// it when that is wanted. Its error is that of the partition's context.
func (i *Ingest) checkAge(p *partition, w *openWindow) error {
	if !i.overAge(w) {
		return nil
	}
	if !w.overdue {
		w.overdue = true
		i.events.Record(events.WindowOverdue{At: w.at(), Workflow: w.id, Last: w.last, Age: time.Since(w.started)})
	}
	if i.opt.Windows.OnMaxAge != onMaxAgeDeadLetter {
		return nil
	}
	return i.deadLetter(p, w, fmt.Sprintf("the window was open for longer than windows.max_age (%s)", i.opt.Windows.MaxAge))
}

func (i *Ingest) overAge(w *openWindow) bool {
	limit := i.opt.Windows.MaxAge
	return limit > 0 && time.Since(w.started) >= limit
}

// onMaxAgeDeadLetter is the value of windows.on_max_age that ends windows.
const onMaxAgeDeadLetter = "dead_letter"
