package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drakkar-go/drakkar/events"
)

// ingestMetrics is about reading, queueing and committing.
type ingestMetrics struct {
	partitions *partitions
	sinceDepth *stopwatch

	consumed       *prometheus.CounterVec
	consumedBytes  *prometheus.CounterVec
	consumerErrors prometheus.Counter
	consumerIdle   prometheus.Counter
	rebalances     *prometheus.CounterVec
	lost           prometheus.Counter
	assignment     prometheus.Histogram
	epochs         prometheus.Counter
	offsetsSkipped prometheus.Counter
	failures       prometheus.Counter
	stuck          prometheus.Counter

	queued       prometheus.Gauge
	queuedBytes  prometheus.Gauge
	openWindows  prometheus.Gauge
	queueSize    *prometheus.GaugeVec
	uncommitted  *prometheus.GaugeVec
	lag          *prometheus.GaugeVec
	oldestWindow *prometheus.GaugeVec

	commits        *prometheus.CounterVec
	commitDuration prometheus.Histogram
	commitFailures prometheus.Counter
}

func newIngestMetrics(b *builder) ingestMetrics {
	m := ingestMetrics{partitions: newPartitions(b), sinceDepth: &stopwatch{}}
	m.defineReading(b)
	m.defineQueue(b)
	m.defineCommits(b)
	m.partitions.series = []labelled{
		m.consumed, m.consumedBytes, m.queueSize, m.uncommitted, m.lag, m.oldestWindow, m.commits,
	}
	return m
}

func (m *ingestMetrics) defineReading(b *builder) {
	m.consumed = b.counterVec("messages_consumed_total",
		"Messages that were read and queued.", labelsPartition...)
	m.consumedBytes = b.counterVec("consumed_bytes_total",
		"Bytes of keys, values and headers that were read and queued.", labelsPartition...)
	m.consumerErrors = b.counter("consumer_errors_total",
		"Errors that the Kafka client reported.")
	m.consumerIdle = b.counter("consumer_idle_seconds_total",
		"Time during which nothing was queued, no window was open and no partition was paused.")
	m.rebalances = b.counterVec("rebalance_events_total",
		"Rebalances that assigned or revoked partitions; type is assign or revoke.", "type")
	m.lost = b.counter("partitions_lost_total",
		"Partitions that were lost without a revocation, as after a session timeout.")
	m.assignment = b.histogram("assignment_duration_seconds",
		"Time from a partition's assignment until it was read, the walk of its chain included.", bucketsShort)
	m.epochs = b.counter("epochs_started_total",
		"New epochs of partitions: first reads, offset resets and changes of the pipeline's name.")
	m.offsetsSkipped = b.counter("offsets_skipped_total",
		"Offsets that the topic's retention removed before they could be read. Any rise is a loss.")
	m.failures = b.counter("ingest_failures_total",
		"Steps of reading or of following windows that failed, stuck ones included.")
	m.stuck = b.counter("ingest_stuck_total",
		"Steps of reading or of following windows that failed and are not repeated by themselves: someone has to act.")
}

func (m *ingestMetrics) defineQueue(b *builder) {
	m.queued = b.gauge("total_queued",
		"Messages that wait in this process to be put into a window.")
	m.queuedBytes = b.gauge("queued_bytes",
		"Bytes of keys, values and headers of the messages that wait in this process.")
	m.openWindows = b.gauge("open_windows",
		"Windows of this process that were started or adopted and are not finished.")
	m.queueSize = b.gaugeVec("partition_queue_size",
		"Messages of a partition that wait to be put into a window.", labelsPartition...)
	m.uncommitted = b.gaugeVec("offset_lag",
		"Offsets of a partition that this process has read and not committed. For what waits in Kafka see drakkar_consumer_lag.",
		labelsPartition...)
	m.lag = b.gaugeVec("consumer_lag",
		"The end of a partition's log less its committed offset; absent while it is unknown.", labelsPartition...)
	m.oldestWindow = b.gaugeVec("oldest_open_window_age_seconds",
		"Age of a partition's oldest window that is not finished; 0 when none is open.", labelsPartition...)
}

func (m *ingestMetrics) defineCommits(b *builder) {
	m.commits = b.counterVec("offsets_committed_total",
		"Commits that Kafka accepted.", labelsPartition...)
	m.commitDuration = b.histogram("commit_duration_seconds",
		"Time of a commit that Kafka accepted.", bucketsShort)
	m.commitFailures = b.counter("commit_failures_total",
		"Commits that Kafka did not accept. They are made again.")
}

func (m *ingestMetrics) record(e events.Event) {
	switch e := e.(type) {
	case events.Consumed:
		m.partitions.with(sourceOf(e.At), func(p []string) {
			m.consumed.WithLabelValues(p...).Inc()
			m.consumedBytes.WithLabelValues(p...).Add(float64(e.Bytes))
		})
	case events.ConsumerError:
		m.consumerErrors.Inc()
	case events.OffsetsSkipped:
		m.offsetsSkipped.Add(float64(max(0, e.Next-e.Offset)))
	case events.IngestFailed:
		m.failures.Inc()
		if e.Stuck {
			m.stuck.Inc()
		}
	case events.Paused:
		m.partitions.pause(sourceOf(e.At))
	case events.Resumed:
		m.partitions.resume(sourceOf(e.At))
	case events.QueueDepth:
		m.recordDepth(e)
	case events.Committed:
		m.commitDuration.Observe(e.Took.Seconds())
		m.partitions.with(sourceOf(e.At), func(p []string) { m.commits.WithLabelValues(p...).Inc() })
	case events.CommitFailed:
		m.commitFailures.Inc()
	default:
		m.recordRebalance(e)
	}
}

func (m *ingestMetrics) recordRebalance(e events.Event) {
	switch e := e.(type) {
	case events.Assigned:
		m.rebalances.WithLabelValues("assign").Inc()
		m.partitions.assign(e.Topic, e.Partitions)
	case events.Revoked:
		m.rebalances.WithLabelValues("revoke").Inc()
		if e.Lost {
			m.lost.Add(float64(len(e.Partitions)))
		}
		m.partitions.revoke(e.Topic, e.Partitions)
	case events.AssignmentReady:
		m.assignment.Observe(e.Took.Seconds())
		if e.NewEpoch != "" {
			m.epochs.Inc()
		}
	}
}

func (m *ingestMetrics) recordDepth(e events.QueueDepth) {
	m.queued.Set(float64(e.Messages))
	m.queuedBytes.Set(float64(e.Bytes))
	m.openWindows.Set(float64(e.OpenWindows))
	for _, d := range e.PerPartition {
		m.partitions.with(source{d.Topic, d.Partition}, func(p []string) { m.setDepth(p, d) })
	}
	since := m.sinceDepth.lap()
	if e.Messages == 0 && e.OpenWindows == 0 && !m.partitions.anyPaused() {
		m.consumerIdle.Add(since.Seconds())
	}
}

func (m *ingestMetrics) setDepth(partition []string, d events.PartitionDepth) {
	m.queueSize.WithLabelValues(partition...).Set(float64(d.Messages))
	m.uncommitted.WithLabelValues(partition...).Set(float64(d.Uncommitted))
	m.oldestWindow.WithLabelValues(partition...).Set(d.OldestWindow.Seconds())
	if d.Lag < 0 {
		m.lag.DeleteLabelValues(partition...)
		return
	}
	m.lag.WithLabelValues(partition...).Set(float64(d.Lag))
}
