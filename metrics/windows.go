package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drakkar-go/drakkar/events"
)

// windowMetrics is about windows as ingest sees them.
type windowMetrics struct {
	started  prometheus.Counter
	adopted  prometheus.Counter
	start    prometheus.Histogram
	finished prometheus.Counter
	rerun    prometheus.Counter
	duration prometheus.Histogram
	batch    prometheus.Histogram
	messages prometheus.Counter
}

func newWindowMetrics(b *builder) windowMetrics {
	return windowMetrics{
		started: b.counter("windows_started_total",
			"Windows whose workflow this process started."),
		adopted: b.counter("windows_adopted_total",
			"Windows which another process had started and this one took over."),
		start: b.histogram("window_start_duration_seconds",
			"Time until Temporal acknowledged the start of a window.", bucketsShort),
		finished: b.counter("windows_finished_total",
			"Windows that ended with everything delivered, dead-lettered or skipped."),
		rerun: b.counter("windows_rerun_total",
			"Windows that were terminated or failed and were reset."),
		duration: b.histogram("window_duration_seconds",
			"Time from the start or adoption of a window to its end.", bucketsWindow),
		batch: b.histogram("batch_duration_seconds",
			"Time from the start or adoption of a window with at least one task to its end.", bucketsBatch),
		messages: b.counter("messages_finished_total",
			"Messages of windows that ended."),
	}
}

func (m *windowMetrics) record(e events.Event) {
	switch e := e.(type) {
	case events.WindowStarted:
		m.recordStart(e)
	case events.WindowFinished:
		m.finished.Inc()
		m.messages.Add(float64(e.Messages))
		m.duration.Observe(e.Took.Seconds())
		if e.Tasks > 0 {
			m.batch.Observe(e.Took.Seconds())
		}
	case events.WindowRerun:
		m.rerun.Inc()
	}
}

func (m *windowMetrics) recordStart(e events.WindowStarted) {
	if e.Adopted {
		m.adopted.Inc()
		return
	}
	m.started.Inc()
	m.start.Observe(e.Took.Seconds())
}
