package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drakkar-go/drakkar/events"
)

// hookPriority is the Hook of a HookRan about Prioritizer.
const hookPriority = "task_priority"

// hookMetrics is about the handler's own code.
type hookMetrics struct {
	duration           *prometheus.HistogramVec
	errors             *prometheus.CounterVec
	priorityErrors     prometheus.Counter
	parseErrors        *prometheus.CounterVec
	annotationsDropped prometheus.Counter
	recorderPanics     prometheus.Counter
	periodicRuns       *prometheus.CounterVec
	periodicDuration   *prometheus.HistogramVec
}

func newHookMetrics(b *builder) hookMetrics {
	return hookMetrics{
		duration: b.histogramVec("handler_duration_seconds",
			"Time of a call of a hook, well or not.", bucketsHook, "hook"),
		errors: b.counterVec("hook_errors_total",
			"Calls of a hook that returned an error or panicked.", "hook"),
		priorityErrors: b.counter("executor_priority_fn_errors_total",
			"Calls of TaskPriority that panicked; the priority was 0."),
		parseErrors: b.counterVec("parse_errors_total",
			"Messages whose value could not be decoded; policy is the on_parse_error that was followed.", "policy"),
		annotationsDropped: b.counter("annotations_dropped_total",
			"Annotations that were dropped because they were too large."),
		recorderPanics: b.counter("event_recorder_panics_total",
			"Events at which the program's own recorder panicked. They passed it by."),
		periodicRuns: b.counterVec("periodic_task_runs_total",
			"Runs of a periodic; status is ok or error.", "name", "status"),
		periodicDuration: b.histogramVec("periodic_task_duration_seconds",
			"Time of a run of a periodic.", bucketsPeriodic, "name"),
	}
}

func (m *hookMetrics) record(e events.Event) {
	switch e := e.(type) {
	case events.HookRan:
		m.recordHook(e)
	case events.ParseFailed:
		m.parseErrors.WithLabelValues(e.Policy).Inc()
	case events.Annotated:
		if e.Dropped {
			m.annotationsDropped.Inc()
		}
	case events.RecorderPanicked:
		m.recorderPanics.Inc()
	case events.PeriodicRun:
		m.periodicRuns.WithLabelValues(e.Task, status(e.Err)).Inc()
		m.periodicDuration.WithLabelValues(e.Task).Observe(e.Took.Seconds())
	}
}

func (m *hookMetrics) recordHook(e events.HookRan) {
	m.duration.WithLabelValues(e.Hook).Observe(e.Took.Seconds())
	if e.Err == nil {
		return
	}
	m.errors.WithLabelValues(e.Hook).Inc()
	if e.Hook == hookPriority {
		m.priorityErrors.Inc()
	}
}

func status(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}
