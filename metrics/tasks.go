package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

// actionRetry is the Action of a TaskFailed that will be repeated.
const actionRetry = "retry"

// taskMetrics is about tasks and the pool that runs them.
type taskMetrics struct {
	sincePool *stopwatch
	// queued is whether messages wait in this process, which only a process
	// that also reads knows.
	queued *atomic.Bool

	tasks       *prometheus.CounterVec
	duration    prometheus.Histogram
	failed      prometheus.Histogram
	wait        prometheus.Histogram
	timeouts    prometheus.Counter
	retries     prometheus.Counter
	precomputed prometheus.Counter
	orphans     prometheus.Counter

	residents         prometheus.Gauge
	residentsStarted  prometheus.Counter
	residentsEnded    *prometheus.CounterVec
	residentUnclaimed prometheus.Counter

	active  prometheus.Gauge
	waiting prometheus.Gauge
	slots   prometheus.Gauge
	idle    prometheus.Counter
}

func newTaskMetrics(b *builder) taskMetrics {
	m := taskMetrics{sincePool: &stopwatch{}, queued: &atomic.Bool{}}
	m.defineTasks(b)
	m.defineResidents(b)
	m.definePool(b)
	return m
}

func (m *taskMetrics) defineTasks(b *builder) {
	m.tasks = b.counterVec("executor_tasks_total",
		"Attempts of tasks, repeated and precomputed ones included; status is started, completed or failed.", "status")
	m.duration = b.histogram("executor_duration_seconds",
		"Time that an attempt which succeeded ran, its wait for a slot not included. Precomputed tasks are left out.", bucketsTask)
	m.failed = b.histogram("executor_failed_duration_seconds",
		"Time that an attempt which failed or timed out ran, its wait for a slot not included.", bucketsTask)
	m.wait = b.histogram("executor_slot_wait_seconds",
		"Time that an attempt waited for a slot.", bucketsWait)
	m.timeouts = b.counter("executor_timeouts_total",
		"Attempts that ran longer than their timeout and were ended.")
	m.retries = b.counter("task_retries_total",
		"Failed attempts that are repeated.")
	m.precomputed = b.counter("tasks_precomputed_total",
		"Tasks whose result was known without running anything.")
	m.orphans = b.counter("executor_orphans_killed_total",
		"Processes that had left the process group of their task and were ended.")
}

func (m *taskMetrics) defineResidents(b *builder) {
	m.residents = b.gauge("executor_resident_processes",
		"Resident programs that are ready or at work.")
	m.residentsStarted = b.counter("executor_resident_started_total",
		"Resident programs that were started and became ready.")
	m.residentsEnded = b.counterVec("executor_resident_ended_total",
		"Resident programs that ended; reason is max_tasks, max_memory, evicted, stopped, interrupted, protocol or exited.", "reason")
	m.residentUnclaimed = b.counter("executor_resident_unclaimed_stderr_bytes_total",
		"Bytes that resident programs wrote to stderr between tasks, which are in no result.")
}

func (m *taskMetrics) definePool(b *builder) {
	m.active = b.gauge("executor_pool_active",
		"Slots in use.")
	m.waiting = b.gauge("executor_pool_waiting",
		"Tasks that wait for a slot.")
	m.slots = b.gauge("executor_pool_slots",
		"Slots there are, from executor.max_executors.")
	m.idle = b.counter("executor_idle_slot_seconds_total",
		"Free slots times the time they were free while tasks, or messages queued in the same process, were waiting.")
}

func (m *taskMetrics) record(e events.Event) {
	switch e := e.(type) {
	case events.TaskStarted:
		m.recordStarted(e)
	case events.TaskCompleted:
		m.recordCompleted(e)
	case events.TaskFailed:
		m.recordFailed(e)
	case events.OrphanKilled:
		m.orphans.Inc()
	case events.ResidentStarted:
		m.residentsStarted.Inc()
		m.residents.Inc()
	case events.ResidentEnded:
		m.recordResidentEnded(e)
	case events.PoolState:
		m.recordPool(e)
	case events.QueueDepth:
		m.queued.Store(e.Messages > 0)
	}
}

func (m *taskMetrics) recordStarted(e events.TaskStarted) {
	m.tasks.WithLabelValues("started").Inc()
	m.setPool(e.Active, e.Waiting)
	if e.Precomputed {
		m.precomputed.Inc()
		return
	}
	m.wait.Observe(e.Waited.Seconds())
}

func (m *taskMetrics) recordCompleted(e events.TaskCompleted) {
	m.tasks.WithLabelValues("completed").Inc()
	m.setPool(e.Active, e.Waiting)
	if !e.Precomputed {
		m.duration.Observe(e.Result.Duration.Seconds())
	}
}

func (m *taskMetrics) recordFailed(e events.TaskFailed) {
	m.tasks.WithLabelValues("failed").Inc()
	m.setPool(e.Active, e.Waiting)
	if !e.Precomputed {
		m.failed.Observe(e.Error.Result.Duration.Seconds())
	}
	if e.Error.Kind == drakkar.TaskTimeout {
		m.timeouts.Inc()
	}
	if e.Action == actionRetry {
		m.retries.Inc()
	}
}

func (m *taskMetrics) recordResidentEnded(e events.ResidentEnded) {
	m.residentsEnded.WithLabelValues(e.Reason).Inc()
	m.residentUnclaimed.Add(float64(max(0, e.Unclaimed)))
	if e.Ready {
		m.residents.Dec()
	}
}

func (m *taskMetrics) recordPool(e events.PoolState) {
	m.slots.Set(float64(e.Slots))
	m.setPool(e.Active, e.Waiting)
	since := m.sincePool.lap()
	if e.Waiting > 0 || m.queued.Load() {
		m.idle.Add(since.Seconds() * float64(max(0, e.Slots-e.Active)))
	}
}

func (m *taskMetrics) setPool(active, waiting int) {
	m.active.Set(float64(active))
	m.waiting.Set(float64(waiting))
}
