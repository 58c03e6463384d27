package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/drakkar-go/drakkar/workflows"
)

const (
	// atOnceWork is what the tasks of a window may be expected to take, the
	// slowest seen lately included, to be run by Arrange itself. What they come
	// to is recorded only when all of it is over, so a worker that dies meanwhile
	// costs all of it; and the workflow's step is held up that long.
	atOnceWork = 250 * time.Millisecond

	// atOnceLimit is when those that take longer, against expectation, are ended:
	// they begin again in an Execute, and the others are recorded.
	atOnceLimit = time.Second
)

var errNotAtOnce = errors.New("the task takes too long to be run inside the workflow's own step")

// atOnce runs all tasks of a window that are quick, while slots are free: an
// Execute would cost a window of a few short tasks more than they do. It returns
// nil when they are left to an Execute.
func (a *Activities) atOnce(ctx context.Context, in workflows.ArrangeInput, specs []workflows.TaskSpec) (*workflows.Outcome, error) {
	if in.Run == nil || !activity.GetInfo(ctx).IsLocalActivity || len(specs) == 0 || !a.quick(specs) || stopping(ctx) {
		return nil, nil //nolint:nilnil // there is no outcome
	}
	run := &batchRun{
		a: a, specs: specs, units: units(specs), done: make([]*taskDone, len(specs)), limit: time.Now().Add(atOnceLimit),
		in: workflows.ExecuteInput{Window: in.Window, Records: in.Run.Records, RecordLimit: in.Run.RecordLimit},
	}
	var free bool
	if run.batch, free = a.Admission.Enter(run.ready()); !free {
		return nil, nil //nolint:nilnil // there is no outcome
	}
	defer run.batch.Close()
	run.all(ctx)
	out, err := run.outcome(ctx)
	return &out, err
}

// quick reports whether tasks can be expected to take next to nothing.
func (a *Activities) quick(specs []workflows.TaskSpec) bool {
	n := cost(specs)
	if n == 0 {
		return len(specs) <= maxBatch
	}
	mean, slowest := a.taskTime.value(), a.slowest.value(time.Now())
	if mean == 0 { // nothing is known of them
		return false
	}
	return time.Duration(n)*mean/time.Duration(a.Pool.Stats().Slots)+slowest <= atOnceWork
}

// stopping reports whether the worker was told to stop. The context of its
// activities ends only when its time for that is over.
func stopping(ctx context.Context) bool {
	select {
	case <-activity.GetWorkerStopChannel(ctx):
		return true
	default:
		return ctx.Err() != nil
	}
}
