package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

const (
	adminTimeout = 30 * time.Second
	pollTimeout  = 15 * time.Second
)

// broker is the harness's own view of Kafka.
type broker struct {
	addr     string
	producer *kafka.Producer
	admin    *kafka.AdminClient
}

// quiet keeps librdkafka from telling on stderr that a broker is away, which is
// what this program is for.
func quiet(addr string, more kafka.ConfigMap) *kafka.ConfigMap {
	m := kafka.ConfigMap{"bootstrap.servers": addr, "log_level": 0, "allow.auto.create.topics": false}
	maps.Copy(m, more)
	return &m
}

func openBroker(addr string) (*broker, error) {
	producer, err := kafka.NewProducer(&kafka.ConfigMap{
		"bootstrap.servers": addr, "log_level": 0, "enable.idempotence": true, "linger.ms": 5, "message.timeout.ms": 0,
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

// create makes topics and waits until each of their partitions has a leader.
func (b *broker) create(ctx context.Context, partitions map[string]int) error {
	var specs []kafka.TopicSpecification
	for name, n := range partitions {
		specs = append(specs, kafka.TopicSpecification{Topic: name, NumPartitions: n, ReplicationFactor: 1})
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
	for name, n := range partitions {
		if err := b.awaitLeaders(ctx, name, n); err != nil {
			return err
		}
	}
	return nil
}

func (b *broker) awaitLeaders(ctx context.Context, topic string, partitions int) error {
	err := eventually(ctx, adminTimeout, func() error {
		meta, err := b.admin.GetMetadata(&topic, false, int(pollTimeout.Milliseconds()))
		if err != nil {
			return err
		}
		ps := meta.Topics[topic].Partitions
		if len(ps) != partitions {
			return fmt.Errorf("it shows %d of %d partitions", len(ps), partitions)
		}
		for _, p := range ps {
			if p.Leader < 0 || p.Error.Code() != kafka.ErrNoError {
				return fmt.Errorf("partition %d has no leader", p.ID)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the leaders of %s: %w", topic, err)
	}
	return nil
}

// set changes a setting of a topic.
func (b *broker) set(ctx context.Context, topic, name, value string) error {
	res, err := b.admin.IncrementalAlterConfigs(ctx, []kafka.ConfigResource{{
		Type: kafka.ResourceTopic, Name: topic,
		Config: []kafka.ConfigEntry{{Name: name, Value: value, IncrementalOperation: kafka.AlterConfigOpTypeSet}},
	}}, kafka.SetAdminRequestTimeout(adminTimeout))
	if err == nil && res[0].Error.Code() != kafka.ErrNoError {
		err = res[0].Error
	}
	if err != nil {
		return fmt.Errorf("setting %s of topic %s: %w", name, topic, err)
	}
	return nil
}

// everybody is what a permission says of a topic and all clients.
func everybody(topic string, op kafka.ACLOperation, permission kafka.ACLPermissionType) kafka.ACLBinding {
	return kafka.ACLBinding{
		Type: kafka.ResourceTopic, Name: topic, ResourcePatternType: kafka.ResourcePatternTypeLiteral,
		Principal: "User:*", Host: "*", Operation: op, PermissionType: permission,
	}
}

// refuse lets nobody write to a topic. A topic with a permission is closed to
// all that no permission names.
func (b *broker) refuse(ctx context.Context, topic string) error {
	res, err := b.admin.CreateACLs(ctx, kafka.ACLBindings{
		everybody(topic, kafka.ACLOperationAll, kafka.ACLPermissionTypeAllow),
		everybody(topic, kafka.ACLOperationWrite, kafka.ACLPermissionTypeDeny),
	}, kafka.SetAdminRequestTimeout(adminTimeout))
	for _, r := range res {
		if err == nil && r.Error.Code() != kafka.ErrNoError {
			err = r.Error
		}
	}
	if err != nil {
		return fmt.Errorf("forbidding to write to topic %s: %w", topic, err)
	}
	return nil
}

// take lets everybody write again.
func (b *broker) take(ctx context.Context, topic string) error {
	all := everybody(topic, kafka.ACLOperationAny, kafka.ACLPermissionTypeAny)
	res, err := b.admin.DeleteACLs(ctx, kafka.ACLBindingFilters{all}, kafka.SetAdminRequestTimeout(adminTimeout))
	if err == nil && res[0].Error.Code() != kafka.ErrNoError {
		err = res[0].Error
	}
	if err != nil {
		return fmt.Errorf("allowing to write to topic %s: %w", topic, err)
	}
	return nil
}

// committed is the sum of a group's offsets.
func (b *broker) committed(ctx context.Context, group, topic string, partitions int) (sum int64, err error) {
	req := kafka.ConsumerGroupTopicPartitions{Group: group}
	for p := range partitions {
		req.Partitions = append(req.Partitions, kafka.TopicPartition{Topic: &topic, Partition: int32(p)})
	}
	res, err := b.admin.ListConsumerGroupOffsets(ctx, []kafka.ConsumerGroupTopicPartitions{req}, kafka.SetAdminRequestTimeout(pollTimeout))
	if err != nil {
		return 0, fmt.Errorf("reading the offsets of group %s: %w", group, err)
	}
	for _, p := range res.ConsumerGroupsTopicPartitions[0].Partitions {
		if p.Error != nil {
			return 0, fmt.Errorf("reading the offset of group %s for partition %d: %w", group, p.Partition, p.Error)
		}
		sum += max(0, int64(p.Offset))
	}
	return sum, nil
}

// read calls each for every record of a topic, in the order of each partition.
func (b *broker) read(ctx context.Context, topic string, each func(*kafka.Message) error) error {
	c, err := kafka.NewConsumer(quiet(b.addr, kafka.ConfigMap{
		"group.id": "chaos-reader", "enable.auto.commit": false, "enable.partition.eof": true,
	}))
	if err != nil {
		return fmt.Errorf("making a consumer: %w", err)
	}
	defer func() { _ = c.Close() }()
	left, err := assignAll(c, topic)
	if err != nil {
		return fmt.Errorf("reading topic %s: %w", topic, err)
	}
	for left > 0 && ctx.Err() == nil {
		switch e := c.Poll(int(pollTimeout.Milliseconds())).(type) {
		case *kafka.Message:
			if err := each(e); err != nil {
				return fmt.Errorf("reading topic %s: %w", topic, err)
			}
		case kafka.PartitionEOF:
			left--
		case nil:
			return fmt.Errorf("reading topic %s: nothing came for %s", topic, pollTimeout)
		}
	}
	return ctx.Err()
}

func assignAll(c *kafka.Consumer, topic string) (partitions int, err error) {
	meta, err := c.GetMetadata(&topic, false, int(pollTimeout.Milliseconds()))
	if err != nil {
		return 0, err
	}
	var parts []kafka.TopicPartition
	for _, p := range meta.Topics[topic].Partitions {
		parts = append(parts, kafka.TopicPartition{Topic: &topic, Partition: p.ID, Offset: kafka.OffsetBeginning})
	}
	if len(parts) == 0 {
		return 0, errors.New("it has no partitions")
	}
	return len(parts), c.Assign(parts)
}

// eventually calls f until it returns no error, and returns the last one when
// that takes too long.
func eventually(ctx context.Context, within time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}
