package metrics

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drakkar-go/drakkar/events"
)

// labelsPartition are the labels of everything that exists once a partition.
var labelsPartition = []string{"topic", "partition"}

// source is a partition of a topic.
type source struct {
	topic     string
	partition int32
}

func sourceOf(at events.At) source { return source{at.Topic, at.Partition} }

// labels are its values for labelsPartition.
func (s source) labels() []string { return []string{s.topic, strconv.Itoa(int(s.partition))} }

// partitions guards the series which are labelled with a partition: those of a
// revoked partition are removed and do not come back before it is assigned
// again.
//
// The lock is held while a series is moved. Otherwise the poll loop could find
// partition 3 still owned, the revocation delete its series, and the poll loop
// make one anew that nobody would remove. It is held as well while the two
// gauges are set: of a pause and a resumption at the same time the later one
// has to set the gauge last.
type partitions struct {
	assigned     prometheus.Gauge
	backpressure prometheus.Gauge
	series       []labelled

	mu      sync.RWMutex
	owned   map[source]struct{}
	revoked map[source]struct{}
	paused  map[source]struct{}
}

// labelled is any vector of metrics.
type labelled interface {
	DeleteLabelValues(values ...string) bool
}

func newPartitions(b *builder) *partitions {
	return &partitions{
		assigned: b.gauge("assigned_partitions",
			"How many partitions are assigned to this process."),
		backpressure: b.gauge("backpressure_active",
			"1 while a partition is paused because too much is queued, else 0."),
		owned:   map[source]struct{}{},
		revoked: map[source]struct{}{},
		paused:  map[source]struct{}{},
	}
}

// with calls f with the partition's labels, unless the partition was revoked.
func (p *partitions) with(id source, f func(labels []string)) {
	p.mu.RLock()
	defer p.mu.RUnlock()

	if _, gone := p.revoked[id]; !gone {
		f(id.labels())
	}
}

func (p *partitions) assign(topic string, ids []int32) {
	p.mu.Lock()
	defer p.mu.Unlock()

	for _, n := range ids {
		id := source{topic, n}
		p.owned[id] = struct{}{}
		delete(p.revoked, id)
		delete(p.paused, id)
	}
	p.publish()
}

func (p *partitions) revoke(topic string, ids []int32) {
	p.mu.Lock()
	defer p.mu.Unlock()

	for _, n := range ids {
		id := source{topic, n}
		delete(p.owned, id)
		delete(p.paused, id)
		p.revoked[id] = struct{}{}
		for _, s := range p.series {
			s.DeleteLabelValues(id.labels()...)
		}
	}
	p.publish()
}

func (p *partitions) pause(id source) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if _, gone := p.revoked[id]; !gone {
		p.paused[id] = struct{}{}
	}
	p.publish()
}

func (p *partitions) resume(id source) {
	p.mu.Lock()
	defer p.mu.Unlock()

	delete(p.paused, id)
	p.publish()
}

func (p *partitions) anyPaused() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()

	return len(p.paused) > 0
}

func (p *partitions) publish() {
	p.assigned.Set(float64(len(p.owned)))
	p.backpressure.Set(float64(min(1, len(p.paused))))
}
