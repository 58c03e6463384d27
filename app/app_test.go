package app

import (
	"context"
	"errors"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

// TestMain is also the program of a process that a test runs, see program.
func TestMain(m *testing.M) {
	if name := os.Getenv(programVariable); name != "" {
		os.Exit(programs[name]())
	}
	goleak.VerifyTestMain(m)
}

// handler is the least a pipeline can have, and some hooks of this package.
type handler struct {
	periodics []drakkar.Periodic
	startup   func(*config.Config) error
}

func (h *handler) Arrange(context.Context, drakkar.Window[string]) ([]drakkar.Task, error) {
	return nil, nil
}

func (h *handler) Periodics() []drakkar.Periodic { return h.periodics }

func (h *handler) OnStartup(_ context.Context, cfg *config.Config) error {
	if h.startup == nil {
		return nil
	}
	return h.startup(cfg)
}

func settings() *config.Config {
	c := config.Default()
	c.Metrics.Port, c.Ingest.MetricsPort = 0, 0
	c.Temporal.Address = "127.0.0.1:1" // nobody listens there
	c.Complete()
	return c
}

func TestNew(t *testing.T) {
	t.Parallel()

	pipeline := drakkar.NewPipeline(&handler{})
	for _, tt := range []struct {
		name string
		opts Options
		want string
	}{
		{"NoConfig", Options{Role: Ingest}, "Options.Config"},
		{"NoPipeline", Options{Config: settings(), Role: Executor}, "Options.Pipeline"},
		{"NoRole", Options{Config: settings(), Pipeline: pipeline}, "none of ingest, executor, all"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			_, err := New(tt.opts)
			require.ErrorContains(t, err, tt.want)
		})
	}
	_, err := New(Options{Config: settings(), Role: Ingest})
	require.NoError(t, err, "ingest needs no pipeline")
}

func TestStack(t *testing.T) {
	t.Parallel()

	var s stack
	var done []string
	for _, name := range []string{"first", "second", "third"} {
		s.push(name, func(context.Context) error {
			done = append(done, name)
			if name == "second" {
				return errors.New("stuck")
			}
			return nil
		})
	}
	err := s.unwind(t.Context())
	require.ErrorContains(t, err, "stopping second: stuck")
	require.Equal(t, []string{"third", "second", "first"}, done, "a step that fails does not keep the others from being done")
	require.NoError(t, s.unwind(t.Context()), "each step is done once")
}

// A process that waits for Temporal lives, says what it waits for, and can be
// stopped.
func TestStart_WaitsForTemporal(t *testing.T) {
	t.Parallel()

	a, err := New(Options{Config: settings(), Role: Ingest, Log: zap.NewNop()})
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Start(ctx) }()

	var addr string
	require.Eventually(t, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.checks) > 0 {
			addr = a.servers[0].Addr()
		}
		return addr != ""
	}, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, http.StatusOK, get(t, "http://"+addr+"/healthz"))
	require.Equal(t, http.StatusServiceUnavailable, get(t, "http://"+addr+"/readyz"))
	require.Contains(t, a.Ready(t.Context())[0], "not_started")

	cancel(errSignal)
	require.ErrorIs(t, <-ended, errSignal)
	require.NoError(t, a.Stop(t.Context()), "what was started is undone already")
}

func get(t *testing.T, url string) int {
	t.Helper()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

func TestOnStartup(t *testing.T) {
	t.Parallel()

	h := &handler{startup: func(c *config.Config) error {
		c.Executor.MaxExecutors = -1
		return nil
	}}
	a, err := New(Options{Config: settings(), Role: Executor, Pipeline: drakkar.NewPipeline(h), Log: zap.NewNop()})
	require.NoError(t, err)
	require.ErrorContains(t, a.Start(t.Context()), "executor.max_executors")

	h.startup = func(*config.Config) error { return errors.New("no CPU") }
	require.ErrorContains(t, a.Start(t.Context()), "on_startup: no CPU")
}

func TestOpenSinks(t *testing.T) {
	t.Parallel()

	t.Run("EveryTypeInOrder", func(t *testing.T) {
		t.Parallel()

		a := &App{cfg: settings(), pools: map[string]*pgxpool.Pool{}}
		a.cfg.Sinks = config.Sinks{
			Postgres:   map[string]config.PostgresSink{"rows": {DSN: "postgres://127.0.0.1:1/d", PoolMax: 1}},
			Mongo:      map[string]config.MongoSink{"docs": {URI: "mongodb://127.0.0.1:1", Database: "d", WriteConcern: "majority"}},
			HTTP:       map[string]config.HTTPSink{"hook": {URL: "http://127.0.0.1:1"}},
			Redis:      map[string]config.RedisSink{"b": {URL: "redis://h", Mode: "set"}, "a": {URL: "redis://h", Mode: "list"}},
			Filesystem: map[string]config.FilesystemSink{"out": {BasePath: t.TempDir()}},
			Custom:     map[string]config.CustomSink{"mine": {Type: "memory", Options: map[string]string{"size": "3"}}},
		}
		var got config.CustomSink
		a.opts.Sinks = map[string]SinkConstructor{"memory": func(_ context.Context, name string, cfg config.CustomSink) (sinks.Sink, error) {
			require.Equal(t, "mine", name)
			got = cfg
			return sinkstest.NewMemory(), nil
		}}
		instances, err := a.openSinks(t.Context())
		require.NoError(t, err)
		var refs []string
		for _, in := range instances {
			refs = append(refs, in.Ref.String())
		}
		require.Equal(t, []string{"postgres:rows", "mongo:docs", "http:hook", "redis:a", "redis:b", "filesystem:out", "custom:mine"}, refs)
		require.Equal(t, "3", got.Options["size"])
		require.NoError(t, closeAll(instances))
	})

	t.Run("OneThatFailsClosesTheOthers", func(t *testing.T) {
		t.Parallel()

		first := sinkstest.NewMemory()
		a := &App{cfg: settings()}
		a.cfg.Sinks.Custom = map[string]config.CustomSink{"a": {Type: "memory"}, "b": {Type: "broken"}}
		a.opts.Sinks = map[string]SinkConstructor{
			"memory": func(context.Context, string, config.CustomSink) (sinks.Sink, error) { return first, nil },
			"broken": func(context.Context, string, config.CustomSink) (sinks.Sink, error) {
				return nil, errors.New("no disk")
			},
		}
		_, err := a.openSinks(t.Context())
		require.EqualError(t, err, "opening sinks.custom.b: no disk")
		require.True(t, first.Closed())
	})

	t.Run("NamesWhatIsMissing", func(t *testing.T) {
		t.Parallel()

		a := &App{cfg: settings()}
		_, err := a.startSinks(t.Context())
		require.ErrorContains(t, err, "sinks: none is configured")

		a.cfg.Sinks.HTTP = map[string]config.HTTPSink{"hook": {URL: "http://127.0.0.1:1", Delivery: config.Delivery{Codec: "avro"}}}
		a.opts.Codecs = map[string]sinks.Codec{"proto": sinks.JSON}
		_, err = a.openSinks(t.Context())
		require.EqualError(t, err, `sinks.http.hook.codec: app.Options.Codecs holds no "avro": use one of json, raw, proto`)

		a.cfg.Sinks.HTTP = nil
		a.cfg.Sinks.Custom = map[string]config.CustomSink{"a": {Type: "memory"}}
		_, err = a.openSinks(t.Context())
		require.ErrorContains(t, err, `opening sinks.custom.a: app.Options.Sinks holds no constructor for type "memory", it has: none`)

		a.opts.Sinks = map[string]SinkConstructor{"memory": func(context.Context, string, config.CustomSink) (sinks.Sink, error) { return nil, nil }}
		_, err = a.openSinks(t.Context())
		require.ErrorContains(t, err, "neither a sink nor an error")

		a.cfg.Sinks = config.Sinks{Redis: map[string]config.RedisSink{"cache": {URL: "redis://h/zero", Mode: "set"}}}
		_, err = a.openSinks(t.Context())
		require.ErrorContains(t, err, "opening sinks.redis.cache: sinks.redis.cache.url")
	})
}

func TestPeriodics_Checks(t *testing.T) {
	t.Parallel()

	run := func(context.Context) error { return nil }
	for _, tt := range []struct {
		name string
		all  []drakkar.Periodic
		want string
	}{
		{"NoName", []drakkar.Periodic{{Every: time.Second, Run: run}}, "no name"},
		{"NameIsNoText", []drakkar.Periodic{{Name: "\xff", Every: 1, Run: run}}, "not valid UTF-8"},
		{"TwoOfAName", []drakkar.Periodic{{Name: "a", Every: 1, Run: run}, {Name: "a", Every: 1, Run: run}}, "two periodics"},
		{"NoInterval", []drakkar.Periodic{{Name: "a", Run: run}}, "Every is 0s"},
		{"NoRun", []drakkar.Periodic{{Name: "a", Every: 1}}, "no Run"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			_, err := newPeriodics(drakkar.NewPipeline(&handler{periodics: tt.all}), events.Discard, zap.NewNop())
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestPeriodics(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		var goes, stops, panics atomic.Int32
		h := &handler{periodics: []drakkar.Periodic{
			{Name: "goes on", Every: time.Minute, Run: func(context.Context) error { goes.Add(1); return errors.New("no") }},
			{Name: "stops", Every: time.Minute, OnError: drakkar.PeriodicStop, Run: func(context.Context) error {
				stops.Add(1)
				return errors.New("no")
			}},
			{Name: "panics", Every: time.Minute, Run: func(context.Context) error { panics.Add(1); panic("no") }},
		}}
		var runs atomic.Int32
		rec := events.RecorderFunc(func(e events.Event) {
			if r, ok := e.(events.PeriodicRun); ok && r.Err != nil {
				runs.Add(1)
			}
		})
		p, err := newPeriodics(drakkar.NewPipeline(h), rec, zap.NewNop())
		require.NoError(t, err)
		p.start()
		<-time.After(5*time.Minute + time.Second)
		require.NoError(t, p.stop(t.Context()))
		require.Equal(t, int32(5), goes.Load())
		require.Equal(t, int32(1), stops.Load())
		require.Equal(t, int32(5), panics.Load())
		require.Equal(t, int32(11), runs.Load())
	})
}
