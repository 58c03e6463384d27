package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
)

// ErrRecordGone says that a record is not in the log any more: it was compacted
// away, its retention is over, or the topic was made again.
var ErrRecordGone = errors.New("the record is not in the topic any more")

// errNotShown passes: a broker that follows, or has just begun to lead, tells a
// smaller end of the log than the one that ingest read the record from.
var errNotShown = errors.New("the broker does not show the record yet")

var errReaderClosed = errors.New("the reader is closed")

// Reader reads single records by their coordinates, for executors: values that
// are too large to travel, and messages of dead letters. It is no member of the
// group, and commits nothing. Many goroutines may use it; they read one after
// the other.
type Reader struct {
	consumer  *kafka.Consumer
	clientLog func()
	log       *zap.Logger

	turn     chan struct{} // held by who uses the consumer
	isClosed bool          // under turn
}

// readerPoll bounds one poll of a reader, and so how late it sees that its
// context has ended.
const readerPoll = 50 * time.Millisecond

// NewReader returns a reader of the source's brokers. It connects by itself,
// when it is used. Log may be nil.
func NewReader(c config.Kafka, clientID string, log *zap.Logger) (*Reader, error) {
	return newReader(c, clientID, log, kafka.ConfigMap{
		// The record was seen before; an open transaction in front of it is no
		// reason to wait.
		"isolation.level": "read_uncommitted",
		// One record is wanted, not those behind it.
		"queued.min.messages":        1,
		"queued.max.messages.kbytes": 2048,
	})
}

func newReader(c config.Kafka, clientID string, log *zap.Logger, more kafka.ConfigMap) (*Reader, error) {
	if log == nil {
		log = zap.NewNop()
	}
	if err := CheckOptions(c.Options); err != nil {
		return nil, err
	}
	m := clientConfig(c, clientID)
	for k, v := range c.Options {
		m[k] = v
	}
	m["enable.partition.eof"] = true
	m["fetch.wait.max.ms"] = 100
	maps.Copy(m, more)
	consumer, err := kafka.NewConsumer(&m)
	if err != nil {
		return nil, fmt.Errorf("making the Kafka reader (kafka): %w", err)
	}
	return &Reader{
		consumer: consumer, clientLog: forwardLog(consumer.Logs(), log), log: log,
		turn: make(chan struct{}, 1),
	}, nil
}

// Read returns the record, or an error that wraps ErrRecordGone when the log
// does not hold it any more. Any other error may pass. It returns soon after
// ctx ends.
func (r *Reader) Read(ctx context.Context, topic string, partition int32, offset int64) (drakkar.Record, error) {
	at := drakkar.Record{Topic: topic, Partition: partition, Offset: offset}
	var got *kafka.Message
	err := r.from(ctx, kafka.TopicPartition{Topic: &topic, Partition: partition, Offset: kafka.Offset(offset)},
		func(ev kafka.Event) (done bool, err error) {
			switch e := ev.(type) {
			case *kafka.Message:
				got = e
				if int64(e.TopicPartition.Offset) != offset { // a later one
					return true, ErrRecordGone
				}
				return true, nil
			case kafka.PartitionEOF:
				if int64(e.Offset) > offset { // what is there was passed over
					return true, ErrRecordGone
				}
				return true, errNotShown
			default:
				return false, nil
			}
		})
	if err != nil {
		return at, fmt.Errorf("reading %s: %w", at, err)
	}
	return message(got).Record(topic, partition), nil
}

// from reads from a position on until take is done. Errors of the client that
// pass are waited out; one about the position is ErrRecordGone when the
// position is not in the log.
func (r *Reader) from(ctx context.Context, at kafka.TopicPartition, take func(kafka.Event) (bool, error)) (err error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return fmt.Errorf("waiting for the reader: %w", context.Cause(ctx))
	}
	if r.isClosed {
		return errReaderClosed
	}
	if err := r.consumer.Assign([]kafka.TopicPartition{at}); err != nil {
		return fmt.Errorf("assigning: %w", err)
	}
	defer func() { err = errors.Join(err, r.consumer.Unassign()) }()

	var last error
	for ctx.Err() == nil {
		ev := r.consumer.Poll(int(readerPoll.Milliseconds()))
		switch e := ev.(type) {
		case *kafka.Message:
			if e.TopicPartition.Error != nil {
				last = e.TopicPartition.Error
				continue
			}
		case kafka.Error:
			if last = e; outOfRange(e) {
				return r.outOfRange(ctx, at, e)
			}
		}
		done, err := take(ev)
		switch {
		case errors.Is(err, errNotShown):
			return r.outOfRange(ctx, at, err)
		case done:
			return err
		}
	}
	return errors.Join(context.Cause(ctx), last)
}

// outOfRange decides what an answer that the offset is not in the log means. It
// does not say which partition it is about, and can be late.
func (r *Reader) outOfRange(ctx context.Context, at kafka.TopicPartition, cause error) error {
	wait := requestTimeout
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, max(time.Millisecond, time.Until(end)))
	}
	low, high, err := r.consumer.QueryWatermarkOffsets(*at.Topic, at.Partition, int(wait.Milliseconds()))
	if err != nil {
		return fmt.Errorf("%w: %w", cause, err)
	}
	if offset := int64(at.Offset); offset < low || offset >= high {
		return ErrRecordGone
	}
	return cause
}

// Close ends the reader once nobody reads any more, waiting no longer than ctx.
// It may be called twice.
func (r *Reader) Close(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}: // nobody reads: it is closed even when no time is left
	default:
		select {
		case r.turn <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("closing the Kafka reader: %w", context.Cause(ctx))
		}
	}
	defer func() { <-r.turn }()
	if r.isClosed {
		return nil
	}
	r.isClosed = true
	err := waitFor(ctx, func() {
		if err := r.consumer.Close(); err != nil {
			r.log.Warn("closing the Kafka reader", zap.Error(err))
		}
		r.clientLog()
	})
	if err != nil {
		return fmt.Errorf("closing the Kafka reader: %w", err)
	}
	return nil
}
