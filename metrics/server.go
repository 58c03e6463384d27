package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// readyTimeout bounds one readiness probe. Kubernetes gives up earlier, but
	// its request has to end too.
	readyTimeout = 3 * time.Second

	readHeaderTimeout = 5 * time.Second
	// writeTimeout leaves room for a profile-sized scrape.
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute
)

// errReadyTimeout is the cause of a readiness check's context that ran out.
var errReadyTimeout = fmt.Errorf("the checks took longer than %s", readyTimeout)

// Config is what a Server serves, and where.
type Config struct {
	// Addr is host:port; port 0 takes a free one. An empty host means all
	// interfaces.
	Addr string

	// Setting is the key of the port in the configuration, named when the port
	// is taken: metrics.port or ingest.metrics_port. Defaults to metrics.port.
	Setting string

	// Enabled serves /metrics. The probes are served in any case.
	Enabled bool

	// Gatherer is what /metrics shows. Required when Enabled.
	Gatherer prometheus.Gatherer

	// Ready returns why the process is not ready, and nothing when it is. It is
	// called for each probe, several at a time, and should return when ctx
	// ends; a probe does not wait longer than 3 s for it. Nil means always
	// ready.
	Ready func(ctx context.Context) []string

	// Token opens /debug/pprof to those who show it. Empty serves no profiles.
	Token string

	// ErrorLog takes complaints of the HTTP server. Nil drops them.
	ErrorLog *log.Logger
}

// Server serves /metrics, /healthz, /readyz, and profiles.
type Server struct {
	cfg  Config
	http *http.Server

	mu       sync.Mutex
	stopped  bool
	listener net.Listener
	done     chan struct{} // closed when serving has ended
	serveErr error         // valid once done is closed
}

// NewServer returns a server that has not started.
func NewServer(cfg Config) *Server {
	if cfg.Setting == "" {
		cfg.Setting = "metrics.port"
	}
	if cfg.ErrorLog == nil {
		cfg.ErrorLog = log.New(io.Discard, "", 0)
	}
	s := &Server{cfg: cfg, done: make(chan struct{})}
	s.http = &http.Server{
		Handler:           s.handler(),
		ErrorLog:          cfg.ErrorLog,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readHeaderTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
	}
	return s
}

// Start binds the port and returns; requests are served until Stop. It fails
// when the port is taken, and when it is called again or after Stop.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.listener != nil || s.stopped {
		return errors.New("starting the metrics server: it was started or stopped before")
	}
	var tcp net.ListenConfig
	listener, err := tcp.Listen(context.Background(), "tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("binding %s for metrics and probes: %w; look for another drakkar process on this host, "+
			"or change %s or ports.offset", s.cfg.Addr, err, s.cfg.Setting)
	}
	s.listener = listener
	go s.serve(listener)
	return nil
}

func (s *Server) serve(listener net.Listener) {
	defer close(s.done)

	if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		s.serveErr = fmt.Errorf("serving metrics and probes: %w", err)
	}
}

// Addr is the address that is served, with the port that was taken; empty
// before Start.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Stop ends the server. It waits for running requests no longer than ctx, and
// cuts them off then. Calling it twice, or without Start, does nothing.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	started := s.listener != nil
	s.mu.Unlock()
	if !started {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("stopping the metrics server: %w", err), s.http.Close())
	}
	<-s.done
	return errors.Join(err, s.serveErr)
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	if s.cfg.Enabled {
		mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{
			// One broken metric of a handler must not hide all the others.
			ErrorHandling: promhttp.ContinueOnError,
			ErrorLog:      s.cfg.ErrorLog,
		}))
	}
	if s.cfg.Token != "" {
		mux.Handle("GET /debug/pprof/", profiles(s.cfg.Token))
	}
	return mux
}

// probe is the answer of both probes.
type probe struct {
	Status  string   `json:"status"`
	Reasons []string `json:"reasons,omitempty"`
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	s.answer(w, http.StatusOK, probe{Status: "ok"})
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if reasons := s.notReady(r.Context()); len(reasons) > 0 {
		s.answer(w, http.StatusServiceUnavailable, probe{Status: "not_ready", Reasons: reasons})
		return
	}
	s.answer(w, http.StatusOK, probe{Status: "ready"})
}

// notReady returns when ctx or the time of a probe is over, even if Ready does
// not.
func (s *Server) notReady(ctx context.Context) []string {
	if s.cfg.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, errReadyTimeout)
	defer cancel()

	answer := make(chan []string, 1)
	go func() { answer <- s.cfg.Ready(ctx) }()
	select {
	case reasons := <-answer:
		return reasons
	case <-ctx.Done():
		return []string{context.Cause(ctx).Error()}
	}
}

func (s *Server) answer(w http.ResponseWriter, code int, p probe) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(p); err != nil {
		s.cfg.ErrorLog.Printf("answering a probe: %v", err)
	}
}
