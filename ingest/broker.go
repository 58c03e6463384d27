package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	topic     string
	partition int32
	offset    int64
	metadata  string
}

// broker is what ingest asks Kafka about one topic, beside reading records.
type broker interface {
	// Committed is the group's committed offset.
	Committed(ctx context.Context, partition int32) (committed, error)

	// Ends are the first offset of the log and the one behind its last record.
	Ends(ctx context.Context, partition int32) (low, high int64, err error)

	// TopicID is the id of the topic: one made again under the same name has
	// another.
	TopicID(ctx context.Context) (string, error)
}

// positions is where offsets are committed.
type positions interface {
	// Commit commits and returns one error for each position, nil where it was
	// accepted. It may block for ever: the client's commit has no timeout.
	Commit(positions []position) []error
}

var (
	_ broker    = topicBroker{}
	_ positions = (*kafkaBroker)(nil)
)

// kafkaBroker asks through the consumer's connections.
type kafkaBroker struct {
	consumer *kafka.Consumer
	admin    *kafka.AdminClient

	asking sync.Mutex // held while an id is asked for

	mu        sync.Mutex
	ids       map[string]knownID // by topic
	forgotten time.Time          // what was asked before is not believed
}

// knownID is the id of a topic.
type knownID struct {
	id    string
	asked time.Time
}

// topicBroker is kafkaBroker about one topic.
type topicBroker struct {
	*kafkaBroker

	topic string
}

func newKafkaBroker(consumer *kafka.Consumer) (*kafkaBroker, error) {
	admin, err := kafka.NewAdminClientFromConsumer(consumer)
	if err != nil {
		return nil, fmt.Errorf("making the admin client: %w", err)
	}
	return &kafkaBroker{consumer: consumer, admin: admin, ids: map[string]knownID{}}, nil
}

// of is the broker of a topic.
func (b *kafkaBroker) of(topic string) topicBroker { return topicBroker{kafkaBroker: b, topic: topic} }

func (b *kafkaBroker) close() { b.admin.Close() }

// Committed implements broker.
func (b topicBroker) Committed(ctx context.Context, partition int32) (committed, error) {
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

// Commit implements positions.
func (b *kafkaBroker) Commit(positions []position) []error {
	tps := make([]kafka.TopicPartition, len(positions))
	for i, p := range positions {
		tps[i] = kafka.TopicPartition{
			Topic: &p.topic, Partition: p.partition, Offset: kafka.Offset(p.offset), Metadata: &p.metadata,
		}
	}
	answers, err := b.consumer.CommitOffsets(tps)
	bySource := map[source]error{}
	for _, a := range answers {
		bySource[sourceOf(a)] = a.Error
	}
	errs := make([]error, len(positions))
	for i, p := range positions {
		answer, answered := bySource[source{p.topic, p.partition}]
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
func (b topicBroker) Ends(ctx context.Context, partition int32) (low, high int64, err error) {
	if low, err = b.end(ctx, partition, kafka.EarliestOffsetSpec); err != nil {
		return 0, 0, fmt.Errorf("asking for the log's first offset: %w", err)
	}
	if high, err = b.end(ctx, partition, kafka.LatestOffsetSpec); err != nil {
		return 0, 0, fmt.Errorf("asking for the log's end: %w", err)
	}
	return low, high, nil
}

func (b topicBroker) end(ctx context.Context, partition int32, spec kafka.OffsetSpec) (int64, error) {
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
func (b topicBroker) TopicID(ctx context.Context) (string, error) {
	b.asking.Lock() // one request answers all who wait
	defer b.asking.Unlock()

	if id := b.known(b.topic); id != "" {
		return id, nil
	}
	asked := time.Now()
	ids, err := b.describe(ctx, []string{b.topic})
	if err != nil {
		return "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()

	b.ids[b.topic] = knownID{id: ids[b.topic], asked: asked}
	return ids[b.topic], nil
}

// known is the id of a topic that was asked for a short while ago.
func (b *kafkaBroker) known(topic string) string {
	b.mu.Lock()
	defer b.mu.Unlock()

	k := b.ids[topic]
	if time.Since(k.asked) >= topicIDFor || !k.asked.After(b.forgotten) {
		return ""
	}
	return k.id
}

// forgetIDs makes the next ones ask again: a topic may have been made again.
func (b *kafkaBroker) forgetIDs() {
	b.mu.Lock()
	defer b.mu.Unlock()

	b.forgotten = time.Now()
}

// describe asks for topics: it proves that brokers answer and that the topics
// are there. It returns the ids of those that are, by name, beside the error
// about the others.
func (b *kafkaBroker) describe(ctx context.Context, topics []string) (map[string]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, errRequestTimeout)
	defer cancel()

	res, err := b.admin.DescribeTopics(ctx, kafka.NewTopicCollectionOfTopicNames(topics))
	if err != nil {
		return nil, fmt.Errorf("describing %s: %w", strings.Join(topics, ", "), err)
	}
	answers := map[string]kafka.TopicDescription{}
	for _, d := range res.TopicDescriptions {
		answers[d.Name] = d
	}
	ids := map[string]string{}
	var errs []error
	for _, topic := range topics {
		d, answered := answers[topic]
		switch {
		case !answered:
			errs = append(errs, fmt.Errorf("topic %s: Kafka did not answer for it", topic))
		case d.Error.Code() != kafka.ErrNoError:
			errs = append(errs, fmt.Errorf("topic %s: %w", topic, d.Error))
		default:
			ids[topic] = d.TopicID.String()
		}
	}
	return ids, errors.Join(errs...)
}

// names are the topics of the cluster that the client may see.
func (b *kafkaBroker) names(ctx context.Context) ([]string, error) {
	timeout := requestTimeout
	if end, bounded := ctx.Deadline(); bounded { // the client knows no context
		timeout = max(0, min(timeout, time.Until(end)))
	}
	m, err := b.consumer.GetMetadata(nil, true, int(timeout.Milliseconds()))
	if err != nil {
		return nil, fmt.Errorf("listing topics: %w", err)
	}
	return slices.Sorted(maps.Keys(m.Topics)), nil
}

func (b topicBroker) at(partition int32) kafka.TopicPartition {
	return kafka.TopicPartition{Topic: &b.topic, Partition: partition}
}
