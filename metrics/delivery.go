package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drakkar-go/drakkar/events"
)

// breakerLevels are the values of drakkar_sink_circuit_open.
var breakerLevels = map[string]float64{"closed": 0, "half_open": .5, breakerOpen: 1}

// breakerOpen is the State of a BreakerChanged that tripped.
const breakerOpen = "open"

// deliveryMetrics is about sinks and the dead letter queue.
type deliveryMetrics struct {
	duration *prometheus.HistogramVec
	errors   *prometheus.CounterVec
	payloads *prometheus.CounterVec
	refused  *prometheus.CounterVec
	retries  *prometheus.CounterVec
	skipped  *prometheus.CounterVec

	breaker *prometheus.GaugeVec
	trips   *prometheus.CounterVec

	dlqMessages prometheus.Counter
	dlqFailures prometheus.Counter
	deadLetters *prometheus.CounterVec
}

func newDeliveryMetrics(b *builder) deliveryMetrics {
	var m deliveryMetrics
	m.defineSinks(b)
	m.defineDLQ(b)
	return m
}

func (m *deliveryMetrics) defineSinks(b *builder) {
	m.duration = b.histogramVec("sink_deliver_duration_seconds",
		"Time of a delivery of a batch that arrived.", bucketsSink, "sink_type", "sink_name")
	m.errors = b.counterVec("sink_deliver_errors_total",
		"Deliveries of a batch in which a payload was refused.", "sink_type", "sink_name")
	m.payloads = b.counterVec("sink_payloads_delivered_total",
		"Payloads that have arrived.", "sink_type", "sink_name")
	m.refused = b.counterVec("sink_payloads_refused_total",
		"Payloads that were refused, at each attempt; class is transient or permanent.", "sink_type", "sink_name", "class")
	m.retries = b.counterVec("sink_delivery_retries_total",
		"Deliveries that are repeated after a pause.", "sink_type", "sink_name")
	m.skipped = b.counterVec("sink_deliveries_skipped_total",
		"Deliveries whose refused payloads on_delivery_error dropped.", "sink_type", "sink_name")
	m.breaker = b.gaugeVec("sink_circuit_open",
		"State of a sink's circuit breaker: 0 closed, 0.5 half open, 1 open.", "sink_type", "sink_name")
	m.trips = b.counterVec("sink_circuit_trips_total",
		"How often a sink's circuit breaker opened.", "sink_type", "sink_name")
}

func (m *deliveryMetrics) defineDLQ(b *builder) {
	m.dlqMessages = b.counter("sink_dlq_messages_total",
		"Entries that the dead letter queue accepted.")
	m.dlqFailures = b.counter("dlq_send_failures_total",
		"Writes that the dead letter queue did not accept. They are made again and offsets wait.")
	m.deadLetters = b.counterVec("dead_letters_total",
		"Entries that the dead letter queue accepted; kind is payload or message, the sink of messages is empty.",
		"kind", "sink_type", "sink_name", "class")
}

func (m *deliveryMetrics) record(e events.Event) {
	switch e := e.(type) {
	case events.SinkDelivered:
		m.duration.WithLabelValues(e.Sink.Type, e.Sink.Name).Observe(e.Took.Seconds())
		m.payloads.WithLabelValues(e.Sink.Type, e.Sink.Name).Add(float64(e.Payloads))
	case events.SinkError:
		m.errors.WithLabelValues(e.Sink.Type, e.Sink.Name).Inc()
		m.refused.WithLabelValues(e.Sink.Type, e.Sink.Name, e.Class).Add(float64(e.Payloads))
	case events.SinkRetry:
		m.retries.WithLabelValues(e.Sink.Type, e.Sink.Name).Inc()
	case events.SinkSkipped:
		m.skipped.WithLabelValues(e.Sink.Type, e.Sink.Name).Inc()
	case events.BreakerChanged:
		m.recordBreaker(e)
	case events.DeadLettered:
		m.dlqMessages.Inc()
		m.deadLetters.WithLabelValues(kind(e), e.Sink.Type, e.Sink.Name, e.Class).Inc()
	case events.DLQFailed:
		m.dlqFailures.Inc()
	}
}

func (m *deliveryMetrics) recordBreaker(e events.BreakerChanged) {
	m.breaker.WithLabelValues(e.Sink.Type, e.Sink.Name).Set(breakerLevels[e.State])
	if e.State == breakerOpen {
		m.trips.WithLabelValues(e.Sink.Type, e.Sink.Name).Inc()
	}
}

// kind is what an entry of the dead letter queue holds.
func kind(e events.DeadLettered) string {
	if e.Sink == (events.Sink{}) {
		return "message"
	}
	return "payload"
}
