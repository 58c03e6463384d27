package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

// maxAnnotation is the largest note that is kept; larger ones are dropped
// whole, since half a note misleads.
const maxAnnotation = 16 << 10

// overtime is how long a hook may go on after its context ended before it is
// given up. Its goroutine is left behind: Go cannot end it.
const overtime = 2 * time.Second

var errHookTimeout = errors.New("the hook took longer than hooks.timeout")

// hook calls a hook of the handler: within hooks.timeout, with its scope in the
// context, reported once. A hook that does not return in spite of its context
// is an error of that hook, and cannot hold up its window.
func (a *Activities) hook(ctx context.Context, s drakkar.HookScope, call func(context.Context) error) error {
	s.Log, s.Annotate = a.Log, a.annotate
	ctx, cancel := context.WithTimeoutCause(drakkar.WithHookScope(ctx, s), a.cfg.HookTimeout, errHookTimeout)
	defer cancel()

	began := time.Now()
	err := within(ctx, s.Hook, func() error { return call(ctx) })
	a.Events.Record(events.HookRan{
		Hook: s.Hook, At: events.At{Topic: s.Topic, Partition: s.Partition, Offset: s.Offset},
		TaskID: s.TaskID, Took: time.Since(began), Err: err,
	})
	a.logPanic(s.Hook, err)
	return err
}

// logPanic logs the whole stack of a panic.
func (a *Activities) logPanic(hook string, err error) {
	var he *drakkar.HookError
	if errors.As(err, &he) && he.Panic {
		a.Log.Error("hook panicked", zap.String("hook", hook), zap.Error(err), zap.String("stack", he.Stack))
	}
}

// within runs call and returns its error, or gives it up some time after ctx
// ended. Its goroutine survives whatever the handler does: also encoding what a
// hook returned calls code of the handler's types.
func within(ctx context.Context, hook string, call func() error) error {
	done := make(chan error, 1)
	go func() { done <- frozen(guard(hook, call)) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	late := time.NewTimer(overtime)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return fmt.Errorf("the hook did not return: %w", context.Cause(ctx))
	}
}

// guard makes an error of a panic.
func guard(hook string, call func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			cause, ok := r.(error)
			if !ok {
				cause = fmt.Errorf("%v", r)
			}
			err = &drakkar.HookError{Hook: hook, Err: cause, Panic: true, Stack: string(debug.Stack())}
		}
	}()
	return call()
}

// frozenError is an error of a handler whose text was read once: the Error
// method of a type of its own can panic, and that may happen in a hook only.
type frozenError struct {
	text string
	err  error
}

func (e *frozenError) Error() string { return e.text }
func (e *frozenError) Unwrap() error { return e.err }

// frozen reads the text of an error. That of a panic has the head of its stack.
func frozen(err error) error {
	if err == nil {
		return nil
	}
	out := &frozenError{err: err, text: textOf(err)}
	var he *drakkar.HookError
	if errors.As(err, &he) && he.Panic {
		out.text = clip(out.text, maxErrorText-maxStackText) + "\n" + clip(he.Stack, maxStackText)
	}
	return out
}

// textOf is the text of an error, whatever its Error method does.
func textOf(err error) (text string) {
	if panicked := guard("", func() error { text = err.Error(); return nil }); panicked != nil {
		return fmt.Sprintf("an error of type %T, whose Error method panics", err)
	}
	return text
}

func (a *Activities) annotate(n drakkar.Annotation) {
	data, err := json.Marshal(n.Data)
	a.Events.Record(events.Annotated{Annotation: n, Dropped: err != nil || len(data) > maxAnnotation})
}

const (
	// maxErrorText bounds the text of an error in history: a hook may put
	// anything into it.
	maxErrorText = 4 << 10

	// maxStackText is what the text of a panic has of its stack; all of it is
	// in the log.
	maxStackText = 2 << 10
)

// errorText is what history and dead letters keep of an error.
func errorText(err error) string {
	return clip(strings.ToValidUTF8(textOf(err), "\uFFFD"), maxErrorText)
}

// clip is at most about the first n bytes.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + " …"
}

// hookFailed is the error of a hook as the workflow knows it: repeated by the
// workflow with durable pauses, not by Temporal.
func hookFailed(err error) error {
	return temporal.NewNonRetryableApplicationError(errorText(err), workflows.ErrTypeHook, nil)
}

// repeat ends a run of an activity which Temporal repeats after the pause:
// that adds nothing to the window's history, however often it happens. The next
// run finds the state where an earlier run left it. What failed has been told of
// by an event of its own: to Temporal's client the error is benign, not worth a
// line of the log.
func repeat(ctx context.Context, why error, after time.Duration, state any) error {
	lastBeat(ctx, state)
	return temporal.NewApplicationErrorWithOptions(errorText(why), workflows.ErrTypeNotYet,
		temporal.ApplicationErrorOptions{
			NextRetryDelay: max(time.Millisecond, after), Category: temporal.ApplicationErrorCategoryBenign,
		})
}

// lastBeat records what a run leaves to the next one, also when its worker has
// no time left.
func lastBeat(ctx context.Context, state any) {
	activity.RecordHeartbeat(context.WithoutCancel(ctx), state)
}

// resumed reads the state which an earlier run of the activity left; without
// one it leaves the state as it is.
func resumed(ctx context.Context, state any) error {
	if activity.GetInfo(ctx).IsLocalActivity || !activity.HasHeartbeatDetails(ctx) {
		return nil
	}
	if err := activity.GetHeartbeatDetails(ctx, state); err != nil {
		return fmt.Errorf("reading what the last run left: %w", err)
	}
	return nil
}
