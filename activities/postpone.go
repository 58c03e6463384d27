package activities

import (
	"errors"
	"time"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/executor"
	"github.com/drakkar-go/drakkar/workflows"
)

const (
	// The pauses before a task that its host could not start is tried again, by
	// whichever executor takes it then.
	postponeInitial = time.Second
	postponeLimit   = 30 * time.Second

	// maxMissing is how often a program may be missing, on whichever host,
	// before that is the task's failure: with its shorter pauses, 42 s. Of two
	// executors one of which has it, all tries meet the other once in 2,000.
	maxMissing   = 10
	missingLimit = 5 * time.Second
)

// actionPostponed is the Action of a TaskFailed whose attempt was not made.
const actionPostponed = "postponed"

// postpone puts off a task that could not be started here and now, although it
// may be elsewhere or later. Its attempt was not made, and on_error is not
// asked. A host that is short of something is waited for as long as it takes;
// a program that stays missing becomes the task's failure. It reports whether
// the task was put off.
func (a *Activities) postpone(w workflows.WindowRef, spec workflows.TaskSpec, err error, d *taskDone) bool {
	host, ok := errors.AsType[*executor.HostError](err)
	if !ok || host.Missing && spec.Postponed >= maxMissing {
		return false
	}
	limit := postponeLimit
	if host.Missing {
		limit = missingLimit
	}
	next := spec
	next.Postponed++
	d.Again, d.After = &next, grow(postponeInitial, limit, next.Postponed)
	stats := a.Pool.Stats()
	a.Events.Record(events.TaskFailed{
		At: at(w, spec.SourceOffsets[0]), Error: host.TaskError, Action: actionPostponed,
		Active: stats.Active, Waiting: stats.Waiting,
	})
	return true
}
