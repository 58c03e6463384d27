package app

import (
	"context"
	"fmt"

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
		Gatherer: registry, Ready: a.Ready, ErrorLog: zap.NewStdLog(a.log),
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

// Ready returns why the process is not ready, and nothing when it is.
func (a *App) Ready(ctx context.Context) []string {
	a.mu.Lock()
	checks, started := a.checks, a.started
	a.mu.Unlock()
	var reasons []string
	if !started {
		reasons = append(reasons, "not_started")
	}
	for _, c := range checks {
		for _, r := range c.f(ctx) {
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
