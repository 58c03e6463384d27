package ingest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/drakkar-go/drakkar/events"
)

// State is a snapshot of what this process reads.
type State struct {
	Worker string

	// Source is what is read: a topic, several, or a pattern.
	Source string

	// Messages and Bytes wait to be put into a window.
	Messages, Bytes int

	// OpenWindows are followed by this process.
	OpenWindows int

	// Partitions are those that are assigned, by topic and number.
	Partitions []PartitionState
}

// PartitionState is one partition of a State.
type PartitionState struct {
	Topic     string
	Partition int32
	Phase     Phase
	Epoch     string

	// Committed is the committed offset, Watermark the one that will be.
	// Next is where the next window begins, Read the next offset that is read.
	Committed, Watermark, Next, Read int64

	// Messages and Bytes wait to be put into a window.
	Messages, Bytes int

	// Paused is true while reading waits for what is queued.
	Paused bool

	// Blocked says why no window is cut although messages wait; it is no
	// error. Problems keep the partition from going on.
	Blocked  string
	Problems []string

	// Windows are those that are not committed yet, in the order of the chain.
	Windows []WindowState
}

// WindowState is one window of a PartitionState.
type WindowState struct {
	Workflow    string
	Start, Last int64
	Messages    int
	Started     time.Time
	Finished    bool
}

// State returns a snapshot.
func (i *Ingest) State() State {
	waiting := i.waiting()
	s := State{
		Worker: i.opt.Worker, Source: i.opt.Kafka.SourceTopic,
		Messages: waiting.messages, Bytes: waiting.bytes, OpenWindows: i.slots.inUse(),
	}
	for _, p := range i.owned() {
		s.Partitions = append(s.Partitions, p.state())
	}
	return s
}

func (p *partition) state() PartitionState {
	problems := p.notReady()

	p.mu.Lock()
	defer p.mu.Unlock()

	s := PartitionState{
		Topic: p.topic, Partition: p.id, Phase: p.phase, Epoch: p.plan.chain.Epoch, Committed: p.committed, Read: p.next,
		Messages: len(p.queue.messages), Bytes: p.queue.bytes, Paused: p.shownPaused,
		Blocked: p.blocked, Problems: problems,
	}
	if p.tracker == nil {
		return s
	}
	s.Watermark, _ = p.tracker.Committable()
	s.Next = p.tracker.Next()
	for _, w := range p.chain {
		s.Windows = append(s.Windows, WindowState{
			Workflow: w.id, Start: w.link.Start, Last: w.last, Messages: w.messages,
			Started: w.started, Finished: w.finished,
		})
	}
	return s
}

// depthLoop records what waits, each second, until ctx ends.
func (i *Ingest) depthLoop(ctx context.Context) {
	tick := time.NewTicker(depthEvery)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			i.events.Record(i.depth())
		}
	}
}

func (i *Ingest) depth() events.QueueDepth {
	waiting, ps := i.waiting(), i.owned()
	d := events.QueueDepth{
		Messages: waiting.messages, Bytes: waiting.bytes, OpenWindows: i.slots.inUse(), Partitions: len(ps),
	}
	for _, p := range ps {
		if p.running() {
			d.PerPartition = append(d.PerPartition, p.depth(i.logEnd(p)))
		}
	}
	return d
}

// logEnd is the end of the log as the client last heard of it, or -1.
func (i *Ingest) logEnd(p *partition) int64 {
	_, high, err := i.consumer.GetWatermarkOffsets(p.topic, p.id)
	if err != nil || high < 0 || kafka.Offset(high) == kafka.OffsetInvalid {
		return -1
	}
	return high
}

func (p *partition) depth(end int64) events.PartitionDepth {
	p.mu.Lock()
	defer p.mu.Unlock()

	d := events.PartitionDepth{
		Topic: p.topic, Partition: p.id, Messages: len(p.queue.messages),
		Uncommitted: max(0, p.next-p.committed), Lag: -1,
	}
	if end >= 0 {
		d.Lag = max(0, end-p.committed)
	}
	for _, w := range p.chain {
		if !w.finished {
			d.OldestWindow = time.Since(w.started)
			break
		}
	}
	return d
}

// owned are the partitions that are assigned, by topic and number.
func (i *Ingest) owned() []*partition {
	i.mu.Lock()
	defer i.mu.Unlock()

	ps := make([]*partition, 0, len(i.parts))
	for _, p := range i.parts {
		ps = append(ps, p)
	}
	slices.SortFunc(ps, func(a, b *partition) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.id, b.id))
	})
	return ps
}

// partition is the current ownership of a partition, or nil.
func (i *Ingest) partition(s source) *partition {
	i.mu.Lock()
	defer i.mu.Unlock()

	return i.parts[s]
}

// waiting is what is queued in the process.
func (i *Ingest) waiting() load {
	return load{messages: int(i.queuedMessages.Load()), bytes: int(i.queuedBytes.Load())}
}

func (i *Ingest) enqueued(l load) {
	i.queuedMessages.Add(int64(l.messages))
	i.queuedBytes.Add(int64(l.bytes))
}

func (i *Ingest) dequeued(l load) {
	i.queuedMessages.Add(-int64(l.messages))
	i.queuedBytes.Add(-int64(l.bytes))
}

func (i *Ingest) partitionPressure() hysteresis {
	c := i.opt.Ingest
	return hysteresis{
		high: load{c.PartitionHighMessages, c.PartitionHighBytes},
		low:  load{c.PartitionLowMessages, c.PartitionLowBytes},
	}
}

func (p *partition) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.phase == Running
}

func (p *partition) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.phase = Refused
}

func (p *partition) readUpTo() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.next
}

func (p *partition) showPaused(paused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.shownPaused = paused
}
