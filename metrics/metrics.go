// Package metrics turns events into Prometheus metrics and serves them, with
// the probes, on the port for machines.
//
// Every metric is moved by an event of package events and by nothing else, so
// what a metric counts is what a log line says. Metrics of a handler of one's
// own are registered on the same registry.
package metrics

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/drakkar-go/drakkar/events"
)

var _ events.Recorder = (*Metrics)(nil)

// Metrics is a Recorder which counts and times. Make it with New.
type Metrics struct {
	ingest   ingestMetrics
	windows  windowMetrics
	tasks    taskMetrics
	hooks    hookMetrics
	delivery deliveryMetrics
	info     *prometheus.GaugeVec
}

// NewRegistry returns a registry that holds the metrics of the Go runtime and
// of the process, for New and for a handler's own metrics.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return reg
}

// New registers every metric of Drakkar on reg. It fails, and leaves nothing
// behind, when reg has a metric of the same name; two Metrics need two
// registries.
func New(reg prometheus.Registerer) (*Metrics, error) {
	b := &builder{}
	m := build(b)
	for i, c := range b.collectors {
		if err := reg.Register(c); err != nil {
			for _, done := range b.collectors[:i] {
				reg.Unregister(done)
			}
			return nil, fmt.Errorf("registering metric %s: %w", b.definitions[i].Name, err)
		}
	}
	return m, nil
}

func build(b *builder) *Metrics {
	return &Metrics{
		info: b.gaugeVec("worker_info",
			"Who this process is; always 1.", "worker_id", "version", "consumer_group"),
		ingest:   newIngestMetrics(b),
		windows:  newWindowMetrics(b),
		tasks:    newTaskMetrics(b),
		hooks:    newHookMetrics(b),
		delivery: newDeliveryMetrics(b),
	}
}

// SetInfo sets the labels of drakkar_worker_info. A second call replaces the
// first.
func (m *Metrics) SetInfo(worker, version, group string) {
	labels := []string{worker, version, group}
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "\uFFFD") // names of the environment may be anything, labels not
	}
	m.info.Reset()
	m.info.WithLabelValues(labels...).Set(1)
}

// Record implements events.Recorder. Each area takes from the event what
// concerns it.
func (m *Metrics) Record(e events.Event) {
	m.ingest.record(e)
	m.windows.record(e)
	m.tasks.record(e)
	m.hooks.record(e)
	m.delivery.record(e)
}
