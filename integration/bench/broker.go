package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

const (
	adminTimeout = time.Minute
	pollTimeout  = 15 * time.Second

	// committedEvery is how often committed offsets are asked for at most.
	committedEvery = 25 * time.Millisecond
)

// broker is the bench's own view of Kafka.
type broker struct {
	addr     string
	producer *kafka.Producer
	admin    *kafka.AdminClient
}

func openBroker(addr string) (*broker, error) {
	producer, err := kafka.NewProducer(&kafka.ConfigMap{
		"bootstrap.servers": addr, "enable.idempotence": true, "linger.ms": 0, "enable.metrics.push": false,
		"log_level": 3, // a broker that has just started is not worth a warning
	})
	if err != nil {
		return nil, fmt.Errorf("making a producer: %w", err)
	}
	admin, err := kafka.NewAdminClientFromProducer(producer)
	if err != nil {
		producer.Close()
		return nil, fmt.Errorf("making an admin client: %w", err)
	}
	return &broker{addr: addr, producer: producer, admin: admin}, nil
}

func (b *broker) close() {
	b.admin.Close()
	b.producer.Close()
}

// create makes topics and waits until each of their partitions answers.
func (b *broker) create(ctx context.Context, partitions map[string]int) error {
	specs := make([]kafka.TopicSpecification, 0, len(partitions))
	ends := map[kafka.TopicPartition]kafka.OffsetSpec{}
	for name, n := range partitions {
		specs = append(specs, kafka.TopicSpecification{Topic: name, NumPartitions: n, ReplicationFactor: 1})
		for p := range n {
			ends[kafka.TopicPartition{Topic: &name, Partition: int32(p)}] = kafka.LatestOffsetSpec
		}
	}
	made, err := b.admin.CreateTopics(ctx, specs, kafka.SetAdminOperationTimeout(adminTimeout))
	if err != nil {
		return fmt.Errorf("making topics: %w", err)
	}
	for _, m := range made {
		if m.Error.Code() != kafka.ErrNoError {
			return fmt.Errorf("making topic %s: %w", m.Topic, m.Error)
		}
	}
	return eventually(ctx, adminTimeout, func() error { return b.answer(ctx, ends) })
}

// answer asks the partitions of new topics for their ends. The metadata names
// their leaders earlier than these know of it.
func (b *broker) answer(ctx context.Context, ends map[kafka.TopicPartition]kafka.OffsetSpec) error {
	for tp := range ends {
		if _, err := b.admin.GetMetadata(tp.Topic, false, int(pollTimeout.Milliseconds())); err != nil {
			return fmt.Errorf("waiting for topic %s: %w", *tp.Topic, err)
		}
	}
	res, err := b.admin.ListOffsets(ctx, ends)
	if err != nil {
		return fmt.Errorf("waiting for new topics: %w", err)
	}
	for tp, r := range res.ResultInfos {
		if r.Error.Code() != kafka.ErrNoError {
			return fmt.Errorf("waiting for topic %s: %w", *tp.Topic, r.Error)
		}
	}
	return nil
}

// remove removes topics: their data would fill the disk.
func (b *broker) remove(ctx context.Context, topics ...string) error {
	gone, err := b.admin.DeleteTopics(ctx, topics, kafka.SetAdminOperationTimeout(adminTimeout))
	if err != nil {
		return fmt.Errorf("removing topics: %w", err)
	}
	for _, g := range gone {
		if g.Error.Code() != kafka.ErrNoError {
			return fmt.Errorf("removing topic %s: %w", g.Topic, g.Error)
		}
	}
	return nil
}

// send sends messages from to to-1 of a topic, each to the next partition, and
// waits until the broker has them all.
func (b *broker) send(ctx context.Context, topic string, partitions, from, to int, value func(n int) []byte) error {
	reports, arrived := collect(to - from)
	for n := from; n < to; n++ {
		err := b.produce(ctx, &kafka.Message{
			TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: int32(n % partitions)}, Value: value(n),
		}, reports)
		if err != nil {
			return fmt.Errorf("sending to %s: %w", topic, err)
		}
	}
	if err := await(ctx, arrived); err != nil {
		return fmt.Errorf("sending to %s: %w", topic, err)
	}
	return nil
}

// produce is Produce, which waits while the producer's queue is full.
func (b *broker) produce(ctx context.Context, m *kafka.Message, reports chan kafka.Event) error {
	for {
		err := b.producer.Produce(m, reports)
		if kerr, ok := errors.AsType[kafka.Error](err); !ok || kerr.Code() != kafka.ErrQueueFull {
			return err
		}
		if !pause(ctx, time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

// collect reads the reports of count messages and yields whether one was not
// delivered. It goes on when nobody waits for it any more: a channel of reports
// that is not read holds up the whole producer.
func collect(count int) (reports chan kafka.Event, arrived <-chan error) {
	reports = make(chan kafka.Event, 1024)
	result := make(chan error, 1)
	go func() {
		var failed error
		for range count {
			if m, ok := (<-reports).(*kafka.Message); ok && m.TopicPartition.Error != nil {
				failed = m.TopicPartition.Error
			}
		}
		result <- failed
	}()
	return reports, result
}

// await waits for a result, unless ctx ends first.
func await(ctx context.Context, result <-chan error) error {
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// offsets returns a client that asks for the offsets of a group and is no member
// of it.
func (b *broker) offsets(group string) (*kafka.Consumer, error) {
	// Not the admin client's ListConsumerGroupOffsets: this program crashed now
	// and then while it asked a broker that was still loading its groups.
	c, err := kafka.NewConsumer(&kafka.ConfigMap{
		"bootstrap.servers": b.addr, "group.id": group, "enable.auto.commit": false, "enable.metrics.push": false, "log_level": 3,
	})
	if err != nil {
		return nil, fmt.Errorf("making a client for the offsets of group %s: %w", group, err)
	}
	return c, nil
}

// committed is the sum of a group's offsets.
func committed(c *kafka.Consumer, topic string, partitions int) (sum int, err error) {
	asked := make([]kafka.TopicPartition, partitions)
	for p := range asked {
		asked[p] = kafka.TopicPartition{Topic: &topic, Partition: int32(p)}
	}
	got, err := c.Committed(asked, int(pollTimeout.Milliseconds()))
	if err != nil {
		return 0, fmt.Errorf("reading the committed offsets of %s: %w", topic, err)
	}
	for _, p := range got {
		if p.Error != nil {
			return 0, fmt.Errorf("reading the committed offset of partition %d of %s: %w", p.Partition, topic, p.Error)
		}
		sum += max(0, int(p.Offset))
	}
	return sum, nil
}

// reader reads a topic whose values are decimal numbers.
type reader struct {
	topic    string
	consumer *kafka.Consumer
}

// read returns a reader of a topic from its beginning.
func (b *broker) read(topic string, partitions int) (*reader, error) {
	c, err := b.consumer(topic+"-reader", topic, partitions, nil)
	if err != nil {
		return nil, err
	}
	return &reader{topic: topic, consumer: c}, nil
}

// consumer returns a client that has all partitions of a topic.
func (b *broker) consumer(group, topic string, partitions int, more kafka.ConfigMap) (*kafka.Consumer, error) {
	settings := kafka.ConfigMap{
		"bootstrap.servers": b.addr, "group.id": group, "enable.auto.commit": false, "enable.metrics.push": false,
		// With its default of 1 s an idle reader that has fetched too much
		// waits for that long before it fetches again.
		"fetch.queue.backoff.ms": 5,
	}
	maps.Copy(settings, more)
	c, err := kafka.NewConsumer(&settings)
	if err != nil {
		return nil, fmt.Errorf("making a consumer: %w", err)
	}
	parts := make([]kafka.TopicPartition, partitions)
	for p := range parts {
		parts[p] = kafka.TopicPartition{Topic: &topic, Partition: int32(p), Offset: kafka.OffsetBeginning}
	}
	if err := c.Assign(parts); err != nil {
		return nil, errors.Join(fmt.Errorf("reading topic %s: %w", topic, err), c.Close())
	}
	return c, nil
}

// next is the next number, and when it was read.
func (r *reader) next(ctx context.Context) (n int, at time.Time, err error) {
	silent := time.Now().Add(pollTimeout)
	for ctx.Err() == nil && time.Now().Before(silent) {
		switch e := r.consumer.Poll(100).(type) {
		case *kafka.Message:
			at = time.Now()
			n, err := strconv.Atoi(string(e.Value))
			if err != nil {
				return 0, at, fmt.Errorf("reading topic %s: %w", r.topic, err)
			}
			return n, at, nil
		case kafka.Error:
			if e.IsFatal() {
				return 0, at, fmt.Errorf("reading topic %s: %w", r.topic, e)
			}
		}
	}
	if ctx.Err() != nil {
		return 0, at, context.Cause(ctx)
	}
	return 0, at, fmt.Errorf("reading topic %s: nothing came for %s", r.topic, pollTimeout)
}

// all reads the numbers from to to-1, which must come once each, in any order.
func (r *reader) all(ctx context.Context, from, to int) error {
	seen := make([]bool, to-from)
	for read := range to - from {
		n, _, err := r.next(ctx)
		switch {
		case err != nil:
			missing := slices.Index(seen, false) + from
			return fmt.Errorf("%w; %d of %d records came, that of %d did not", err, read, to-from, missing)
		case n < from || n >= to || seen[n-from]:
			return fmt.Errorf("reading topic %s: %d came twice, or was not asked for", r.topic, n)
		}
		seen[n-from] = true
	}
	return nil
}

func (r *reader) close() error { return r.consumer.Close() }

// eventually calls f until it returns no error, and returns the last one when
// that takes too long.
func eventually(ctx context.Context, within time.Duration, f func() error) error {
	deadline := time.Now().Add(within)
	for {
		err := f()
		if err == nil || time.Now().After(deadline) || !pause(ctx, committedEvery) {
			return err
		}
	}
}

// pause waits, and reports false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
