package ingest

import (
	"context"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/drakkar-go/drakkar/events"
)

const (
	// pollFor bounds one poll: what is posted to the poll goroutine waits so
	// long at most.
	pollFor = 20 * time.Millisecond

	// pressureEvery is how often it is looked whether reading may go on.
	pressureEvery = 10 * time.Millisecond
)

// pollLoop polls until ctx ends. It does no work of its own and never waits
// for Temporal, so the group never takes the partitions away for its silence.
func (i *Ingest) pollLoop(ctx context.Context) {
	defer close(i.polled)

	var looked time.Time
	for ctx.Err() == nil {
		i.runPosted()
		if now := time.Now(); now.Sub(looked) >= pressureEvery {
			looked = now
			i.relieve()
		}
		i.handle(i.consumer.Poll(int(pollFor.Milliseconds())))
	}
}

// onPoll runs f on the poll goroutine and returns its error.
func (i *Ingest) onPoll(ctx context.Context, f func() error) error {
	answer := make(chan error, 1)
	select {
	case i.posted <- func() { answer <- f() }:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (i *Ingest) runPosted() {
	for {
		select {
		case f := <-i.posted:
			f()
		default:
			return
		}
	}
}

func (i *Ingest) handle(ev kafka.Event) {
	switch e := ev.(type) {
	case *kafka.Message:
		i.take(e)
	case kafka.Error:
		i.clientError(e)
	}
}

// take queues a record. One of a partition that is not read any more is what
// the client had fetched before, and is dropped.
func (i *Ingest) take(m *kafka.Message) {
	p := i.partition(sourceOf(m.TopicPartition))
	if p == nil || !p.reading {
		return
	}
	if m.TopicPartition.Error != nil {
		i.events.Record(events.ConsumerError{Err: m.TopicPartition.Error})
		return
	}
	whole := message(m)
	msg := travelling(whole, i.opt.Windows.InlineMaxBytes)
	if !p.push(msg) {
		return
	}
	i.enqueued(load{messages: 1, bytes: recordSize(msg)})
	i.events.Record(events.Consumed{At: p.at(whole.Offset), Bytes: recordSize(whole)})
	p.wakeUp()
	was := i.pressure.paused
	if i.pressure.update(i.waiting()) != was {
		i.relieve()
		return
	}
	i.press(p)
}

func (i *Ingest) clientError(e kafka.Error) {
	if e.IsFatal() {
		i.fail(e)
		return
	}
	i.events.Record(events.ConsumerError{Err: e})
	if outOfRange(e) {
		i.stray()
	}
}

// outOfRange reports whether a position is not in the log.
func outOfRange(e kafka.Error) bool {
	return e.Code() == kafka.ErrAutoOffsetReset || e.Code() == kafka.ErrOffsetOutOfRange
}

// relieve pauses and resumes partitions as what waits asks for.
func (i *Ingest) relieve() {
	ps := i.owned()
	i.portion = i.pressure.portion(len(ps))
	i.pressure.update(i.waiting())
	for _, p := range ps {
		i.press(p)
	}
}

// press pauses or resumes one partition.
func (i *Ingest) press(p *partition) {
	if !p.reading {
		return
	}
	queued, portion := p.queued(), i.portion
	portion.paused = p.beyond
	p.beyond = portion.update(queued)
	want := p.pressure.update(queued) || i.pressure.paused && p.beyond
	if want == p.paused {
		return
	}
	tps := []kafka.TopicPartition{p.source().at(kafka.OffsetInvalid)}
	call, event := i.consumer.Resume, events.Event(events.Resumed{At: p.at(p.readUpTo())})
	if want {
		call, event = i.consumer.Pause, events.Paused{At: p.at(p.readUpTo())}
	}
	if err := call(tps); err != nil {
		i.events.Record(events.ConsumerError{Err: err})
		return // tried again with the next look
	}
	p.paused = want
	p.showPaused(want)
	i.events.Record(event)
}

// startReading begins to read a partition of the group's assignment, unless it
// is another ownership's by now.
//
// The partition is resumed even if nothing here paused it: the client keeps the
// flag when a partition is revoked and comes back.
func (i *Ingest) startReading(p *partition, from int64) error {
	if i.partition(p.source()) != p {
		return errRevoked
	}
	if i.consumer.AssignmentLost() {
		return errLost // the event comes; assigning would make the client forget it
	}
	if !p.fetched {
		tps := []kafka.TopicPartition{p.source().at(kafka.Offset(from))}
		if err := i.consumer.IncrementalAssign(tps); err != nil {
			return err
		}
		p.fetched = true
	}
	if err := i.consumer.Resume([]kafka.TopicPartition{p.source().at(kafka.OffsetInvalid)}); err != nil {
		return err
	}
	p.reading, p.paused = true, false
	return nil
}
