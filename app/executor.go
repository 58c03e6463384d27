package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/activities"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/executor"
	"github.com/drakkar-go/drakkar/ingest"
	"github.com/drakkar-go/drakkar/sinks/postgres"
	"github.com/drakkar-go/drakkar/workflows"
)

const (
	// maxPolling is how many polls for batches are out at the same time: as many
	// as a task queue has partitions by default. Batches in a partition without
	// a poll come about a second late.
	maxPolling = 4

	// pollers of the worker for workflows and short activities.
	pollers = 4

	// throttle is how often heartbeats reach the server at most: what ended
	// since the last one is lost with the worker.
	throttle = time.Second

	// deadlockTime is how long a step of a window may compute. Steps take
	// milliseconds, but the programs of the pool are made to use every core there
	// is; a step that is given up is made again, which takes even more. It is
	// below the server's own limit, 10 s.
	deadlockTime = 8 * time.Second

	// reportTime is what a stopping worker has to report what became of tasks.
	reportTime = 5 * time.Second
)

// startExecutor builds the executor from the sinks back to the pollers, so that
// nothing is asked for before everything it needs is there.
func (a *App) startExecutor(ctx context.Context, c client.Client, name string) error {
	set, err := a.startSinks(ctx)
	if err != nil {
		return err
	}
	letters, err := dlq.NewWriter(a.cfg.DLQ, a.cfg.Kafka, name)
	if err != nil {
		return fmt.Errorf("opening the dead letter queue: %w", err)
	}
	a.ends.push("the dead letter queue", letters.Close)
	a.addCheck("dlq", failing(letters.Check))

	store, err := a.startStore(ctx, c, name)
	if err != nil {
		return err
	}
	source, err := ingest.NewReader(a.cfg.Kafka, name, a.log)
	if err != nil {
		return fmt.Errorf("making the reader of single messages: %w", err)
	}
	a.ends.push("the reader of single messages", source.Close)

	pool, err := executor.New(poolConfig(a.cfg.Executor), executor.Deps{Events: a.rec})
	if err != nil {
		return err
	}
	if err := a.onReady(ctx); err != nil {
		return err
	}
	if err := a.startPeriodics(); err != nil {
		return err
	}
	admission := executor.NewAdmission(a.cfg.Executor.MaxExecutors, maxPolling)
	acts := activities.New(activities.Deps{
		Pipeline: a.opts.Pipeline, Pool: pool, Admission: admission, Sinks: set, DLQ: letters, Blobs: store,
		Source: reader{source}, Pending: pending(c), Events: a.rec, Log: a.log,
	}, activityConfig(a.cfg))
	if err := pool.Start(ctx); err != nil {
		return err
	}
	a.ends.push("the pool", pool.Stop) // when polling cannot begin; drain has stopped it otherwise
	return a.startWorkers(c, &workers{name: name, acts: acts, pool: pool, admission: admission})
}

func failing(f func(context.Context) error) func(context.Context) []string {
	return func(ctx context.Context) []string {
		if err := f(ctx); err != nil {
			return []string{err.Error()}
		}
		return nil
	}
}

// reader adapts ingest's reader to what activities ask for.
type reader struct{ *ingest.Reader }

// Read implements activities.Source.
func (r reader) Read(ctx context.Context, topic string, partition int32, offset int64) (drakkar.Record, error) {
	rec, err := r.Reader.Read(ctx, topic, partition, offset)
	if errors.Is(err, ingest.ErrRecordGone) {
		err = fmt.Errorf("%w: %w", activities.ErrRecordGone, err)
	}
	return rec, err
}

func pending(c client.Client) activities.Pending {
	return func(ctx context.Context, id string) (out []blobs.List[workflows.TaskSpec], err error) {
		v, err := c.QueryWorkflow(ctx, id, "", workflows.PendingQuery)
		if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
			return nil, nil // it has no tasks under way
		}
		if err != nil {
			return nil, err
		}
		return out, v.Get(&out)
	}
}

// onReady lets the handler prepare itself, with the pools of the sinks.
func (a *App) onReady(ctx context.Context) error {
	hook, ok := a.opts.Pipeline.Handler().(ReadyHook)
	if !ok {
		return nil
	}
	if err := hook.OnReady(postgres.WithPools(ctx, a.pools), a.cfg); err != nil {
		return fmt.Errorf("on_ready: %w", err)
	}
	return nil
}

func (a *App) startPeriodics() error {
	p, err := newPeriodics(a.opts.Pipeline, a.rec, a.log)
	if err != nil {
		return err
	}
	p.start()
	a.ends.push("periodics", p.stop)
	return nil
}

// workers is what polls Temporal.
type workers struct {
	name      string
	acts      *activities.Activities
	pool      *executor.Pool
	admission *executor.Admission
}

// startWorkers starts polling: batches for the pool from a queue of their own,
// everything else from the pipeline's, where a batch can come too without a poll.
func (a *App) startWorkers(c client.Client, w *workers) error {
	worker.SetStickyWorkflowCacheSize(a.cfg.Temporal.StickyCacheSize)
	tuner, err := executeTuner(w.admission)
	if err != nil {
		return err
	}
	options := worker.Options{
		Identity:                         w.name,
		WorkerStopTimeout:                a.cfg.Executor.DrainTimeout + a.cfg.Executor.KillGrace + reportTime,
		MaxHeartbeatThrottleInterval:     throttle,
		DefaultHeartbeatThrottleInterval: throttle,
		DeadlockDetectionTimeout:         deadlockTime,
		OnFatalError:                     a.fail,
	}
	if options.DeploymentOptions, err = versioning(a.cfg); err != nil {
		return err
	}
	execute, short := options, options
	execute.Tuner, execute.DisableWorkflowWorker = tuner, true
	execute.MaxConcurrentActivityTaskPollers = maxPolling
	short.MaxConcurrentActivityTaskPollers = pollers
	short.MaxConcurrentWorkflowTaskPollers = pollers

	batches := worker.New(c, workflows.ExecuteQueue(a.cfg.Pipeline), execute)
	batches.RegisterActivityWithOptions(w.acts.Execute, activity.RegisterOptions{Name: workflows.ExecuteActivity})
	windows := worker.New(c, workflows.TaskQueue(a.cfg.Pipeline), short)
	registerWindows(windows, w.acts)
	windows.RegisterActivityWithOptions(w.acts.Execute, activity.RegisterOptions{Name: workflows.ExecuteActivity}) // see workflows.Batch.Here
	if a.opts.Register != nil {
		a.opts.Register(windows)
	}
	if err := windows.Start(); err != nil {
		return fmt.Errorf("starting to poll Temporal for windows: %w", err)
	}
	a.ends.push("polling for windows", func(ctx context.Context) error { return awaited(ctx, windows.Stop) })
	if err := batches.Start(); err != nil {
		return fmt.Errorf("starting to poll Temporal for batches: %w", err)
	}
	a.ends.push("the subprocess pool", func(ctx context.Context) error { return a.drain(ctx, batches, w.pool) })
	a.startPromotion(c, options.DeploymentOptions)
	return nil
}

// drain ends the pool and the polling for batches side by side. Polling stops
// at once; what waits for a slot goes back to Temporal at once, for another
// executor; running programs get executor.drain_timeout; and the worker waits
// for the batches to report what became of them.
func (a *App) drain(ctx context.Context, batches worker.Worker, pool *executor.Pool) error {
	stopped := make(chan error, 1)
	go func() { stopped <- awaited(ctx, batches.Stop) }()
	drained, cancel := context.WithTimeoutCause(ctx, a.cfg.Executor.DrainTimeout, errDrained)
	defer cancel()
	return errors.Join(pool.Stop(drained), <-stopped)
}

var errDrained = errors.New("executor.drain_timeout is over")

func registerWindows(w worker.Registry, acts *activities.Activities) {
	wf := &workflows.Workflows{Settings: acts.Settings}
	w.RegisterWorkflowWithOptions(wf.Window, workflow.RegisterOptions{Name: workflows.WindowWorkflow})
	// It never ends: pinned to a build, that build would never be done with.
	w.RegisterWorkflowWithOptions(wf.Store, workflow.RegisterOptions{
		Name: workflows.StoreWorkflow, VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
	})
	w.RegisterWorkflowWithOptions(wf.Rebalance, workflow.RegisterOptions{Name: workflows.RebalanceWorkflow})
	w.RegisterActivityWithOptions(acts.Arrange, activity.RegisterOptions{Name: workflows.ArrangeActivity})
	w.RegisterActivityWithOptions(acts.Collect, activity.RegisterOptions{Name: workflows.CollectActivity})
	w.RegisterActivityWithOptions(acts.Deliver, activity.RegisterOptions{Name: workflows.DeliverActivity})
	w.RegisterActivityWithOptions(acts.Rebalance, activity.RegisterOptions{Name: workflows.RebalanceActivity})
}

// fail reports an error after which the process cannot go on.
func (a *App) fail(err error) {
	select {
	case a.failed <- err:
	default: // one is enough
	}
}

func poolConfig(c config.Executor) executor.Config {
	return executor.Config{
		Slots: c.MaxExecutors, BinaryPath: c.BinaryPath, Env: c.Env, EnvInheritParent: c.EnvInheritParent,
		EnvInheritDeny: c.EnvInheritDeny, TaskTimeout: c.TaskTimeout, KillGrace: c.KillGrace,
		MaxOutputBytes: c.MaxOutputBytes, Mode: drakkar.TaskMode(c.Mode),
		Resident: executor.Resident{
			Framing: c.Resident.Framing, Args: c.Resident.Args, StartTimeout: c.Resident.StartTimeout,
			MaxTasks: c.Resident.MaxTasks, MaxMemoryBytes: c.Resident.MaxMemoryBytes,
		},
	}
}

func activityConfig(c *config.Config) activities.Config {
	return activities.Config{
		Binary: c.Executor.BinaryPath, OnParseError: c.OnParseError, Arrange: c.Windows.Arrange, Collect: c.Windows.Collect,
		HookMaxAttempts: c.Hooks.MaxAttempts, HookInitialInterval: c.Hooks.InitialInterval,
		HookMaxInterval: c.Hooks.MaxInterval, HookTimeout: c.Hooks.Timeout,
		MaxRetries: c.Executor.MaxRetries, RetryInitialInterval: c.Executor.RetryInitialInterval,
		RetryMaxInterval: c.Executor.RetryMaxInterval, MaxReplacementDepth: c.Executor.MaxReplacementDepth,
		HeartbeatTimeout: c.Executor.HeartbeatTimeout, OrderByKey: c.Windows.Order == "key",
	}
}
