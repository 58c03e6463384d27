// Package activities are the steps of a window that touch the world: they lead
// from the types of package workflows to the handler, the subprocess pool and
// the sinks, and hold no rules of their own about what follows from what.
//
// An activity can run twice: a worker that dies, or is cut off from Temporal,
// has its work done again elsewhere. Execute goes on behind what its heartbeats
// recorded; hooks are told to be repeatable; payloads carry ids which are the
// same at every repetition.
package activities

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/executor"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/workflows"
)

// Config are the settings of the activities.
type Config struct {
	// Binary is the program of tasks that name none, for summaries.
	Binary string

	// OnParseError is dlq, pass or halt.
	OnParseError string

	// Arrange and Collect are auto, local or regular.
	Arrange string
	Collect string

	// OrderByKey makes the tasks of messages with the same key run one after
	// the other.
	OrderByKey bool

	HookMaxAttempts     int
	HookInitialInterval time.Duration
	HookMaxInterval     time.Duration
	HookTimeout         time.Duration

	// MaxRetries, RetryInitialInterval and RetryMaxInterval are the policy of
	// tasks that have none of their own.
	MaxRetries           int
	RetryInitialInterval time.Duration
	RetryMaxInterval     time.Duration
	MaxReplacementDepth  int

	HeartbeatTimeout time.Duration
}

// Source reads single messages again: values too large to travel, and messages
// for dead letters.
type Source interface {
	// Read returns the record, or an error that wraps ErrRecordGone when it is
	// not in the log any more. Any other error may pass.
	Read(ctx context.Context, topic string, partition int32, offset int64) (drakkar.Record, error)
}

// ErrRecordGone says that a record is not in the log any more.
var ErrRecordGone = errors.New("the record is gone from the log")

// Pending asks a window for the batches it has not finished.
type Pending func(ctx context.Context, workflowID string) ([]blobs.List[workflows.TaskSpec], error)

// Deps are what the activities lead to. All are required.
type Deps struct {
	Pipeline  *drakkar.Pipeline
	Pool      *executor.Pool
	Admission *executor.Admission
	Sinks     *sinks.Set
	DLQ       dlq.Writer
	Blobs     blobs.Store
	Source    Source
	Pending   Pending
	Events    events.Recorder
	Log       *zap.Logger
}

// Activities are the activities of an executor. Register its methods with a
// worker under their names.
type Activities struct {
	Deps
	cfg Config

	// Observed durations, from which batches are cut and slow hooks are moved
	// out of the workflow's own step, and the bytes that a task leaves behind
	// until its batch ends.
	taskTime    ewma[time.Duration]
	taskBytes   ewma[int64]
	arrangeTime ewma[time.Duration]
	collectTime ewma[time.Duration]
}

// New returns the activities.
func New(deps Deps, cfg Config) *Activities {
	return &Activities{Deps: deps, cfg: cfg}
}

// slowHook is the duration from which a hook is not called inside the
// workflow's own step any more: it would hold up the worker's other windows.
const slowHook = 200 * time.Millisecond

// Settings are what a window that begins now goes by.
func (a *Activities) Settings() workflows.Settings {
	local := func(mode string, seen *ewma[time.Duration]) bool {
		return mode == "local" || mode != "regular" && seen.value() < slowHook
	}
	return workflows.Settings{
		Hooks:               a.Pipeline.Hooks(),
		LocalArrange:        local(a.cfg.Arrange, &a.arrangeTime),
		LocalCollect:        local(a.cfg.Collect, &a.collectTime),
		HookMaxAttempts:     a.cfg.HookMaxAttempts,
		HookInitialInterval: a.cfg.HookInitialInterval,
		HookMaxInterval:     a.cfg.HookMaxInterval,
		HookTimeout:         a.cfg.HookTimeout,
		HeartbeatTimeout:    a.cfg.HeartbeatTimeout,
	}
}

// Rebalance tells the handler about partitions.
func (a *Activities) Rebalance(ctx context.Context, in workflows.RebalanceInput) error {
	hook, call := "on_assign", a.Pipeline.OnAssign
	if in.Revoked {
		hook, call = "on_revoke", a.Pipeline.OnRevoke
	}
	scope := drakkar.HookScope{Hook: hook, Topic: in.Topic}
	err := a.hook(ctx, scope, func(ctx context.Context) error { return call(ctx, in.Topic, in.Partitions) })
	if err != nil {
		return errors.New(errorText(err)) // what a hook says need not be text that can travel
	}
	return nil
}

// scope is what a hook of a window is about.
func scope(hook string, w workflows.WindowRef, offset int64) drakkar.HookScope {
	return drakkar.HookScope{
		Hook: hook, Topic: w.Topic, Partition: w.Partition, Offset: offset, Window: w.WorkflowID(),
	}
}

func at(w workflows.WindowRef, offset int64) events.At {
	return events.At{Topic: w.Topic, Partition: w.Partition, Offset: offset}
}

// prefix is where the objects of a window lie in the blob store.
func prefix(w workflows.WindowRef) string { return w.WorkflowID() }

// lost makes the error of an object that is gone from the blob store, or
// damaged there, final; the workflow then dead-letters the messages. Any other
// error passes through, and Temporal repeats the activity.
func lost(err error) error {
	if blobs.Lost(err) {
		return temporal.NewNonRetryableApplicationError(errorText(err), workflows.ErrTypeLost, nil)
	}
	return err
}

// unpackAll is the concatenation of lists.
func unpackAll[T any](ctx context.Context, s blobs.Store, lists []blobs.List[T]) ([]T, error) {
	var out []T
	for _, l := range lists {
		items, err := blobs.Unpack(ctx, s, l)
		if err != nil {
			return nil, lost(err)
		}
		out = append(out, items...)
	}
	return out, nil
}

// record is a message of the window as a record, its value read from Kafka when
// it did not travel.
func (a *Activities) record(ctx context.Context, w workflows.WindowRef, m workflows.Message) (drakkar.Record, error) {
	r := m.Record(w.Topic, w.Partition)
	if m.Size == 0 {
		return r, nil
	}
	full, err := a.Source.Read(ctx, w.Topic, w.Partition, m.Offset)
	if err != nil {
		return r, fmt.Errorf("reading %s again: %w", r, err)
	}
	if m.Timestamp != 0 && !full.Timestamp.Equal(r.Timestamp) {
		return r, fmt.Errorf("reading %s again: another one has its place, the topic was made again: %w", r, ErrRecordGone)
	}
	return full, nil // its key and headers may not have travelled either
}

// beat sends heartbeats with the state until stop is called, so that a worker's
// death is noticed. Local activities have none: they die with their workflow
// task. Stop may be called twice.
func (a *Activities) beat(ctx context.Context, state ...any) (stop func()) {
	if activity.GetInfo(ctx).IsLocalActivity {
		return func() {}
	}
	return ticking(ctx, a.cfg.HeartbeatTimeout/3, func() { activity.RecordHeartbeat(ctx, state...) })
}

// ticking calls f every so often until stop is called or ctx ends.
func ticking(ctx context.Context, every time.Duration, f func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-tick.C:
				f()
			}
		}
	}()
	return sync.OnceFunc(func() { close(done); <-ended })
}
