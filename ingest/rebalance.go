package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

// tellBound is how long telling the handler about a rebalance may take.
const tellBound = 10 * time.Second

var (
	errRevoked     = errors.New("the partition was revoked")
	errLost        = errors.New("the partition was lost")
	errReassigned  = errors.New("the partition's position is not in the log any more")
	errTellTimeout = errors.New("Temporal did not answer in time")
)

// rebalanced is called inside of Poll, and of Close. It always assigns and
// unassigns itself: the library would do so with an error that nobody can
// handle.
func (i *Ingest) rebalanced(c *kafka.Consumer, ev kafka.Event) error {
	switch e := ev.(type) {
	case kafka.AssignedPartitions:
		i.assign(c, e.Partitions)
	case kafka.RevokedPartitions:
		i.revoke(c, e.Partitions, c.AssignmentLost())
	}
	return nil
}

// assign takes partitions. The client fetches none of them before it is known
// where they go on: it is given each with an absolute offset when its reading
// begins, never with a logical one. The client looks those up behind the back
// of a later seek, which it may undo.
func (i *Ingest) assign(c *kafka.Consumer, tps []kafka.TopicPartition) {
	if err := c.IncrementalAssign(nil); err != nil {
		// The group counts on us to read them and would not hear of it.
		i.fail(fmt.Errorf("taking assigned partitions: %w", err))
		return
	}
	if len(tps) == 0 {
		i.setJoined(true)
		return
	}
	i.broker.forgetIDs()
	sources := make([]source, len(tps))
	for n, tp := range tps {
		sources[n] = sourceOf(tp)
	}
	eachTopic(sources, func(topic string, ids []int32) {
		i.events.Record(events.Assigned{Topic: topic, Partitions: ids})
	})
	for _, s := range sources {
		i.own(s)
	}
	i.setJoined(true) // not before they are counted among what has to be ready
	eachTopic(sources, func(topic string, ids []int32) { i.tell(topic, ids, false) })
}

// own begins the ownership of a partition.
func (i *Ingest) own(s source) {
	p := newPartition(i.run, s.topic, s.partition, i.partitionPressure())
	i.mu.Lock()
	i.parts[s] = p
	i.mu.Unlock()
	i.work.Go(func() {
		i.bringUp(p)
	})
}

// revoke lets partitions go. What is finished of them is committed first,
// unless they were lost: then somebody else may own them already.
func (i *Ingest) revoke(c *kafka.Consumer, tps []kafka.TopicPartition, lost bool) {
	sources := make([]source, len(tps))
	var ps []*partition
	var fetched []kafka.TopicPartition
	for n, tp := range tps {
		sources[n] = sourceOf(tp)
		p := i.partition(sources[n])
		if p == nil {
			continue
		}
		ps = append(ps, p)
		if p.fetched {
			fetched = append(fetched, tp)
		}
	}
	cause := errLost
	if !lost {
		cause = errRevoked
		i.finalCommit(ps)
	}
	for _, p := range ps {
		i.disown(p, cause)
	}
	if err := c.IncrementalUnassign(fetched); err != nil {
		i.events.Record(events.ConsumerError{Err: err})
	}
	if lost {
		i.setJoined(false)
	}
	eachTopic(sources, func(topic string, ids []int32) {
		i.events.Record(events.Revoked{Topic: topic, Partitions: ids, Lost: lost})
		i.tell(topic, ids, true)
	})
}

func (i *Ingest) disown(p *partition, cause error) {
	p.reading = false
	i.dequeued(p.forget(cause))
	i.mu.Lock()
	defer i.mu.Unlock()

	if i.parts[p.source()] == p {
		delete(i.parts, p.source())
	}
}

// tell starts a workflow that tells the handler about partitions. Nothing waits
// for it, and its failure is only reported.
func (i *Ingest) tell(topic string, ids []int32, revoked bool) {
	in := workflows.RebalanceInput{Topic: topic, Partitions: ids, Revoked: revoked}
	i.tells.Go(func() {
		ctx, cancel := context.WithTimeoutCause(context.Background(), tellBound, errTellTimeout)
		defer cancel()

		if err := i.opt.Temporal.StartRebalance(ctx, in); err != nil {
			i.events.Record(events.IngestFailed{
				At: events.At{Topic: in.Topic, Partition: -1}, Doing: "telling the handler about a rebalance", Err: err,
			})
		}
	})
}

// reassign brings a partition up anew, on the poll goroutine. The client has
// given up fetching it and refuses to seek, so it is taken from it until its
// position is known; the group does not notice.
func (i *Ingest) reassign(p *partition) {
	if i.partition(p.source()) != p {
		return
	}
	if i.consumer.AssignmentLost() {
		return // the event comes; unassigning would make the client forget it
	}
	i.disown(p, errReassigned)
	i.broker.forgetIDs()
	if p.fetched {
		if err := i.consumer.IncrementalUnassign([]kafka.TopicPartition{p.source().at(kafka.OffsetInvalid)}); err != nil {
			i.events.Record(events.ConsumerError{Err: err})
		}
	}
	i.own(p.source())
}
