package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

// hooks is a handler with the hooks of a process's life. Nil ones do nothing.
type hooks struct {
	startup, ready func(context.Context, *config.Config) error
	periodics      []drakkar.Periodic
}

func (h *hooks) Arrange(context.Context, drakkar.Window[string]) ([]drakkar.Task, error) {
	return nil, nil
}

func (h *hooks) Periodics() []drakkar.Periodic { return h.periodics }

func (h *hooks) OnStartup(ctx context.Context, cfg *config.Config) error {
	if h.startup == nil {
		return nil
	}
	return h.startup(ctx, cfg)
}

func (h *hooks) OnReady(ctx context.Context, cfg *config.Config) error {
	if h.ready == nil {
		return nil
	}
	return h.ready(ctx, cfg)
}

// body is what is served at a path of the app's own server.
func body(t *testing.T, a *App, path string) (code int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.MetricsAddr()+path, nil)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(data)
}

func TestStart(t *testing.T) {
	t.Parallel()

	for _, role := range []Role{Ingest, Executor, All} {
		t.Run(string(role), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			a := b.app(t, role, &hooks{})
			require.Contains(t, a.Ready(t.Context()), "not_started")
			require.Empty(t, a.MetricsAddr(), "nothing is served before Start")
			require.NoError(t, a.Start(t.Context()))
			awaitReady(t, a)

			code, text := body(t, a, "/readyz")
			require.Equal(t, http.StatusOK, code, text)
			_, text = body(t, a, "/metrics")
			require.Contains(t, text, `drakkar_worker_info{consumer_group="group",version=`)
			require.Contains(t, text, `worker_id="worker-1"`)

			addr := a.MetricsAddr()
			require.NoError(t, a.Stop(t.Context()))
			require.False(t, serves(t.Context(), addr), "the port is given back")
			require.NoError(t, a.Stop(t.Context()), "stopping twice does nothing")
			select {
			case err := <-a.Failed():
				require.NoError(t, err, "an orderly end is no failure")
			default:
			}
		})
	}
}

// The executor polls two queues of its pipeline under its own name, and ingest
// none.
func TestStart_Polls(t *testing.T) {
	t.Parallel()

	b := setup(t)
	in := b.app(t, Ingest, nil)
	require.NoError(t, in.Start(t.Context()))
	awaitReady(t, in)
	require.Empty(t, b.frontend.identity("workflow "+workflows.TaskQueue("group")))

	a := b.app(t, Executor, &hooks{})
	require.NoError(t, a.Start(t.Context()))
	for _, queue := range []string{
		"workflow " + workflows.TaskQueue("group"), "activity " + workflows.TaskQueue("group"), "activity " + workflows.ExecuteQueue("group"),
	} {
		require.Eventually(t, func() bool { return b.frontend.identity(queue) == "worker-1" }, eventually, soon, queue)
	}
	require.Empty(t, b.frontend.identity("workflow "+workflows.ExecuteQueue("group")), "batches are activities alone")
}

// What is needed is there before what needs it, and is taken away after it:
// the stack of ends is unwound from its end.
func TestStart_Order(t *testing.T) {
	t.Parallel()

	b := setup(t)
	a := b.app(t, All, &hooks{})
	require.NoError(t, a.Start(t.Context()))
	names := steps(a)
	for _, pair := range [][2]string{
		{"the metrics server", "the connection to Temporal"}, // a process that waits for Temporal says so
		{"the connection to Temporal", "polling for windows"},
		{"sinks", "polling for windows"},
		{"the dead letter queue", "polling for windows"},
		{"the blob store", "polling for windows"},
		{"the reader of single messages", "polling for windows"},
		{"sinks", "periodics"}, // they may use what OnReady has made
		{"periodics", "polling for windows"},
		{"the pool", "polling for windows"},
		{"polling for windows", "the subprocess pool"}, // batches are let go of first
		{"the subprocess pool", "ingest"},
		{"the connection to Temporal", "ingest"},
	} {
		require.True(t, before(names, pair[0], pair[1]), "%s stands before %s in %v", pair[0], pair[1], names)
	}
}

// The handler's hooks come in the order that they are told to: settings first,
// then what the sinks need, and only then work.
func TestStart_Hooks(t *testing.T) {
	t.Parallel()

	b := setup(t)
	var mu sync.Mutex
	var order []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		if len(order) == 0 || order[len(order)-1] != what {
			order = append(order, what)
		}
	}
	ticked := make(chan struct{})
	b.frontend.onPoll = func(string) { note("poll") }
	var a *App
	a = b.app(t, Executor, &hooks{
		startup: func(_ context.Context, cfg *config.Config) error {
			note("on_startup")
			cfg.Executor.MaxExecutors = 3
			return nil
		},
		ready: func(_ context.Context, cfg *config.Config) error {
			note("on_ready")
			require.Equal(t, 3, cfg.Executor.MaxExecutors, "OnReady sees what OnStartup has changed")
			require.Contains(t, steps(a), "sinks")
			return nil
		},
		periodics: []drakkar.Periodic{{Name: "tick", Every: time.Millisecond, OnError: drakkar.PeriodicStop, Run: func(context.Context) error {
			close(ticked)
			return errors.New("once is enough")
		}}},
	})
	require.NoError(t, a.Start(t.Context()))
	<-ticked
	require.Eventually(t, func() bool { return b.frontend.identity("activity "+workflows.ExecuteQueue("group")) != "" }, eventually, soon)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []string{"on_startup", "on_ready", "poll"}, order)
}

// What OnStartup changes holds for everything that is built after it, the log
// and the ports included.
func TestStart_StartupChangesAllThatIsBuilt(t *testing.T) {
	t.Parallel()

	b := setup(t)
	log := filepath.Join(t.TempDir(), "{worker_id}.log")
	port := freePort(t)
	h := &hooks{startup: func(_ context.Context, cfg *config.Config) error {
		cfg.Metrics.Port = port
		cfg.Pipeline = "renamed"
		cfg.Logging.Output, cfg.Logging.Format = log, "console"
		return nil
	}}
	a := b.appOf(t, Options{Config: b.cfg, Role: Executor, Pipeline: drakkar.NewPipeline(h), Worker: "w"})
	require.NoError(t, a.Start(t.Context()))
	require.True(t, serves(t.Context(), local(port)))
	require.Eventually(t, func() bool { return b.frontend.identity("workflow "+workflows.TaskQueue("renamed")) == "w" }, eventually, soon)
	require.NoError(t, a.Stop(t.Context()))
	text, err := os.ReadFile(strings.ReplaceAll(log, "{worker_id}", "w"))
	require.NoError(t, err)
	for _, line := range []string{"topic=in group=group pipeline=renamed", "drakkar started", "drakkar shutting down"} {
		require.Contains(t, string(text), line)
	}
}

// OnStartup is asked on ingest too when a program has a handler, because the
// settings are for both.
func TestStart_StartupOnIngest(t *testing.T) {
	t.Parallel()

	b := setup(t)
	called := false
	a := b.app(t, Ingest, &hooks{
		startup: func(context.Context, *config.Config) error { called = true; return nil },
		ready:   func(context.Context, *config.Config) error { return errors.New("ingest has no sinks to be ready") },
	})
	require.NoError(t, a.Start(t.Context()))
	require.True(t, called)
}

// A step that fails names the setting, undoes those before it, and leaves
// nothing behind: no port, no goroutine.
func TestStart_Fails(t *testing.T) {
	t.Parallel()

	none := filepath.Join(t.TempDir(), "none")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, tt := range []struct {
		name   string
		role   Role
		change func(*testBundle, *hooks)
		want   []string
	}{
		{"Startup", Executor, func(_ *testBundle, h *hooks) {
			h.startup = func(context.Context, *config.Config) error { return errors.New("no license") }
		}, []string{"on_startup: no license"}},
		{"StartupSpoilsTheSettings", Executor, func(_ *testBundle, h *hooks) {
			h.startup = func(_ context.Context, c *config.Config) error { c.Executor.WindowSize = 0; return nil }
		}, []string{"the settings as on_startup left them", "executor.window_size: 0 is outside"}},
		{"Ready", Executor, func(_ *testBundle, h *hooks) {
			h.ready = func(context.Context, *config.Config) error { return errors.New("migration 3") }
		}, []string{"starting the executor", "on_ready: migration 3"}},
		{"Periodic", Executor, func(_ *testBundle, h *hooks) {
			h.periodics = []drakkar.Periodic{{Name: "sync"}}
		}, []string{`periodic "sync"`}},
		{"NoSinks", Executor, func(b *testBundle, _ *hooks) {
			b.cfg.Sinks.Kafka, b.cfg.Sinks.Filesystem = nil, nil
		}, []string{"sinks: none is configured"}},
		{"DirectoryOfASink", Executor, func(b *testBundle, _ *hooks) {
			s := b.cfg.Sinks.Filesystem["archive"]
			s.BasePath = none
			b.cfg.Sinks.Filesystem["archive"] = s
		}, []string{"sinks.filesystem.archive", none}},
		{"Store", Executor, func(b *testBundle, _ *hooks) { b.cfg.Windows.Store = file }, []string{"windows.store", file}},
		{"Log", Executor, func(b *testBundle, _ *hooks) { b.cfg.Logging.Output = filepath.Join(file, "x.log") }, []string{"opening the log", "logging.output"}},
		{"PropertyOfASink", Executor, func(b *testBundle, _ *hooks) {
			s := b.cfg.Sinks.Kafka["results"]
			s.Options = map[string]string{"no.such.property": "1"}
			b.cfg.Sinks.Kafka["results"] = s
		}, []string{"sinks.kafka.results", "no.such.property"}},
		{"PropertyOfTheConsumer", Ingest, func(b *testBundle, _ *hooks) {
			b.cfg.Kafka.Options = map[string]string{"no.such.property": "1"}
		}, []string{"starting ingest", "no.such.property"}},
		{"Certificates", Ingest, func(b *testBundle, _ *hooks) { b.cfg.Temporal.CAFile = none }, []string{"temporal.ca_file", none}},
		{"Retention", Ingest, func(b *testBundle, _ *hooks) { b.frontend.retention = time.Hour }, []string{"starting ingest", "ingest.min_retention", "1h0m0s"}},
		{"RetentionOfAll", All, func(b *testBundle, _ *hooks) { b.frontend.retention = time.Hour }, []string{"ingest.min_retention"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h := &hooks{}
			tt.change(b, h)
			port := freePort(t)
			b.cfg.Metrics.Port, b.cfg.Ingest.MetricsPort = port, port
			a := b.appOf(t, Options{Config: b.cfg, Role: tt.role, Pipeline: drakkar.NewPipeline(h), Worker: "w", Log: logUnless(tt.name == "Log")})
			err := a.Start(t.Context())
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
			require.Empty(t, steps(a))
			require.False(t, serves(t.Context(), local(port)))
			require.NotEmpty(t, a.Ready(t.Context()))
		})
	}
}

// logUnless is a log that says nothing, or none so that the settings' is made.
func logUnless(none bool) *zap.Logger {
	if none {
		return nil
	}
	return zap.NewNop()
}

func TestStart_TakenPort(t *testing.T) {
	t.Parallel()

	for role, setting := range map[Role]string{Ingest: "ingest.metrics_port", Executor: "metrics.port", All: "metrics.port"} {
		t.Run(string(role), func(t *testing.T) {
			t.Parallel()
			first := setup(t)
			a := first.app(t, role, &hooks{})
			require.NoError(t, a.Start(t.Context()))
			_, port, ok := strings.Cut(strings.TrimPrefix(a.MetricsAddr(), "[::]"), ":")
			require.True(t, ok)

			second := setup(t)
			require.NoError(t, setPort(second.cfg, port))
			err := second.app(t, role, &hooks{}).Start(t.Context())
			for _, want := range []string{":" + port, "look for another drakkar process on this host", setting, "ports.offset"} {
				require.ErrorContains(t, err, want)
			}
			require.True(t, serves(t.Context(), a.MetricsAddr()), "the first goes on")
		})
	}
}

// A process that is asked to end while it starts gives up at whatever step it
// is, and undoes the others.
func TestStart_EndsWithItsContext(t *testing.T) {
	t.Parallel()

	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	a := b.app(t, Executor, &hooks{ready: func(ctx context.Context, _ *config.Config) error {
		cancel()
		<-ctx.Done()
		return context.Cause(ctx)
	}})
	require.ErrorIs(t, a.Start(ctx), context.Canceled)
	require.Empty(t, steps(a))
}

func TestStop(t *testing.T) {
	t.Parallel()

	t.Run("BeforeStart", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		a := b.app(t, Executor, &hooks{})
		require.NoError(t, a.Stop(t.Context()))
		require.NoError(t, a.Stop(t.Context()))
	})

	t.Run("BySeveralAtOnce", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		a := b.app(t, All, &hooks{})
		require.NoError(t, a.Start(t.Context()))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { require.NoError(t, a.Stop(t.Context())) })
		}
		wg.Wait()
		require.Empty(t, steps(a))
	})

	t.Run("SaysWhatDoesNotEnd", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		begun, release := make(chan struct{}), make(chan struct{})
		a := b.app(t, Executor, &hooks{periodics: []drakkar.Periodic{{Name: "deaf", Every: time.Millisecond, Run: func(context.Context) error {
			close(begun)
			<-release
			return nil
		}}}})
		require.NoError(t, a.Start(t.Context()))
		<-begun
		defer close(release)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("no time left"))
		err := a.Stop(ctx)
		require.ErrorContains(t, err, "stopping periodics: a periodic did not return: no time left")
		require.Empty(t, steps(a), "the others are ended all the same")
	})
}

// A recorder of the program's own gets every event that metrics and logs get,
// its registry all metrics, and its worker its activities.
func TestOptions(t *testing.T) {
	t.Parallel()

	b := setup(t)
	registry := prometheus.NewRegistry()
	own := prometheus.NewCounter(prometheus.CounterOpts{Name: "handler_own_total", Help: "Own."})
	registry.MustRegister(own)
	own.Inc()
	var seen atomic.Int32
	registered := false
	a := b.appOf(t, Options{
		Config: b.cfg, Role: Executor, Worker: "w", Log: zap.NewNop(), Registry: registry,
		Pipeline: drakkar.NewPipeline(&hooks{periodics: []drakkar.Periodic{{Name: "tick", Every: time.Millisecond, Run: func(context.Context) error { return nil }}}}),
		Register: func(r worker.Registry) {
			r.RegisterActivity(func(context.Context) error { return nil })
			registered = true
		},
		Events: events.RecorderFunc(func(e events.Event) {
			if _, ok := e.(events.PeriodicRun); ok {
				seen.Add(1)
			}
		}),
	})
	require.NoError(t, a.Start(t.Context()))
	require.True(t, registered)
	require.Eventually(t, func() bool { return seen.Load() > 2 }, eventually, soon)
	_, text := body(t, a, "/metrics")
	require.Contains(t, text, "handler_own_total 1")
	require.Contains(t, text, `drakkar_periodic_task_runs_total{name="tick",status="ok"}`)

	again := b.appOf(t, Options{
		Config: b.cfg, Role: Ingest, Worker: "w", Log: zap.NewNop(), Registry: registry,
	})
	require.ErrorContains(t, again.Start(t.Context()), "registering metrics", "two apps need two registries")
}

// The name of a process is the one it is given, else that of the settings.
func TestWorker(t *testing.T) {
	t.Parallel()

	cfg := settings()
	cfg.WorkerNameEnv, cfg.Metrics.Port, cfg.Ingest.MetricsPort = "", 9990, 9991
	host, err := os.Hostname()
	require.NoError(t, err)
	for want, opts := range map[string]Options{
		"given":                    {Config: cfg, Role: Ingest, Worker: "given"},
		"ingest-" + host + "-9991": {Config: cfg, Role: Ingest},
		"executor-" + host + "-9990": {
			Config: cfg, Role: All, Pipeline: drakkar.NewPipeline(&hooks{}),
		},
	} {
		a, err := New(opts)
		require.NoError(t, err)
		require.Equal(t, want, a.worker())
	}
}
