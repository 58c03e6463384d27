package kafka_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	ckafka "github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/kafka"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

// benchBatch is the default of batch_size.
const benchBatch = 1000

// Payloads a second through the sink, beside a bare loop of the client which
// waits for the reports of as many records.
func BenchmarkDeliver(b *testing.B) {
	brokers := servicestest.Kafka(b)
	topic := fmt.Sprintf("drakkar-bench-%d", time.Now().UnixNano())
	makeTopic(b, brokers, topic, nil)
	batch := make([]sinks.Payload, benchBatch)
	for i := range batch {
		batch[i] = sinks.Payload{ID: fmt.Sprintf("orders~ab12/0/%d/m/0", i), Value: bytes.Repeat([]byte("7"), 200)}
	}
	s, err := kafka.New("bench", settings(brokers, topic), config.Kafka{})
	require.NoError(b, err)
	defer func() { _ = s.Close(context.Background()) }()
	p, err := ckafka.NewProducer(&ckafka.ConfigMap{
		"bootstrap.servers": brokers, "acks": "all", "enable.idempotence": true, "compression.type": "lz4", "linger.ms": 1,
		"log_level": 0, "go.delivery.report.fields": "none", "go.produce.channel.size": 0,
	})
	require.NoError(b, err)
	defer p.Close()
	sinkstest.Compare(b, benchBatch, func() {
		require.NoError(b, s.Deliver(b.Context(), batch))
	}, func() { bareLoop(b, p, topic, batch) })
}

func bareLoop(b *testing.B, p *ckafka.Producer, topic string, batch []sinks.Payload) {
	b.Helper()

	reports := make(chan ckafka.Event, len(batch))
	for _, one := range batch {
		require.NoError(b, p.Produce(&ckafka.Message{
			TopicPartition: ckafka.TopicPartition{Topic: &topic, Partition: ckafka.PartitionAny}, Value: one.Value,
			Headers: []ckafka.Header{{Key: kafka.HeaderID, Value: []byte(one.ID)}},
		}, reports))
	}
	for range batch {
		require.NoError(b, (<-reports).(*ckafka.Message).TopicPartition.Error)
	}
}
