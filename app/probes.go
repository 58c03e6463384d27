package app

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar/metrics"
)

// serve opens the port for machines: one for each role.
func (a *App) serve(registry *prometheus.Registry) error {
	setting := "metrics.port"
	if a.opts.Role == Ingest {
		setting = "ingest.metrics_port"
	}
	s := metrics.NewServer(metrics.Config{
		Addr: a.cfg.MetricsAddr(a.opts.Role.settings()), Setting: setting, Enabled: a.cfg.Metrics.Enabled,
		Gatherer: registry, Ready: a.Ready, Token: a.cfg.Debug.AuthToken, ErrorLog: zap.NewStdLog(a.log),
	})
	if err := s.Start(); err != nil {
		return err
	}
	a.servers = append(a.servers, s)
	a.ends.push("the metrics server", s.Stop)
	a.log.Info("serving /metrics, /healthz and /readyz on " + s.Addr())
	return nil
}

// MetricsAddr is where /metrics, /healthz and /readyz are served, once Start
// has returned.
func (a *App) MetricsAddr() string {
	if len(a.servers) == 0 {
		return ""
	}
	return a.servers[0].Addr()
}

// checkBound is how long the checks of one probe may take: less than the probe
// itself, so that it can still say what does not answer.
const checkBound = 2 * time.Second

var errCheckBound = fmt.Errorf("no answer within %s", checkBound)

// Ready returns why the process is not ready, and nothing when it is. All parts
// are asked at the same time.
func (a *App) Ready(ctx context.Context) []string {
	a.mu.Lock()
	checks, started := slices.Clone(a.checks), a.started
	a.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, checkBound, errCheckBound)
	defer cancel()
	found := make([][]string, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { found[i] = c.f(ctx) })
	}
	wg.Wait()
	var reasons []string
	if !started {
		reasons = append(reasons, "not_started")
	}
	for i, c := range checks {
		for _, r := range found[i] {
			reasons = append(reasons, fmt.Sprintf("%s: %s", c.name, r))
		}
	}
	return reasons
}

// addCheck adds to readiness.
func (a *App) addCheck(name string, f func(context.Context) []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.checks = append(a.checks, check{name: name, f: f})
}
