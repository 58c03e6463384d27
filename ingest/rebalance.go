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
	i.setJoined(true)
	if len(tps) == 0 {
		return
	}
	ids := make([]int32, len(tps))
	for n, tp := range tps {
		ids[n] = tp.Partition
	}
	i.events.Record(events.Assigned{Topic: i.opt.Kafka.SourceTopic, Partitions: ids})
	for _, id := range ids {
		i.own(id)
	}
	i.tell(ids, false)
}

// own begins the ownership of a partition.
func (i *Ingest) own(id int32) {
	p := newPartition(i.run, i.opt.Kafka.SourceTopic, id, i.partitionPressure())
	i.mu.Lock()
	i.parts[id] = p
	i.mu.Unlock()
	i.work.Go(func() {

		i.bringUp(p)
	})
}

// revoke lets partitions go. What is finished of them is committed first,
// unless they were lost: then somebody else may own them already.
func (i *Ingest) revoke(c *kafka.Consumer, tps []kafka.TopicPartition, lost bool) {
	ids := make([]int32, len(tps))
	var ps []*partition
	var fetched []kafka.TopicPartition
	for n, tp := range tps {
		ids[n] = tp.Partition
		p := i.partition(tp.Partition)
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
	if len(ids) > 0 {
		i.events.Record(events.Revoked{Topic: i.opt.Kafka.SourceTopic, Partitions: ids, Lost: lost})
		i.tell(ids, true)
	}
}

func (i *Ingest) disown(p *partition, cause error) {
	p.reading = false
	i.dequeued(p.forget(cause))
	i.mu.Lock()
	defer i.mu.Unlock()

	if i.parts[p.id] == p {
		delete(i.parts, p.id)
	}
}

// tell starts a workflow that tells the handler about partitions. Nothing waits
// for it, and its failure is only reported.
func (i *Ingest) tell(ids []int32, revoked bool) {
	in := workflows.RebalanceInput{Topic: i.opt.Kafka.SourceTopic, Partitions: ids, Revoked: revoked}
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

// goCheckPositions looks for partitions whose position is not in the log any
// more, because retention or a truncation passed it, and brings them up anew:
// that adopts what is open and moves the position into the log. The client
// does not say which partition it is about; when none is found, all are brought
// up, because one of them is not fetched any more.
func (i *Ingest) goCheckPositions() {
	if !i.checking.CompareAndSwap(false, true) {
		return
	}
	i.work.Go(func() {

		outside, err := i.outside(i.run)
		if err != nil {
			return // the process stops
		}
		_ = i.onPoll(i.run, func() error {
			i.checking.Store(false)
			for _, p := range outside {
				i.reassign(p)
			}
			return nil
		})
	})
}

// outside are the partitions whose position is not in the log.
func (i *Ingest) outside(ctx context.Context) ([]*partition, error) {
	var out, all []*partition
	for _, p := range i.owned() {
		if !p.running() {
			continue
		}
		all = append(all, p)
		low, high, err := i.endsForEver(ctx, p)
		if err != nil {
			return nil, err
		}
		if at := p.readUpTo(); at < low || at > high {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return all, nil
	}
	return out, nil
}

func (i *Ingest) endsForEver(ctx context.Context, p *partition) (low, high int64, err error) {
	for attempt := 1; ; attempt++ {
		if low, high, err = i.broker.Ends(ctx, p.id); err == nil {
			return low, high, nil
		}
		if err := pause(ctx, backoff(attempt)); err != nil {
			return 0, 0, err
		}
	}
}

// reassign brings a partition up anew, on the poll goroutine. The client has
// given up fetching it and refuses to seek, so it is taken from it until its
// position is known; the group does not notice.
func (i *Ingest) reassign(p *partition) {
	if i.partition(p.id) != p {
		return
	}
	i.disown(p, errReassigned)
	if err := i.consumer.IncrementalUnassign([]kafka.TopicPartition{i.topicPartition(p.id, kafka.OffsetInvalid)}); err != nil {
		i.events.Record(events.ConsumerError{Err: err})
	}
	i.own(p.id)
}
