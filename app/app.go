// Package app wires the rooms into processes: ingest, which holds the Kafka
// consumer, and the executor, which holds the handler, the subprocess pool and
// the sinks. It decides in which order things start and stop, and nothing else.
//
// A program with a handler of its own is three lines:
//
//	func main() {
//		os.Exit(app.Main(drakkar.NewPipeline(&Handler{})))
//	}
//
// It is then an executor; with -role ingest it is ingest, and with -role all
// both, in one process, for development.
package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/worker"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/logging"
	"github.com/drakkar-go/drakkar/metrics"
	"github.com/drakkar-go/drakkar/sinks"
)

// Role is what a process does.
type Role string

// The roles.
const (
	Ingest   Role = Role(config.RoleIngest)
	Executor Role = Role(config.RoleExecutor)
	All      Role = "all"
)

// settings is the role whose ports and name the process takes. One that does
// everything is an executor to those outside.
func (r Role) settings() config.Role {
	if r == Ingest {
		return config.RoleIngest
	}
	return config.RoleExecutor
}

// Options are what an App is made of.
type Options struct {
	// Config is loaded and valid. Required.
	Config *config.Config

	// Role is what the process does. Required.
	Role Role

	// Pipeline is the handler. Required unless the role is Ingest.
	Pipeline *drakkar.Pipeline

	// Worker is the name of the process. Defaults to what the settings say.
	Worker string

	// Register adds activities and workflows of the author's own to the
	// executor's worker. The names Arrange, Execute, Collect, Deliver and
	// Rebalance, and Window, Rebalance and Store of workflows, are taken.
	Register func(worker.Registry)

	// Sinks make the author's own sinks: for each sinks.custom.<name>, the
	// constructor of its type. What they make is routed to, validated, retried,
	// guarded by a breaker and closed like any other sink. A type without a
	// constructor is an error at start.
	Sinks map[string]SinkConstructor

	// Codecs make bytes of the data of payloads, for the sinks whose setting
	// codec has their name: Protocol Buffers, Avro. The names json and raw are
	// taken.
	Codecs map[string]sinks.Codec

	// Registerer takes Drakkar's metrics and is where a handler puts its own.
	// Defaults to a new one with those of Go and of the process.
	Registry *prometheus.Registry

	// Events takes every event, beside metrics and logs. Optional. Its panics are
	// counted and logged, and end nothing.
	Events events.Recorder

	// Log replaces the logger that the settings describe. Optional.
	Log *zap.Logger
}

// SinkConstructor makes the sink that is configured as sinks.custom.<name>. It
// is called once, at start, before on_ready. Errors must not show secrets of
// cfg.Options. The package sinkstest holds the tests which such a sink should
// pass.
type SinkConstructor func(ctx context.Context, name string, cfg config.CustomSink) (sinks.Sink, error)

// StartupHook is implemented by handlers that change the configuration before
// anything is built from it.
type StartupHook interface {
	OnStartup(ctx context.Context, cfg *config.Config) error
}

// ReadyHook is implemented by handlers that prepare themselves once the sinks
// are made and before the first window: pools, migrations. The pool of a
// PostgreSQL sink is postgres.Pool(ctx, name), of the package sinks/postgres.
type ReadyHook interface {
	OnReady(ctx context.Context, cfg *config.Config) error
}

// App is one process. Make it with New, then Start and Stop it, or Run it.
type App struct {
	opts Options
	cfg  *config.Config
	log  *zap.Logger
	rec  events.Recorder

	// encoded says that payloads come as their sinks take them, so that no
	// codec is needed.
	encoded bool

	ends    stack
	servers []*metrics.Server
	pools   map[string]*pgxpool.Pool // of the PostgreSQL sinks, by name
	failed  chan error

	mu      sync.Mutex
	checks  []check
	started bool
}

// check is a part of readiness.
type check struct {
	name string
	f    func(context.Context) []string
}

// New checks the options; nothing is connected yet.
func New(opts Options) (*App, error) {
	if opts.Config == nil {
		return nil, errors.New("app: Options.Config is missing: load it with config.Load")
	}
	switch opts.Role {
	case Ingest:
	case Executor, All:
		if opts.Pipeline == nil {
			return nil, fmt.Errorf("app: the role %s needs Options.Pipeline: make it with drakkar.NewPipeline", opts.Role)
		}
		if err := opts.Pipeline.Check(); err != nil {
			return nil, fmt.Errorf("app: checking the handler: %w", err)
		}
	default:
		return nil, fmt.Errorf("app: the role %q is none of ingest, executor, all", opts.Role)
	}
	return &App{opts: opts, cfg: opts.Config, pools: map[string]*pgxpool.Pool{}, failed: make(chan error, 4)}, nil
}

// Version is the version of the running program, from its build.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}

// Start builds everything and connects it. When a step fails, those before it
// are undone. It can be cancelled by ctx at any step.
func (a *App) Start(ctx context.Context) error {
	if err := a.start(ctx); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		return errors.Join(err, a.ends.unwind(undo))
	}
	return nil
}

const undoTimeout = 10 * time.Second

func (a *App) start(ctx context.Context) error {
	if err := a.onStartup(ctx); err != nil {
		return err
	}
	worker := a.worker()
	if err := a.startLog(worker); err != nil {
		return err
	}
	a.log.Info("drakkar starting: "+a.cfg.Summary(a.opts.Role.settings(), os.Environ()), zap.String("event.action", "drakkar_starting"))
	m, registry, err := a.metrics(worker)
	if err != nil {
		return err
	}
	a.rec = a.recorder(m)
	// The probes come first: a process that waits for Temporal or Kafka lives,
	// and says what it waits for.
	if err := a.serve(registry); err != nil {
		return err
	}
	client, err := a.temporal(ctx, worker)
	if err != nil {
		return err
	}
	if a.opts.Role != Ingest {
		if err := a.startExecutor(ctx, client, worker); err != nil {
			return fmt.Errorf("starting the executor: %w", err)
		}
	}
	if a.opts.Role != Executor {
		if err := a.startIngest(ctx, client, worker); err != nil {
			return fmt.Errorf("starting ingest: %w", err)
		}
	}
	a.mu.Lock()
	a.started = true
	a.mu.Unlock()
	a.log.Info("drakkar started", zap.String("event.action", "drakkar_started"))
	return nil
}

// onStartup lets the handler change the settings, and checks them again.
func (a *App) onStartup(ctx context.Context) error {
	if a.opts.Pipeline == nil {
		return nil
	}
	hook, ok := a.opts.Pipeline.Handler().(StartupHook)
	if !ok {
		return nil
	}
	if err := hook.OnStartup(ctx, a.cfg); err != nil {
		return fmt.Errorf("on_startup: %w", err)
	}
	a.cfg.Complete()
	if err := a.cfg.Validate(); err != nil {
		return fmt.Errorf("the settings as on_startup left them: %w", err)
	}
	return nil
}

func (a *App) worker() string {
	if a.opts.Worker != "" {
		return a.opts.Worker
	}
	return a.cfg.WorkerName(a.opts.Role.settings(), os.Environ())
}

func (a *App) startLog(worker string) error {
	if a.opts.Log != nil {
		a.log = a.opts.Log
		return nil
	}
	log, closeLog, err := logging.New(a.cfg.Logging, logging.Identity{
		Worker: worker, Cluster: a.cfg.Cluster(os.Environ()), Role: string(a.opts.Role),
		Version: Version(), Group: a.cfg.Kafka.ConsumerGroup,
	})
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	a.log = log
	a.ends.push("the log", func(context.Context) error { return closeLog() })
	return nil
}

func (a *App) metrics(worker string) (*metrics.Metrics, *prometheus.Registry, error) {
	registry := a.opts.Registry
	if registry == nil {
		registry = metrics.NewRegistry()
	}
	m, err := metrics.New(registry)
	if err != nil {
		return nil, nil, fmt.Errorf("registering metrics: %w", err)
	}
	m.SetInfo(worker, Version(), a.cfg.Kafka.ConsumerGroup)
	return m, registry, nil
}

// recorder is the one seam behind which everything is counted and logged.
func (a *App) recorder(m *metrics.Metrics) events.Recorder {
	own := events.Tee(m, logging.NewRecorder(a.log, a.cfg.Logging.SlowTask))
	if a.opts.Events == nil {
		return own
	}
	return events.Tee(own, &guarded{to: a.opts.Events, own: own})
}

// Stop ends everything in the reverse order of its beginning. It waits for
// running programs as long as executor.drain_timeout says, and not longer than
// ctx. It can be called twice, and before Start.
func (a *App) Stop(ctx context.Context) error {
	if a.log != nil {
		a.log.Info("drakkar shutting down", zap.String("event.action", "drakkar_shutting_down"))
	}
	return a.ends.unwind(ctx)
}

// Failed yields an error after which the process cannot go on.
func (a *App) Failed() <-chan error { return a.failed }
