package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	ckafka "github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/kafka"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
	"github.com/drakkar-go/drakkar/sinks/sinkstest/conformance"
)

// transactional are the settings of a sink that writes in transactions.
func transactional(brokers, topic string) config.KafkaSink {
	cfg := settings(brokers, topic)
	cfg.Acks, cfg.Transactional = "all", true
	return cfg
}

// committed returns the values of every record of a topic that is not in an
// open or aborted transaction.
func committed(t require.TestingT, brokers, topic string) [][]byte {
	c, err := ckafka.NewConsumer(&ckafka.ConfigMap{
		"bootstrap.servers": brokers, "group.id": "reader", "enable.auto.commit": false, "isolation.level": "read_committed",
		"log_level": 0, "fetch.wait.max.ms": 20, "enable.partition.eof": true,
	})
	require.NoError(t, err)
	defer c.Close()
	md, err := c.GetMetadata(&topic, false, 10_000)
	require.NoError(t, err)
	var assignment []ckafka.TopicPartition
	for _, p := range md.Topics[topic].Partitions {
		assignment = append(assignment, ckafka.TopicPartition{Topic: &topic, Partition: p.ID, Offset: ckafka.OffsetBeginning})
	}
	require.NoError(t, c.Assign(assignment))
	var values [][]byte
	for ends, deadline := 0, time.Now().Add(time.Minute); ends < len(assignment); {
		require.True(t, time.Now().Before(deadline), "the ends of all partitions")
		switch e := c.Poll(1000).(type) {
		case *ckafka.Message:
			values = append(values, e.Value)
		case ckafka.PartitionEOF:
			ends++
		}
	}
	return values
}

func TestTransactions_ConformOnRealKafka(t *testing.T) {
	t.Parallel()

	const elsewhere = "the broker is everybody's; KilledMidBatch shows it with one of the test's own"
	brokers := servicestest.Kafka(t)
	open := func(t *testing.T, brokers string) sinkstest.Harness {
		t.Helper()

		topic := fmt.Sprintf("drakkar-test-%d", time.Now().UnixNano())
		makeTopic(t, brokers, topic, nil)
		h := harness(t, brokers, topic)
		h.Sink = newSink(t, transactional(brokers, topic))
		h.Rows = func(t sinkstest.T) [][]byte { return committed(t, brokers, topic) }
		h.NoDown, h.NoStall = elsewhere, elsewhere
		return h
	}
	caps := sinkstest.Caps{
		AnyBytes: true, Report: conformance.Of("Kafka transactions", "Kafka 4.1"),
		NoUpserts: "a topic keeps every record; both carry the delivery id in the header drakkar-id",
	}
	caps.Own = func(t *testing.T) sinkstest.Harness {
		t.Helper()

		own := servicestest.OwnKafka(t)
		h := open(t, own.Addr())
		h.Kill = func(sinkstest.T) { require.NoError(t, own.Kill()) }
		h.Restart = func(sinkstest.T) { require.NoError(t, own.Restart(t.Context())) }
		return h
	}
	sinkstest.Exercise(t, caps, func(t *testing.T) sinkstest.Harness {
		t.Helper()
		return open(t, brokers)
	})
}

// What is too large together is not too large alone, also in transactions; and
// nobody sees a batch by halves.
func TestTransactions_AllOrNone(t *testing.T) {
	t.Parallel()

	brokers := servicestest.Kafka(t)
	topic := fmt.Sprintf("drakkar-test-%d", time.Now().UnixNano())
	makeTopic(t, brokers, topic, map[string]string{"max.message.bytes": "20000"})
	s := newSink(t, transactional(brokers, topic))
	zero := int32(0)
	batch := make([]sinks.Payload, 30)
	for i := range batch {
		batch[i] = sinks.Payload{ID: fmt.Sprint(i), Value: noise(1000), Partition: &zero}
	}
	batch[7].Value = noise(30_000)
	failures := sinks.Failures(len(batch), s.Deliver(t.Context(), batch))
	require.Len(t, failures, 1)
	require.Equal(t, 7, failures[0].Index)
	require.Equal(t, sinks.Permanent, failures[0].Class, "%v", failures[0].Err)
	require.Len(t, committed(t, brokers, topic), 29)

	called := errors.New("called off")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(called)
	failures = sinks.Failures(2, s.Deliver(ctx, batch[:2]))
	require.ErrorIs(t, failures[1].Err, called)

	kafka.BreakProducer(s)
	require.Len(t, sinks.Failures(2, s.Deliver(t.Context(), batch[:2])), 2)
	require.NoError(t, s.Deliver(t.Context(), batch[:2]), "another producer goes on")
	require.Len(t, committed(t, brokers, topic), 31)
}

// What goes alone, since it was too large together with others, keeps what is
// behind it with its key behind it.
func TestTransactions_OrderOfAKey(t *testing.T) {
	t.Parallel()

	brokers := servicestest.Kafka(t)
	topic := fmt.Sprintf("drakkar-test-%d", time.Now().UnixNano())
	makeTopic(t, brokers, topic, map[string]string{"max.message.bytes": "500000"})
	// The client puts some 1,000,000 bytes together: the first records are too
	// much, and the others are not.
	batch := make([]sinks.Payload, 12)
	for i := range batch {
		batch[i] = sinks.Payload{ID: fmt.Sprint(i), Key: drakkar.Bytes("key"), Value: noise(100_000)}
		batch[i].Value[0] = byte(i)
	}
	require.NoError(t, newSink(t, transactional(brokers, topic)).Deliver(t.Context(), batch))
	values := committed(t, brokers, topic)
	require.Len(t, values, len(batch))
	for i, v := range values {
		require.EqualValues(t, i, v[0])
	}
}

func TestNew_Acks(t *testing.T) {
	t.Parallel()

	for setting, want := range map[string][]any{"": {"all", true}, "all": {"all", true}, "leader": {"1", false}} {
		s := newSink(t, config.KafkaSink{Topic: topic, Brokers: "localhost:1", Acks: setting})
		require.Equal(t, want, []any{kafka.Property(s, "acks"), kafka.Property(s, "enable.idempotence")})
	}
}
