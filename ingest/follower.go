package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

// stuckLook is how often a window that cannot go on by itself is looked at: an
// operator may have reset it.
const stuckLook = 30 * time.Second

// goFollow follows a window that holds a slot.
func (i *Ingest) goFollow(p *partition, w *openWindow) {
	i.work.Go(func() {
		defer i.slots.release(1)

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
		case err == nil:
			i.finished(p, w, res)
			return
		case p.ctx.Err() != nil:
			return
		case errors.Is(err, ErrNotYet):
			failed = 0
			p.problem(w.id, "")
			looked = i.lookAtProgress(p, w, looked)
			continue
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
// longer than its progress interval. An error is left to the next look.
func (i *Ingest) lookAtProgress(p *partition, w *openWindow, looked time.Time) time.Time {
	if time.Since(looked) < i.opt.Ingest.ProgressInterval {
		return looked
	}
	if d, err := i.opt.Temporal.Describe(p.ctx, w.id); err == nil {
		p.progress(w, d)
	}
	return time.Now()
}

// rerun runs a window again that ended without its result. Its error is that
// of the partition's context.
func (i *Ingest) rerun(p *partition, w *openWindow, closed *ClosedError) error {
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

// windowFailed holds the watermark at a window that has no rerun left. Running
// it again in dead-letter mode belongs here.
func (i *Ingest) windowFailed(p *partition, w *openWindow, closed *ClosedError) error {
	return i.stuck(p, w, fmt.Errorf("window %s was run again windows.max_reruns (%d) times and ended without a result again (%w): "+
		"the partition's offset waits before it; reset the workflow once its cause is removed",
		w.id, i.opt.Windows.MaxReruns, closed))
}

// windowGone holds the watermark at a window that Temporal has forgotten.
// Reading its range from Kafka again, less what is known to be done, and
// starting it as the same link of the chain belongs here.
func (i *Ingest) windowGone(p *partition, w *openWindow) error {
	return i.stuck(p, w, fmt.Errorf("window %s (offsets %d-%d) is gone from Temporal before it had a result: "+
		"the partition's offset waits before it", w.id, w.link.Start, w.last))
}

// stuck says that somebody has to act, once, and looks again after a while. Its
// error is that of the partition's context.
func (i *Ingest) stuck(p *partition, w *openWindow, err error) error {
	i.report(p, failure{key: w.id, workflow: w.id, doing: "following the window", err: err, stuck: true})
	return pause(p.ctx, stuckLook)
}
