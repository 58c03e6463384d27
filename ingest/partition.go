package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/watermark"
	"github.com/drakkar-go/drakkar/workflows"
)

// Phase is where a partition is in its life.
type Phase string

// The phases of a partition that is assigned.
const (
	// Preparing: its chain is being walked.
	Preparing Phase = "preparing"
	// Refused: its committed offset cannot be understood.
	Refused Phase = "refused"
	// Running: it is read.
	Running Phase = "running"
)

// partition is one ownership of one partition. It is made at assignment and
// never comes back: a new assignment makes a new one.
type partition struct {
	id       int32
	topic    string
	assigned time.Time

	ctx    context.Context // ends with the ownership, or with the process
	cancel context.CancelCauseFunc

	// wake tells the dispatcher that something may have changed.
	wake chan struct{}

	// share is there once windows can be opened or adopted.
	share *share

	// Of the poll goroutine alone.
	fetched  bool // the client has it
	reading  bool
	paused   bool
	beyond   bool // its portion of the process
	pressure hysteresis

	mu        sync.Mutex
	forgotten bool
	phase     Phase
	plan      plan
	tracker   *watermark.Tracker
	chain     []*openWindow // from the oldest uncommitted on, finished ones included
	queue     queue
	next      int64 // the next offset that is read
	problems  map[string]string
	blocked   string // why no window is cut, for people

	shownPaused bool // a copy of paused, for State

	committed   int64
	committedAt time.Time

	// committedNext is where the chain ended when that was committed, and
	// offeredNext the same of the commit that is under way.
	committedNext, offeredNext int64
}

// openWindow is a window of the chain that is not committed yet.
type openWindow struct {
	link     workflows.Link
	id       string
	last     int64
	messages int
	started  time.Time // by whomever
	since    time.Time // acknowledged or adopted here
	finished bool      // under the partition's mu
	overdue  bool      // of the goroutine that follows it: the alarm was raised
}

func (w *openWindow) at() events.At {
	return events.At{Topic: w.link.Topic, Partition: w.link.Partition, Offset: w.link.Start}
}

// queue holds messages that are not in a window yet.
type queue struct {
	messages []workflows.Message
	bytes    int
	floor    int64 // messages below it are in windows
}

// push takes a message, unless a window has it already.
func (q *queue) push(m workflows.Message) bool {
	if m.Offset < q.floor {
		return false
	}
	q.messages = append(q.messages, m)
	q.bytes += recordSize(m)
	return true
}

// dropBelow forgets what lies below offset, now and in future. It returns what
// that was.
func (q *queue) dropBelow(offset int64) load {
	q.floor = max(q.floor, offset)
	var gone load
	for _, m := range q.messages {
		if m.Offset >= q.floor {
			break
		}
		gone = gone.plus(load{1, recordSize(m)})
	}
	clear(q.messages[:gone.messages]) // the array lives on; values should not
	q.messages = q.messages[gone.messages:]
	q.bytes -= gone.bytes
	return gone
}

func (q *queue) load() load { return load{messages: len(q.messages), bytes: q.bytes} }

// maxOffset is behind every offset.
const maxOffset = 1<<63 - 1

func newPartition(ctx context.Context, topic string, id int32, pressure hysteresis) *partition {
	ctx, cancel := context.WithCancelCause(ctx)
	return &partition{
		id: id, topic: topic, assigned: time.Now(), ctx: ctx, cancel: cancel, pressure: pressure,
		wake: make(chan struct{}, 1), phase: Preparing, problems: map[string]string{},
	}
}

// forget ends the ownership. Nothing is committed afterwards, and what its
// goroutines still do moves nothing. It returns what was queued.
func (p *partition) forget(cause error) load {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.forgotten = true
	p.cancel(cause)
	queued := p.queue.load()
	p.queue = queue{floor: maxOffset}
	return queued
}

func (p *partition) source() source { return source{topic: p.topic, partition: p.id} }

func (p *partition) at(offset int64) events.At {
	return events.At{Topic: p.topic, Partition: p.id, Offset: offset}
}

// wakeUp tells the dispatcher to look again.
func (p *partition) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run takes the plan. Windows that are open still are returned; they are to be
// followed.
func (p *partition) run(pl plan) (open []*openWindow) {
	p.mu.Lock()
	defer p.mu.Unlock()

	now := time.Now()
	p.phase, p.plan, p.tracker = Running, pl, pl.tracker
	p.committed, p.committedAt = pl.committed, now
	p.committedNext = pl.told
	p.next, p.queue.floor = pl.read, pl.read
	for _, a := range pl.adopted {
		w := &openWindow{
			link: a.link, id: a.link.WorkflowID(), last: a.Last, messages: a.Messages,
			started: a.Started, since: now, finished: a.Completed,
		}
		p.chain = append(p.chain, w)
		if !w.finished {
			open = append(open, w)
		}
	}
	return open
}

// push queues a message and reports whether it is new.
func (p *partition) push(m workflows.Message) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	if m.Offset < p.next {
		return false
	}
	p.next = m.Offset + 1
	return p.queue.push(m)
}

func (p *partition) queued() load {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.queue.load()
}

// opened puts a window at the end of the chain. What of the queue it covers is
// in it: an adopted window may end before or behind what would have been cut,
// and even behind everything that was read.
func (p *partition) opened(w *openWindow) (gone load, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if err := p.tracker.Open(w.link.Start, w.last); err != nil {
		return load{}, err
	}
	p.chain = append(p.chain, w)
	return p.queue.dropBelow(w.last + 1), nil
}

// finish marks a window as finished.
func (p *partition) finish(w *openWindow) {
	p.mu.Lock()
	w.finished = true
	p.tracker.Finish(w.link.Start)
	delete(p.problems, w.id)
	p.mu.Unlock()
	p.wakeUp()
}

func (p *partition) progress(w *openWindow, d Description) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.tracker.Progress(w.link.Start, finishedRanges(d))
}

// due is the position to commit, if there is one: when the watermark moved or
// the chain grew, or when it was committed longer ago than recommit.
func (p *partition) due(recommit time.Duration) (position, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.phase != Running || p.forgotten {
		return position{}, false
	}
	offset, start := p.tracker.Committable()
	next := p.tracker.Next()
	if offset <= p.committed && next <= p.committedNext && time.Since(p.committedAt) < recommit {
		return position{}, false
	}
	p.offeredNext = next
	lengths, finished := p.tracker.Lengths(start)
	m := metadata{
		Pipeline: p.plan.chain.Pipeline, TopicID: p.plan.topicID, Epoch: p.plan.chain.Epoch, Window: start, Offset: offset,
		Lengths: lengths, Finished: digits(finished),
	}
	return position{topic: p.topic, partition: p.id, offset: offset, metadata: m.String()}, true
}

// accepted notes that Kafka has accepted an offset.
func (p *partition) accepted(offset int64) {
	p.mu.Lock()
	p.committed, p.committedAt = max(p.committed, offset), time.Now()
	p.committedNext = p.offeredNext
	p.tracker.Committed(p.committed)
	n := 0
	for n < len(p.chain) && p.chain[n].finished && p.chain[n].last < p.committed {
		n++
	}
	p.chain = slices.Delete(p.chain, 0, n)
	p.mu.Unlock()
	p.wakeUp()
}

// problem notes what keeps the partition, or one window of it, from going on.
// An empty text clears it. It reports whether there was another text before.
func (p *partition) problem(key, text string) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	changed = p.problems[key] != text
	if text == "" {
		delete(p.problems, key)
		return changed
	}
	p.problems[key] = text
	return changed
}

// notReady says what keeps the partition from going on.
func (p *partition) notReady() []string {
	p.mu.Lock()
	defer p.mu.Unlock()

	var out []string
	for _, text := range p.problems {
		out = append(out, fmt.Sprintf("partition %s: %s", p.source(), text))
	}
	if p.phase == Preparing && len(out) == 0 {
		out = append(out, fmt.Sprintf("partition %s: its chain of windows is being walked", p.source()))
	}
	slices.SortFunc(out, strings.Compare)
	return out
}
