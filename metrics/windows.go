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
	reread   prometheus.Counter
	gone     prometheus.Counter
	dead     prometheus.Counter
	overdue  prometheus.Counter
	stuck    *prometheus.CounterVec
	old      prometheus.Counter
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
		reread: b.counter("windows_reread_total",
			"Windows that were gone from Temporal, read again from the topic and started again."),
		gone: b.counter("window_messages_gone_total",
			"Messages of such windows that the topic does not hold any more, at most. Any rise may be a loss."),
		dead: b.counter("windows_dead_lettered_total",
			"Windows whose rest went to the dead letter queue: they were run again too often or got too old."),
		overdue: b.counter("windows_overdue_total",
			"Windows that are open for longer than windows.max_age."),
		stuck: b.counterVec("workflow_task_failures_total",
			"Steps of workflows that could not be made and are tried again: other code than the history was made with, or a panic.", "workflow", "reason"),
		old: b.counter("old_windows_cancelled_total",
			"Windows of former epochs that were ended because of reset.cancel_old."),
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
	case events.WindowReread:
		m.reread.Inc()
		m.gone.Add(float64(e.Gone))
	case events.WindowDeadLettered:
		m.dead.Inc()
	case events.OldWindowsCancelled:
		m.old.Add(float64(e.Windows))
	case events.WorkflowTaskFailed:
		m.stuck.WithLabelValues(e.Workflow, e.Reason).Inc()
	case events.WindowOverdue:
		m.overdue.Inc()
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
