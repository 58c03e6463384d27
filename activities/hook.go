package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

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
	err := within(ctx, func() error { return call(ctx) })
	a.Events.Record(events.HookRan{
		Hook: s.Hook, At: events.At{Topic: s.Topic, Partition: s.Partition, Offset: s.Offset},
		TaskID: s.TaskID, Took: time.Since(began), Err: err,
	})
	var he *drakkar.HookError
	if errors.As(err, &he) && he.Panic {
		a.Log.Error("hook panicked", zap.String("hook", s.Hook), zap.Error(he), zap.String("stack", he.Stack))
	}
	return err
}

// within runs call and returns its error, or gives it up some time after ctx
// ended.
func within(ctx context.Context, call func() error) error {
	done := make(chan error, 1)
	go func() { done <- call() }()
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

func (a *Activities) annotate(n drakkar.Annotation) {
	data, err := json.Marshal(n.Data)
	a.Events.Record(events.Annotated{Annotation: n, Dropped: err != nil || len(data) > maxAnnotation})
}

// maxErrorText bounds the text of an error in history: a hook may put anything
// into it.
const maxErrorText = 4 << 10

// errorText is what history and dead letters keep of an error.
func errorText(err error) string {
	text := strings.ToValidUTF8(err.Error(), "\uFFFD")
	if len(text) > maxErrorText {
		return strings.ToValidUTF8(text[:maxErrorText], "") + " …"
	}
	return text
}

// hookFailed is the error of a hook as the workflow knows it: repeated by the
// workflow with durable pauses, not by Temporal.
func hookFailed(err error) error {
	return temporal.NewNonRetryableApplicationError(errorText(err), workflows.ErrTypeHook, nil)
}
