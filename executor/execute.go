package executor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

var (
	// errTimedOut is the cause of a context that ended at its task's timeout.
	errTimedOut = errors.New("the task's timeout has passed")

	// errNotReady is that of one in which a resident program should have become
	// ready.
	errNotReady = errors.New("the time to become ready has passed")
)

// bound returns the context of an attempt. It ends with ctx, and when the pool
// ends its tasks.
func (l *lifetime) bound(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(l.ctx, func() { cancel(context.Cause(l.ctx)) })
	return ctx, func() {
		unhook()
		cancel(nil)
	}
}

// timeout is the task's own or the pool's.
func (p *Pool) timeout(t drakkar.Task) time.Duration {
	if t.Timeout > 0 {
		return t.Timeout
	}
	return p.cfg.TaskTimeout
}

// timedOut is the error of a task that ran for too long.
func (p *Pool) timedOut(res drakkar.Result) drakkar.TaskError {
	res.ExitCode = -1
	return drakkar.TaskError{
		Kind: drakkar.TaskTimeout, Result: res,
		Message: fmt.Sprintf("timed out after %s", p.timeout(res.Task)),
	}
}

// precomputed settles a task whose result is known already.
func (p *Pool) precomputed(j Job) (drakkar.Result, error) {
	s := p.Stats()
	p.events.Record(events.TaskStarted{
		At: j.At, Task: j.Task, Attempt: j.Attempt, Slot: -1, Precomputed: true,
		Active: s.Active, Waiting: s.Waiting,
	})
	known := j.Task.Precomputed
	res := drakkar.Result{
		Task: j.Task, Attempt: j.Attempt, StartedAt: time.Now(),
		ExitCode: known.ExitCode, Stdout: known.Stdout, Stderr: known.Stderr, Duration: known.Duration,
	}
	if res.ExitCode != 0 {
		return res, exitError(res)
	}
	p.completed(j, res)
	return res, nil
}

// execute runs the handler's own Go.
func (p *Pool) execute(ctx context.Context, j Job) (drakkar.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout(j.Task), errTimedOut)
	defer cancel()

	started := time.Now()
	res, err := callExecute(ctx, j)
	res.Task, res.Attempt = j.Task, j.Attempt
	res.StartedAt, res.Duration = started, time.Since(started)

	var panicked panicError
	switch cause := context.Cause(ctx); {
	case errors.As(err, &panicked):
		res.ExitCode, res.Stderr = -1, bytesUpTo(panicked.stack, p.cfg.MaxOutputBytes)
		return res, drakkar.TaskError{Kind: drakkar.TaskExecute, Message: err.Error(), Result: res}
	case errors.Is(cause, errTimedOut):
		// It ran for too long even if it has returned well in the end.
		failed := p.timedOut(res)
		return failed.Result, failed
	case err != nil && cause != nil:
		return res, cause
	case err != nil:
		res.ExitCode = -1
		return res, drakkar.TaskError{Kind: drakkar.TaskExecute, Message: err.Error(), Result: res}
	case res.ExitCode != 0:
		return res, exitError(res)
	default:
		return res, nil
	}
}

// panicError is a panic of Execute.
type panicError struct {
	value any
	stack []byte
}

// Error implements error.
func (e panicError) Error() string { return fmt.Sprintf("Execute panicked: %v", e.value) }

// callExecute calls Execute and turns a panic into an error.
func callExecute(ctx context.Context, j Job) (res drakkar.Result, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = panicError{value: value, stack: debug.Stack()}
		}
	}()
	return j.Execute(ctx, j.Task)
}

// exitError is the error of an exit code other than 0.
func exitError(res drakkar.Result) drakkar.TaskError {
	message := fmt.Sprintf("exit code %d", res.ExitCode)
	if line := firstLine(res.Stderr); line != "" {
		message += ": " + line
	}
	return drakkar.TaskError{Kind: drakkar.TaskExit, Message: message, Result: res}
}

func bytesUpTo(b []byte, max int) drakkar.Bytes { return b[:min(len(b), max)] }
