package app

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/drakkar-go/drakkar/config"
)

// ready is what /readyz says.
func ready(t *testing.T, a *App) (code int, reasons []string) {
	t.Helper()
	code, text := body(t, a, "/readyz")
	var answer struct {
		Status  string   `json:"status"`
		Reasons []string `json:"reasons"`
	}
	require.NoError(t, json.Unmarshal([]byte(text), &answer), text)
	require.Equal(t, map[int]string{http.StatusOK: "ready", http.StatusServiceUnavailable: "not_ready"}[code], answer.Status)
	return code, answer.Reasons
}

// about are the parts that reasons are about.
func about(reasons []string) map[string]bool {
	parts := map[string]bool{}
	for _, r := range reasons {
		part, _, _ := strings.Cut(r, ": ")
		parts[part] = true
	}
	return parts
}

// While Temporal is away a running process lives, is not ready, and says why;
// when Temporal is back it is ready again by itself.
func TestReady_TemporalGoesAndComesBack(t *testing.T) {
	t.Parallel()

	b := setup(t)
	a := b.app(t, Executor, &hooks{})
	require.NoError(t, a.Start(t.Context()))
	awaitReady(t, a)

	b.frontend.healthy(false)
	require.Eventually(t, func() bool { code, _ := ready(t, a); return code == http.StatusServiceUnavailable }, eventually, soon)
	_, reasons := ready(t, a)
	require.Equal(t, map[string]bool{"temporal": true}, about(reasons))
	require.Contains(t, reasons[0], b.frontend.addr+" does not answer")
	code, text := body(t, a, "/healthz")
	require.Equal(t, http.StatusOK, code, "a process that waits must not be killed for it")
	require.JSONEq(t, `{"status":"ok"}`, text)

	b.frontend.healthy(true)
	awaitReady(t, a)
}

// A process that was started before Temporal waits for it, and goes on when it
// is there.
func TestReady_TemporalComesLate(t *testing.T) {
	t.Parallel()

	b := setup(t)
	addr := local(freePort(t))
	b.cfg.Temporal.Address = addr
	b.cfg.Metrics.Port = freePort(t)
	a := b.app(t, Executor, &hooks{})
	started := make(chan error, 1)
	go func() { started <- a.Start(t.Context()) }()
	metrics := local(b.cfg.Metrics.Port)
	require.Eventually(t, func() bool { return serves(t.Context(), metrics) }, eventually, soon, "probes are served meanwhile")
	require.Equal(t, http.StatusServiceUnavailable, get(t, "http://"+metrics+"/readyz"))

	newFrontend(t, addr)
	require.NoError(t, <-started)
	awaitReady(t, a)
}

// An executor starts without Kafka, and says of the sink and of the dead letter
// queue that they are away; they come back by themselves.
func TestReady_KafkaComesLate(t *testing.T) {
	t.Parallel()

	b := setup(t)
	port := freePort(t)
	b.cfg.Kafka.Brokers = local(port)
	sink := b.cfg.Sinks.Kafka["results"]
	sink.Brokers = b.cfg.Kafka.Brokers
	b.cfg.Sinks.Kafka["results"] = sink
	b.cfg.DLQ.Brokers = b.cfg.Kafka.Brokers
	a := b.app(t, Executor, &hooks{})
	require.NoError(t, a.Start(t.Context()))
	require.Eventually(t, func() bool {
		_, reasons := ready(t, a)
		parts := about(reasons)
		return parts["sinks"] && parts["dlq"]
	}, eventually, soon)
	reasons := a.Ready(t.Context())
	require.NotContains(t, about(reasons), "temporal")
	require.Contains(t, strings.Join(reasons, "\n"), "kafka:results", "the sink is named")
	require.NotContains(t, strings.Join(reasons, "\n"), "filesystem", "the other sink is well")

	cluster, err := kfake.NewCluster(kfake.Ports(port), kfake.SeedTopics(1, sinkTopic, sourceTopic+"_dlq"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	awaitReady(t, a)
}

// A topic that is missing is named, so that an operator can create it.
func TestReady_NamesMissingTopics(t *testing.T) {
	t.Parallel()

	b := setup(t)
	sink := b.cfg.Sinks.Kafka["results"]
	sink.Topic = "no-such-topic"
	b.cfg.Sinks.Kafka["results"] = sink
	b.cfg.DLQ.Topic = "no-such-dlq"
	a := b.app(t, Executor, &hooks{})
	require.NoError(t, a.Start(t.Context()))
	_, reasons := ready(t, a)
	text := strings.Join(reasons, "\n")
	require.Contains(t, text, "no-such-topic")
	require.Contains(t, text, "no-such-dlq")
}

// Checks are answered in the order of the parts and each says which part it is
// about, also while a part is added.
func TestReady_Checks(t *testing.T) {
	t.Parallel()

	a, err := New(Options{Config: settings(), Role: Ingest})
	require.NoError(t, err)
	require.Equal(t, []string{"not_started"}, a.Ready(t.Context()))
	a.addCheck("first", func(context.Context) []string { return []string{"x", "y"} })
	a.addCheck("well", func(context.Context) []string { return nil })
	a.addCheck("last", failing(func(ctx context.Context) error { return ctx.Err() }))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, []string{"not_started", "first: x", "first: y", "last: context canceled"}, a.Ready(ctx))
	a.started = true
	require.Equal(t, []string{"first: x", "first: y"}, a.Ready(t.Context()))
}

// metrics.enabled: false takes the metrics away and leaves the probes, on which
// the host relies.
func TestProbes_WithoutMetrics(t *testing.T) {
	t.Parallel()

	b := setup(t)
	b.cfg.Metrics.Enabled = false
	a := b.app(t, Executor, &hooks{})
	require.NoError(t, a.Start(t.Context()))
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/metrics": http.StatusNotFound, "/": http.StatusNotFound, "/debug/pprof/": http.StatusNotFound} {
		code, _ := body(t, a, path)
		require.Equal(t, want, code, path)
	}
}

// ports.offset lets several processes of one file run on a host.
func TestProbes_Offset(t *testing.T) {
	t.Parallel()

	b := setup(t)
	port := freePort(t)
	b.cfg.Metrics.Port, b.cfg.Ports.Offset = port-1, 1
	a := b.app(t, Executor, &hooks{})
	require.NoError(t, a.Start(t.Context()))
	require.True(t, serves(t.Context(), local(port)))
	require.Equal(t, config.RoleExecutor, All.settings(), "a process of both roles takes the executor's ports")
	require.Equal(t, config.RoleIngest, Ingest.settings())
}
