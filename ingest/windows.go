package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drakkar-go/drakkar/workflows"
)

// Errors of Windows that ingest decides upon. Any other error may pass.
var (
	// ErrAlreadyStarted says that a window was started before, by whomever. It
	// may be closed by now.
	ErrAlreadyStarted = errors.New("window was started before")

	// ErrNotFound says that Temporal does not know the window.
	ErrNotFound = errors.New("window is not known to Temporal")

	// ErrNotYet says that a window is still open.
	ErrNotYet = errors.New("window is still open")

	// ErrTooLarge says that Temporal refuses an input for its size.
	ErrTooLarge = errors.New("window is too large for Temporal")

	// ErrRefused says that Temporal refuses to talk to this process: its
	// credentials or its permissions.
	ErrRefused = errors.New("Temporal refuses this process")

	// ErrNoRerun says that a window was run again as often as it may.
	ErrNoRerun = errors.New("window has no rerun left")
)

// ClosedError says that a window's workflow ended without its result: it was
// terminated or cancelled, timed out or failed.
type ClosedError struct {
	// Status is Temporal's, in lower case: terminated, failed, ...
	Status string
	// Err is the failure, if there is one.
	Err error
}

// Error implements error.
func (e *ClosedError) Error() string {
	if e.Err == nil {
		return "workflow " + e.Status
	}
	return fmt.Sprintf("workflow %s: %v", e.Status, e.Err)
}

// Unwrap returns the failure.
func (e *ClosedError) Unwrap() error { return e.Err }

// Windows is what ingest needs of Temporal. It is used by many goroutines at
// the same time; every method returns soon after ctx ends.
type Windows interface {
	// Start starts the window and returns once the server has acknowledged it.
	// An id that was used before, by a workflow that runs or is closed, is
	// ErrAlreadyStarted and starts nothing.
	Start(ctx context.Context, in workflows.WindowInput) error

	// Describe returns what a window covers and what is known to be finished of
	// it, or ErrNotFound. It needs no worker.
	Describe(ctx context.Context, workflowID string) (Description, error)

	// Wait waits for the result of the window's current run, for some seconds:
	// then it is ErrNotYet. A run that ended without a result is a
	// *ClosedError; a window that is gone is ErrNotFound.
	Wait(ctx context.Context, workflowID string) (workflows.WindowResult, error)

	// Reset runs a window that ended without a result again from its last
	// workflow task on: what was finished stays finished. It returns the number
	// of the new run, which counts from 1 and survives restarts of this
	// process. A window that runs, or has its result, is left alone: run is 0.
	// After maxRuns it is ErrNoRerun.
	Reset(ctx context.Context, workflowID, reason string, maxRuns int) (run int, err error)

	// DeadLetter starts what is left of a window anew, under the same id, as
	// one that writes its messages to the dead letter queue, and reports
	// whether it did: a window that has its result, or that does so already,
	// is left alone. One that runs is terminated. What the window's memo calls
	// finished is not left.
	DeadLetter(ctx context.Context, workflowID, reason string) (started bool, err error)

	// CancelOld ends the windows of the partition that run and are of another
	// epoch than the link, and returns how many it ended. It finds them by
	// Temporal's visibility, which may lag a little.
	CancelOld(ctx context.Context, link workflows.Link) (int, error)

	// StartRebalance starts a workflow that tells the handler about partitions.
	StartRebalance(ctx context.Context, in workflows.RebalanceInput) error

	// Retention is how long closed workflows of the namespace are kept.
	Retention(ctx context.Context) (time.Duration, error)

	// Check reports whether Temporal answers.
	Check(ctx context.Context) error
}

// Description is what Temporal tells about a window.
type Description struct {
	// Last is the last offset of its range.
	Last int64

	// Messages is how many messages it holds.
	Messages int

	// Completed is true once it has its result.
	Completed bool

	// Finished are ranges of offsets that are done, as the window published
	// them.
	Finished []workflows.Range

	// Started is when its first run was started.
	Started time.Time

	// DeadLetter is true when it does nothing but write its messages to the
	// dead letter queue.
	DeadLetter bool
}
