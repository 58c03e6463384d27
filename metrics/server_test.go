package metrics

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/events"
)

func TestServer(t *testing.T) {
	t.Parallel()

	type testBundle struct {
		client *http.Client
		server *Server
	}

	setup := func(t *testing.T, cfg Config) *testBundle {
		t.Helper()

		m, reg := newMetrics(t)
		m.Record(events.ConsumerError{})
		cfg.Addr, cfg.Gatherer = "127.0.0.1:0", reg
		transport := &http.Transport{}
		b := &testBundle{client: &http.Client{Transport: transport}, server: NewServer(cfg)}
		require.NoError(t, b.server.Start())
		t.Cleanup(func() {
			transport.CloseIdleConnections()
			require.NoError(t, b.server.Stop(context.Background()))
		})
		return b
	}

	get := func(t *testing.T, b *testBundle, path string) (code int, body string) {
		t.Helper()

		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+b.server.Addr()+path, nil)
		require.NoError(t, err)
		res, err := b.client.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(raw)
	}

	t.Run("Profiles", func(t *testing.T) {
		t.Parallel()

		b := setup(t, Config{Token: "s3cret"})
		ask := func(authorization, path string) (code int, body string) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+b.server.Addr()+path, nil)
			require.NoError(t, err)
			req.Header.Set("Authorization", authorization)
			res, err := b.client.Do(req)
			require.NoError(t, err)
			defer res.Body.Close()
			raw, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			return res.StatusCode, string(raw)
		}
		for _, authorization := range []string{"", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Basic s3cret"} {
			code, body := ask(authorization, "/debug/pprof/heap")
			require.Equal(t, http.StatusUnauthorized, code, authorization)
			require.Contains(t, body, "debug.auth_token")
		}
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1"} {
			code, body := ask("Bearer s3cret", path)
			require.Equal(t, http.StatusOK, code, "%s: %s", path, body)
			require.NotEmpty(t, body)
		}
		code, _ := get(t, b, "/healthz")
		require.Equal(t, http.StatusOK, code, "probes carry no token")

		code, _ = get(t, setup(t, Config{}), "/debug/pprof/")
		require.Equal(t, http.StatusNotFound, code, "without a token nobody may")
	})

	t.Run("Healthz", func(t *testing.T) {
		t.Parallel()

		code, body := get(t, setup(t, Config{}), "/healthz")
		require.Equal(t, http.StatusOK, code)
		require.JSONEq(t, `{"status":"ok"}`, body)
	})

	t.Run("Metrics", func(t *testing.T) {
		t.Parallel()

		code, body := get(t, setup(t, Config{Enabled: true}), "/metrics")
		require.Equal(t, http.StatusOK, code)
		require.Contains(t, body, "drakkar_consumer_errors_total 1")
	})

	t.Run("MetricsDisabledLeavesProbes", func(t *testing.T) {
		t.Parallel()

		b := setup(t, Config{})
		code, _ := get(t, b, "/metrics")
		require.Equal(t, http.StatusNotFound, code)
		code, _ = get(t, b, "/readyz")
		require.Equal(t, http.StatusOK, code)
	})

	t.Run("PortTaken", func(t *testing.T) {
		t.Parallel()

		b := setup(t, Config{})
		second := NewServer(Config{Addr: b.server.Addr(), Setting: "ingest.metrics_port"})
		err := second.Start()
		require.ErrorContains(t, err, b.server.Addr())
		require.ErrorContains(t, err, "ingest.metrics_port")
		require.ErrorContains(t, err, "another drakkar process")
		require.Empty(t, second.Addr())
		require.NoError(t, second.Stop(t.Context()))
	})

	t.Run("Ready", func(t *testing.T) {
		t.Parallel()

		code, body := get(t, setup(t, Config{Ready: func(context.Context) []string { return nil }}), "/readyz")
		require.Equal(t, http.StatusOK, code)
		require.JSONEq(t, `{"status":"ready"}`, body)
	})

	t.Run("NotReady", func(t *testing.T) {
		t.Parallel()

		code, body := get(t, setup(t, Config{Ready: func(context.Context) []string {
			return []string{"temporal does not answer", "sink kafka:results does not answer"}
		}}), "/readyz")
		require.Equal(t, http.StatusServiceUnavailable, code)
		require.JSONEq(t, `{"status":"not_ready","reasons":["temporal does not answer","sink kafka:results does not answer"]}`, body)
	})

	t.Run("ReadyTakesTooLong", func(t *testing.T) {
		t.Parallel()

		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			s := NewServer(Config{Ready: func(context.Context) []string { // does not heed ctx
				<-release
				return nil
			}})
			began := time.Now()
			reasons := s.notReady(t.Context())
			require.Equal(t, []string{"the checks took longer than 3s"}, reasons)
			require.Equal(t, 3*time.Second, time.Since(began))
			close(release)
		})
	})

	t.Run("RefusesWrites", func(t *testing.T) {
		t.Parallel()

		b := setup(t, Config{Enabled: true})
		for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+b.server.Addr()+path, nil)
			require.NoError(t, err)
			res, err := b.client.Do(req)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
		}
	})

	t.Run("StartTwice", func(t *testing.T) {
		t.Parallel()

		b := setup(t, Config{})
		require.Error(t, b.server.Start())
	})

	t.Run("StopTwice", func(t *testing.T) {
		t.Parallel()

		b := setup(t, Config{})
		require.NoError(t, b.server.Stop(t.Context()))
		require.NoError(t, b.server.Stop(t.Context()))
	})

	t.Run("StopWithoutStart", func(t *testing.T) {
		t.Parallel()

		s := NewServer(Config{Addr: "127.0.0.1:0"})
		require.NoError(t, s.Stop(t.Context()))
		require.Error(t, s.Start())
	})

	t.Run("StopIsBounded", func(t *testing.T) {
		t.Parallel()

		entered := make(chan struct{})
		b := setup(t, Config{Ready: func(ctx context.Context) []string {
			close(entered)
			<-ctx.Done()
			return nil
		}})
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			res, err := b.client.Get("http://" + b.server.Addr() + "/readyz")
			if err == nil {
				res.Body.Close()
			}
		}()
		<-entered
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, b.server.Stop(ctx), context.Canceled)
		<-answered
	})
}

// answered asks the server's handler, without a port.
func answered(t *testing.T, s *Server, method, path string) (code int, body string) {
	t.Helper()

	rec := httptest.NewRecorder()
	s.handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return rec.Code, rec.Body.String()
}

// Probes of hosts and load balancers come in several forms, and no answer of
// one may be kept by a cache.
func TestServer_Requests(t *testing.T) {
	t.Parallel()

	_, reg := newMetrics(t)
	s := NewServer(Config{Enabled: true, Gatherer: reg, Ready: func(context.Context) []string { return []string{`say "why"`, "é<"} }})
	for _, tt := range []struct {
		method, path string
		code         int
	}{
		{"GET", "/healthz", 200}, {"HEAD", "/healthz", 200}, {"GET", "/healthz?verbose", 200}, {"GET", "/healthz/", 404},
		{"GET", "/readyz", 503}, {"HEAD", "/readyz", 503}, {"HEAD", "/metrics", 200},
		{"GET", "/", 404}, {"GET", "/metrics/x", 404}, {"GET", "//healthz", 307}, {"GET", "/../healthz", 307},
		{"PUT", "/healthz", 405}, {"DELETE", "/metrics", 405}, {"OPTIONS", "/readyz", 405}, {"POST", "/nope", 404},
	} {
		code, _ := answered(t, s, tt.method, tt.path)
		require.Equal(t, tt.code, code, "%s %s", tt.method, tt.path)
	}
	rec := httptest.NewRecorder()
	s.handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
	require.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
	require.Equal(t, "application/json", rec.Header().Get("Content-Type"))
	var answer probe
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &answer))
	require.Equal(t, []string{`say "why"`, "é<"}, answer.Reasons)
}

// A caller that has gone away ends its check.
func TestServer_CallerGoesAway(t *testing.T) {
	t.Parallel()

	entered := make(chan struct{})
	s := NewServer(Config{Ready: func(ctx context.Context) []string {
		close(entered)
		<-ctx.Done()
		return nil
	}})
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan []string, 1)
	go func() { got <- s.notReady(ctx) }()
	<-entered
	cancel()
	reasons := <-got
	require.True(t, len(reasons) == 0 || reasons[0] == context.Canceled.Error(), "%v", reasons)
}
