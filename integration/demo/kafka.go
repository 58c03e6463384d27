package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/twmb/franz-go/pkg/kfake"
)

// topics are the names of one run: on a broker that is not ours, every run has
// its own.
type topics struct {
	source, results, letters, group string
	partitions                      int
}

// embedded starts a broker inside this process.
func embedded(port int) (addr string, stop func(), err error) {
	opts := []kfake.Opt{kfake.NumBrokers(1)}
	if port != 0 {
		opts = append(opts, kfake.Ports(port))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		return "", nil, fmt.Errorf("starting the embedded broker: %w", err)
	}
	return c.ListenAddrs()[0], c.Close, nil
}

// broker is the demo's own view of Kafka: it sends requests and reads back what
// became of them.
type broker struct {
	t        topics
	producer *kafka.Producer
	consumer *kafka.Consumer
	admin    *kafka.AdminClient
	ledger   *ledger
}

// openBroker makes the topics and begins to read the two that come back.
func openBroker(ctx context.Context, addr string, t topics, l *ledger) (*broker, error) {
	b := &broker{t: t, ledger: l}
	var err error
	if b.producer, err = kafka.NewProducer(&kafka.ConfigMap{
		"bootstrap.servers": addr, "enable.idempotence": true, "linger.ms": 1, "enable.metrics.push": false,
	}); err != nil {
		return nil, fmt.Errorf("making the demo's producer: %w", err)
	}
	if b.admin, err = kafka.NewAdminClientFromProducer(b.producer); err != nil {
		return nil, errors.Join(fmt.Errorf("making the demo's admin client: %w", err), b.close())
	}
	if err := b.create(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	if b.consumer, err = kafka.NewConsumer(&kafka.ConfigMap{
		"bootstrap.servers": addr, "group.id": t.group + "-reader", "enable.auto.commit": false,
		"fetch.wait.max.ms": 20, "enable.metrics.push": false,
	}); err != nil {
		return nil, errors.Join(fmt.Errorf("making the demo's consumer: %w", err), b.close())
	}
	parts := []kafka.TopicPartition{{Topic: &b.t.letters, Offset: kafka.OffsetBeginning}}
	for i := range t.partitions {
		parts = append(parts, kafka.TopicPartition{Topic: &b.t.results, Partition: int32(i), Offset: kafka.OffsetBeginning})
	}
	if err := b.consumer.Assign(parts); err != nil {
		return nil, errors.Join(fmt.Errorf("reading %s: %w", t.results, err), b.close())
	}
	return b, nil
}

// create makes the topics.
func (b *broker) create(ctx context.Context) error {
	specs := []kafka.TopicSpecification{
		{Topic: b.t.source, NumPartitions: b.t.partitions, ReplicationFactor: 1},
		{Topic: b.t.results, NumPartitions: b.t.partitions, ReplicationFactor: 1},
		{Topic: b.t.letters, NumPartitions: 1, ReplicationFactor: 1},
	}
	results, err := b.admin.CreateTopics(ctx, specs, kafka.SetAdminOperationTimeout(10*time.Second))
	if err != nil {
		return fmt.Errorf("making topics: %w", err)
	}
	for _, r := range results {
		if r.Error.Code() != kafka.ErrNoError {
			return fmt.Errorf("making topic %s: %w", r.Topic, r.Error)
		}
	}
	return nil
}

// send sends a request and waits until the broker has it.
func (b *broker) send(key string, value []byte) error {
	report := make(chan kafka.Event, 1)
	m := &kafka.Message{
		TopicPartition: kafka.TopicPartition{Topic: &b.t.source, Partition: kafka.PartitionAny},
		Key:            []byte(key), Value: value,
	}
	if err := b.producer.Produce(m, report); err != nil {
		return fmt.Errorf("sending a request: %w", err)
	}
	switch e := (<-report).(type) {
	case *kafka.Message:
		if e.TopicPartition.Error != nil {
			return fmt.Errorf("sending a request: %w", e.TopicPartition.Error)
		}
		return nil
	default:
		return fmt.Errorf("sending a request: %v", e)
	}
}

// read reads answers and dead letters until ctx ends.
func (b *broker) read(ctx context.Context) error {
	for ctx.Err() == nil {
		switch e := b.consumer.Poll(50).(type) {
		case *kafka.Message:
			if *e.TopicPartition.Topic == b.t.letters {
				b.ledger.buried()
				continue
			}
			if err := b.ledger.came(e.Value); err != nil {
				return err
			}
		case kafka.Error:
			if e.IsFatal() {
				return fmt.Errorf("reading answers: %w", e)
			}
		}
	}
	return nil
}

// committed is the sum of the offsets that the pipeline's group has committed.
func (b *broker) committed(ctx context.Context) (int64, error) {
	req := kafka.ConsumerGroupTopicPartitions{Group: b.t.group}
	for i := range b.t.partitions {
		req.Partitions = append(req.Partitions, kafka.TopicPartition{Topic: &b.t.source, Partition: int32(i)})
	}
	res, err := b.admin.ListConsumerGroupOffsets(ctx, []kafka.ConsumerGroupTopicPartitions{req},
		kafka.SetAdminRequestTimeout(5*time.Second))
	if err != nil {
		return 0, fmt.Errorf("reading the group's offsets: %w", err)
	}
	var sum int64
	for _, g := range res.ConsumerGroupsTopicPartitions {
		for _, p := range g.Partitions {
			if p.Error != nil {
				return 0, fmt.Errorf("reading the group's offset of partition %d: %w", p.Partition, p.Error)
			}
			sum += max(0, int64(p.Offset))
		}
	}
	return sum, nil
}

// close lets go of the broker.
func (b *broker) close() error {
	var err error
	if b.consumer != nil {
		err = b.consumer.Close()
	}
	if b.admin != nil {
		b.admin.Close()
	}
	if b.producer != nil {
		b.producer.Close()
	}
	return err
}
