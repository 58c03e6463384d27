package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

const (
	// requestTimeout bounds one request to Kafka, and with it how long Stop
	// waits for one.
	requestTimeout = 5 * time.Second

	// topicIDFor is how long a topic's id is believed: partitions of one
	// assignment ask once.
	topicIDFor = 5 * time.Second
)

var errRequestTimeout = errors.New("no answer from Kafka in time")

// noOffset is the committed offset of a group that has committed none.
const noOffset = -1

// committed is what the group has committed for a partition.
type committed struct {
	offset   int64 // noOffset when there is none
	metadata string
}

// position is what is to be committed for a partition.
type position struct {
	partition int32
	offset    int64
	metadata  string
}

// broker is what ingest asks Kafka, beside reading records.
type broker interface {
	// Committed is the group's committed offset.
	Committed(ctx context.Context, partition int32) (committed, error)

	// Commit commits and returns one error for each position, nil where it was
	// accepted. It may block for ever, whatever ctx says: the client's commit
	// has no timeout.
	Commit(positions []position) []error

	// Ends are the first offset of the log and the one behind its last record.
	Ends(ctx context.Context, partition int32) (low, high int64, err error)

	// TopicID is the id of the topic: one made again under the same name has
	// another.
	TopicID(ctx context.Context) (string, error)
}

var _ broker = (*kafkaBroker)(nil)

// kafkaBroker asks through the consumer's connections.
type kafkaBroker struct {
	topic    string
	consumer *kafka.Consumer
	admin    *kafka.AdminClient

	mu      sync.Mutex
	topicID string
	known   time.Time
}

func newKafkaBroker(topic string, consumer *kafka.Consumer) (*kafkaBroker, error) {
	admin, err := kafka.NewAdminClientFromConsumer(consumer)
	if err != nil {
		return nil, fmt.Errorf("making the admin client: %w", err)
	}
	return &kafkaBroker{topic: topic, consumer: consumer, admin: admin}, nil
}

func (b *kafkaBroker) close() { b.admin.Close() }

// Committed implements broker.
func (b *kafkaBroker) Committed(ctx context.Context, partition int32) (committed, error) {
	if ctx.Err() != nil {
		return committed{}, context.Cause(ctx)
	}
	tps, err := b.consumer.Committed([]kafka.TopicPartition{b.at(partition)}, int(requestTimeout.Milliseconds()))
	if err == nil && len(tps) != 1 {
		err = fmt.Errorf("an answer from Kafka for %d partitions instead of one", len(tps))
	}
	if err == nil {
		err = tps[0].Error
	}
	if err != nil {
		return committed{}, fmt.Errorf("reading the committed offset: %w", err)
	}
	if tps[0].Offset < 0 {
		return committed{offset: noOffset}, nil
	}
	c := committed{offset: int64(tps[0].Offset)}
	if tps[0].Metadata != nil {
		c.metadata = *tps[0].Metadata
	}
	return c, nil
}

// Commit implements broker.
func (b *kafkaBroker) Commit(positions []position) []error {
	tps := make([]kafka.TopicPartition, len(positions))
	for i, p := range positions {
		tps[i] = b.at(p.partition)
		tps[i].Offset, tps[i].Metadata = kafka.Offset(p.offset), &p.metadata
	}
	answers, err := b.consumer.CommitOffsets(tps)
	byPartition := map[int32]error{}
	for _, a := range answers {
		byPartition[a.Partition] = a.Error
	}
	errs := make([]error, len(positions))
	for i, p := range positions {
		answer, answered := byPartition[p.partition]
		switch {
		case err != nil:
			errs[i] = fmt.Errorf("committing: %w", err)
		case !answered:
			errs[i] = errors.New("committing: Kafka did not answer for the partition")
		case answer != nil:
			errs[i] = fmt.Errorf("committing: %w", answer)
		}
	}
	return errs
}

// Ends implements broker. It asks for the end of what is written, open
// transactions included, because a window may never end behind it.
func (b *kafkaBroker) Ends(ctx context.Context, partition int32) (low, high int64, err error) {
	if low, err = b.end(ctx, partition, kafka.EarliestOffsetSpec); err != nil {
		return 0, 0, fmt.Errorf("asking for the log's first offset: %w", err)
	}
	if high, err = b.end(ctx, partition, kafka.LatestOffsetSpec); err != nil {
		return 0, 0, fmt.Errorf("asking for the log's end: %w", err)
	}
	return low, high, nil
}

func (b *kafkaBroker) end(ctx context.Context, partition int32, spec kafka.OffsetSpec) (int64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, errRequestTimeout)
	defer cancel()

	res, err := b.admin.ListOffsets(ctx, map[kafka.TopicPartition]kafka.OffsetSpec{b.at(partition): spec},
		kafka.SetAdminIsolationLevel(kafka.IsolationLevelReadUncommitted))
	if err != nil {
		return 0, err
	}
	for _, info := range res.ResultInfos {
		if info.Error.Code() != kafka.ErrNoError {
			return 0, info.Error
		}
		return int64(info.Offset), nil
	}
	return 0, errors.New("no answer from Kafka for the partition")
}

// TopicID implements broker.
func (b *kafkaBroker) TopicID(ctx context.Context) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.topicID != "" && time.Since(b.known) < topicIDFor {
		return b.topicID, nil
	}
	id, err := b.describe(ctx)
	if err != nil {
		return "", err
	}
	b.topicID, b.known = id, time.Now()
	return id, nil
}

// describe asks for the topic: it proves that brokers answer and that the topic
// is there.
func (b *kafkaBroker) describe(ctx context.Context) (id string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, errRequestTimeout)
	defer cancel()

	res, err := b.admin.DescribeTopics(ctx, kafka.NewTopicCollectionOfTopicNames([]string{b.topic}))
	if err != nil {
		return "", fmt.Errorf("describing topic %s: %w", b.topic, err)
	}
	if len(res.TopicDescriptions) != 1 {
		return "", fmt.Errorf("describing topic %s: Kafka did not answer for it", b.topic)
	}
	d := res.TopicDescriptions[0]
	if d.Error.Code() != kafka.ErrNoError {
		return "", fmt.Errorf("describing topic %s: %w", b.topic, d.Error)
	}
	return d.TopicID.String(), nil
}

func (b *kafkaBroker) at(partition int32) kafka.TopicPartition {
	return kafka.TopicPartition{Topic: &b.topic, Partition: partition}
}
