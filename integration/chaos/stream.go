package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

// send produces the orders evenly at the rate, and returns once the broker has
// all of them. sent is told how many went out.
func (b *broker) send(ctx context.Context, topic string, partitions int, all []order, rate float64, sent func(n int)) error {
	reports := make(chan kafka.Event, len(all))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for next := 0; next < len(all); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		due := min(len(all), int(time.Since(began).Seconds()*rate)+1)
		for ; next < due; next++ {
			if err := b.produce(topic, int32(next%partitions), all[next], reports); err != nil {
				return err
			}
		}
		sent(next)
	}
	return acknowledged(ctx, reports, len(all))
}

func (b *broker) produce(topic string, partition int32, o order, reports chan kafka.Event) error {
	value, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encoding message %d: %w", o.N, err)
	}
	err = b.producer.Produce(&kafka.Message{
		TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: partition}, Value: value,
	}, reports)
	if err != nil {
		return fmt.Errorf("sending message %d: %w", o.N, err)
	}
	return nil
}

func acknowledged(ctx context.Context, reports chan kafka.Event, n int) error {
	for range n {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-reports:
			if m, ok := e.(*kafka.Message); ok && m.TopicPartition.Error != nil {
				return fmt.Errorf("sending a message: %w", m.TopicPartition.Error)
			}
		}
	}
	return nil
}
