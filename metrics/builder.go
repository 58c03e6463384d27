package metrics

import "github.com/prometheus/client_golang/prometheus"

// namespace begins the name of every metric.
const namespace = "drakkar"

// Definition is what the reference says about a metric.
type Definition struct {
	// Name is the full name, as it is scraped.
	Name string
	// Type is counter, gauge or histogram.
	Type string
	// Labels are in the order of the metric's definition.
	Labels []string
	// Help is one sentence or more.
	Help string
}

// builder makes metrics and keeps their definitions, so that the reference
// and the registry cannot differ.
type builder struct {
	definitions []Definition
	collectors  []prometheus.Collector
}

func add[C prometheus.Collector](b *builder, kind, name, help string, labels []string, c C) C {
	b.definitions = append(b.definitions, Definition{
		Name: prometheus.BuildFQName(namespace, "", name), Type: kind, Labels: labels, Help: help,
	})
	b.collectors = append(b.collectors, c)
	return c
}

func (b *builder) counter(name, help string) prometheus.Counter {
	return add(b, "counter", name, help, nil, prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Name: name, Help: help,
	}))
}

func (b *builder) counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return add(b, "counter", name, help, labels, prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: name, Help: help,
	}, labels))
}

func (b *builder) gauge(name, help string) prometheus.Gauge {
	return add(b, "gauge", name, help, nil, prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: name, Help: help,
	}))
}

func (b *builder) gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	return add(b, "gauge", name, help, labels, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Name: name, Help: help,
	}, labels))
}

func (b *builder) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return add(b, "histogram", name, help, nil, prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
	}))
}

func (b *builder) histogramVec(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return add(b, "histogram", name, help, labels, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
	}, labels))
}
