package kafka_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	ckafka "github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/kafka"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
	"github.com/drakkar-go/drakkar/sinks/sinkstest/conformance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "results"

// settings are those of a sink for tests.
func settings(brokers, topic string) config.KafkaSink {
	return config.KafkaSink{
		Topic: topic, Brokers: brokers, Compression: "lz4", Linger: time.Millisecond,
		Security: config.KafkaSecurity{Protocol: "plaintext", Username: "drakkar", Password: "hunter2"},
		Delivery: config.Delivery{Timeout: 30 * time.Second},
		Options:  map[string]string{"reconnect.backoff.max.ms": "200"},
	}
}

func newSink(t *testing.T, cfg config.KafkaSink) *kafka.Sink {
	t.Helper()

	s, err := kafka.New("results", cfg, config.Kafka{})
	require.NoError(t, err)
	closeSoon(t, s)
	return s
}

// closeSoon closes the sink after the test, with or without what is left in it.
func closeSoon(t *testing.T, s *kafka.Sink) {
	t.Helper()

	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Close(ctx)
	})
}

func harness(t *testing.T, brokers, topic string) sinkstest.Harness {
	t.Helper()

	return sinkstest.Harness{
		Sink: newSink(t, settings(brokers, topic)),
		Rows: func(t sinkstest.T) [][]byte {
			var rows [][]byte
			for _, m := range readAll(t, brokers, topic) {
				rows = append(rows, m.Value)
			}
			return rows
		},
		Bad:     func(int) sinks.Payload { return sinks.Payload{Value: noise(2 << 20)} },
		Secrets: []string{"hunter2"},
	}
}

// noise is a value that does not compress.
func noise(n int) drakkar.Bytes {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func TestSink_Conforms(t *testing.T) {
	t.Parallel()

	caps := sinkstest.Caps{AnyBytes: true, NoOwn: "the real broker is killed"}
	sinkstest.Exercise(t, caps, func(t *testing.T) sinkstest.Harness {
		t.Helper()

		b := newBroker(t, kfake.SeedTopics(3, topic))
		h := harness(t, b.addrs(), topic)
		h.Down = func(sinkstest.T) { b.line.setDown(true) }
		h.Up = func(sinkstest.T) { b.line.setDown(false) }
		h.Stall = func(sinkstest.T) func() { return b.line.setStalled() }
		return h
	})
}

func TestSink_ConformsOnRealKafka(t *testing.T) {
	t.Parallel()

	brokers := servicestest.Kafka(t)
	caps := sinkstest.Caps{
		AnyBytes: true, Report: conformance.Of("Kafka", "Kafka 4.1"),
		NoUpserts: "a topic keeps every record; both carry the delivery id in the header drakkar-id",
	}
	caps.Own = func(t *testing.T) sinkstest.Harness {
		t.Helper()

		own := servicestest.OwnKafka(t)
		makeTopic(t, own.Addr(), topic, nil)
		h := harness(t, own.Addr(), topic)
		h.Kill = func(sinkstest.T) { require.NoError(t, own.Kill()) }
		h.Restart = func(sinkstest.T) { require.NoError(t, own.Restart(t.Context())) }
		return h
	}
	sinkstest.Exercise(t, caps, func(t *testing.T) sinkstest.Harness {
		t.Helper()

		topic := fmt.Sprintf("drakkar-test-%d", time.Now().UnixNano())
		makeTopic(t, brokers, topic, nil)
		h := harness(t, brokers, topic)
		const elsewhere = "the broker is everybody's; TestSink_Conforms shows it with one in the test's process, and KilledMidBatch with a real one"
		h.NoDown, h.NoStall = elsewhere, elsewhere
		return h
	})
}

func TestSink(t *testing.T) {
	t.Parallel()

	type testBundle struct {
		broker *broker
		sink   *kafka.Sink
	}

	setup := func(t *testing.T, opts ...kfake.Opt) *testBundle {
		t.Helper()

		b := &testBundle{broker: newBroker(t, append(opts, kfake.SeedTopics(3, topic, "other"))...)}
		b.sink = newSink(t, settings(b.broker.addrs(), topic))
		return b
	}

	t.Run("CheckNamesAMissingTopic", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		missing := newSink(t, settings(b.broker.addrs(), "missing"))
		err := missing.Check(t.Context())
		require.ErrorContains(t, err, "missing")
	})

	t.Run("CheckReturnsWhenContextEnds", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		defer b.broker.line.setStalled()()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		begun := time.Now()
		require.Error(t, b.sink.Check(ctx))
		require.Less(t, time.Since(begun), 5*time.Second, "as long as one without a deadline")
	})

	t.Run("ClosedSinkDeliversNothing", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		require.NoError(t, b.sink.Close(t.Context()))
		require.Error(t, b.sink.Deliver(t.Context(), []sinks.Payload{{ID: "a"}}))
		require.Error(t, b.sink.Check(t.Context()))
	})

	t.Run("CloseIsBounded", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		require.NoError(t, b.sink.Deliver(t.Context(), []sinks.Payload{{ID: "a"}}))
		resume := b.broker.line.setStalled()
		defer resume()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		require.Error(t, b.sink.Deliver(ctx, []sinks.Payload{{ID: "b"}}))

		begun := time.Now()
		require.NoError(t, b.sink.Close(ctx))
		require.Less(t, time.Since(begun), 20*time.Second, "as long as the sink's timeout")
	})

	t.Run("FatalErrorRebuildsTheProducer", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		require.NoError(t, b.sink.Deliver(t.Context(), []sinks.Payload{{ID: "before"}}))
		kafka.BreakProducer(b.sink)
		err := b.sink.Deliver(t.Context(), []sinks.Payload{{ID: "during"}})
		failures := sinks.Failures(1, err)
		require.Len(t, failures, 1)
		require.Equal(t, sinks.Transient, failures[0].Class, "%v", err)
		require.NoError(t, b.sink.Deliver(t.Context(), []sinks.Payload{{ID: "after"}}))
		require.ElementsMatch(t, []string{"before", "after"}, ids(readAll(t, b.broker.addrs(), topic)))
	})

	t.Run("FatalErrorIsNamed", func(t *testing.T) {
		t.Parallel()

		b := newBroker(t, kfake.SeedTopics(1, topic))
		b.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			refusal := req.ResponseKind().(*kmsg.InitProducerIDResponse)
			refusal.Version, refusal.ErrorCode = req.GetVersion(), kerr.ClusterAuthorizationFailed.Code
			return refusal, nil, true
		})
		err := newSink(t, settings(b.addrs(), topic)).Deliver(t.Context(), []sinks.Payload{{ID: "refused"}})
		require.ErrorContains(t, err, "Cluster authorization failed")
	})

	t.Run("KeepsKeyHeadersTopicAndPartition", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		two := int32(2)
		p := sinks.Payload{
			ID: "orders~ab12/0/7/m/0", Key: drakkar.Bytes("\xffkey"), Topic: "other", Partition: &two,
			Value: drakkar.Bytes("v"),
			Headers: []drakkar.Header{
				{Key: "twice", Value: drakkar.Bytes("1")}, {Key: "twice", Value: nil}, {Key: "empty", Value: drakkar.Bytes{}},
				{Key: kafka.HeaderID, Value: drakkar.Bytes("of another pipeline")},
			},
		}
		require.NoError(t, b.sink.Deliver(t.Context(), []sinks.Payload{p}))
		m := readAll(t, b.broker.addrs(), "other")[0]
		require.Equal(t, []byte("\xffkey"), m.Key)
		require.Equal(t, two, m.TopicPartition.Partition)
		require.Equal(t, []ckafka.Header{
			{Key: "twice", Value: []byte("1")}, {Key: "twice", Value: nil}, {Key: "empty", Value: []byte{}},
			{Key: kafka.HeaderID, Value: []byte(p.ID)},
		}, m.Headers)
		require.Empty(t, readAll(t, b.broker.addrs(), topic))
	})

	t.Run("ManySmallRecordsAreNotTooLarge", func(t *testing.T) {
		t.Parallel()

		// Together they are larger than the broker takes at once.
		b := setup(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "20000"}))
		batch := make([]sinks.Payload, 60)
		zero := int32(0)
		for i := range batch {
			batch[i] = sinks.Payload{ID: fmt.Sprint(i), Value: noise(1000), Partition: &zero}
		}
		batch[30].Value = noise(30_000)
		var de *sinks.DeliverError
		require.ErrorAs(t, b.sink.Deliver(t.Context(), batch), &de)
		require.Len(t, de.Failures, 1)
		require.Equal(t, 30, de.Failures[0].Index)
		require.Equal(t, sinks.Permanent, de.Failures[0].Class)
		require.Len(t, readAll(t, b.broker.addrs(), topic), 59)
	})

	t.Run("NilIsATombstoneAndEmptyIsNot", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		require.NoError(t, b.sink.Deliver(t.Context(), []sinks.Payload{
			{ID: "nil"}, {ID: "empty", Value: drakkar.Bytes{}, Key: drakkar.Bytes{}},
		}))
		for _, m := range readAll(t, b.broker.addrs(), topic) {
			require.Equal(t, string(id(m)) == "nil", m.Value == nil, "%s", id(m))
			require.Equal(t, string(id(m)) == "nil", m.Key == nil, "%s", id(m))
		}
	})

	t.Run("RefusesBadRouting", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		minus, far := int32(-1), int32(99)
		batch := []sinks.Payload{
			{ID: "good"}, {ID: "bad topic", Topic: "a/b"}, {ID: "negative", Partition: &minus}, {ID: "far", Partition: &far},
		}
		require.NoError(t, b.sink.Validate(batch[0]))
		require.Error(t, b.sink.Validate(batch[1]))
		require.Error(t, b.sink.Validate(batch[2]))
		var de *sinks.DeliverError
		require.ErrorAs(t, b.sink.Deliver(t.Context(), batch), &de)
		require.Len(t, de.Failures, 3)
		for i, f := range de.Failures {
			require.Equal(t, i+1, f.Index)
			require.Equal(t, sinks.Permanent, f.Class, "%v", f.Err)
		}
		require.Equal(t, []string{"good"}, ids(readAll(t, b.broker.addrs(), topic)))
	})

	t.Run("WaitsWhileTheQueueIsFull", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		cfg := settings(b.broker.addrs(), topic)
		cfg.Options["queue.buffering.max.messages"] = "10"
		small := newSink(t, cfg)
		batch := make([]sinks.Payload, 200)
		for i := range batch {
			batch[i] = sinks.Payload{ID: fmt.Sprint(i)}
		}
		require.NoError(t, small.Deliver(t.Context(), batch))

		resume := b.broker.line.setStalled()
		defer resume()
		called := errors.New("called off")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, called)
		defer cancel()
		failures := sinks.Failures(len(batch), small.Deliver(ctx, batch))
		require.Len(t, failures, len(batch))
		for _, f := range failures {
			require.ErrorIs(t, f.Err, called)
			require.Equal(t, sinks.Transient, f.Class)
		}
	})

	t.Run("UnknownTopicIsTransient", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		cfg := settings(b.broker.addrs(), "missing")
		cfg.Options["topic.metadata.propagation.max.ms"] = "100"
		missing := newSink(t, cfg)
		failures := sinks.Failures(1, missing.Deliver(t.Context(), []sinks.Payload{{ID: "a"}}))
		require.Len(t, failures, 1)
		require.Equal(t, sinks.Transient, failures[0].Class, "%v", failures[0].Err)
	})
}

func TestNew(t *testing.T) {
	t.Parallel()

	t.Run("NamesTheSetting", func(t *testing.T) {
		t.Parallel()

		for setting, cfg := range map[string]config.KafkaSink{
			"sinks.kafka.out.topic":                      {Topic: "no/topic"},
			"sinks.kafka.out.options.acks":               {Topic: topic, Options: map[string]string{"acks": "1"}},
			"sinks.kafka.out.options.enable.idempotence": {Topic: topic, Options: map[string]string{"enable.idempotence": "false"}},
			"sinks.kafka.out.options.go.batch.producer":  {Topic: topic, Options: map[string]string{"go.batch.producer": "true"}},
			"sinks.kafka.out: making a producer":         {Topic: topic, Options: map[string]string{"no.such.property": "1"}},
		} {
			_, err := kafka.New("out", cfg, config.Kafka{})
			require.ErrorContains(t, err, setting)
		}
	})

	t.Run("OptionsWinUnderEitherName", func(t *testing.T) {
		t.Parallel()

		s := newSink(t, config.KafkaSink{
			Topic: topic, Brokers: "localhost:1", Linger: time.Second,
			Options: map[string]string{"queue.buffering.max.ms": "7", "compression.type": "zstd"},
		})
		require.Equal(t, "7", kafka.Property(s, "queue.buffering.max.ms"))
		require.Nil(t, kafka.Property(s, "linger.ms"), "it is the same property")
		require.Equal(t, "zstd", kafka.Property(s, "compression.type"))
	})

	t.Run("SecretsStayOutOfErrors", func(t *testing.T) {
		t.Parallel()

		_, err := kafka.New("out", config.KafkaSink{
			Topic: topic, Brokers: "localhost:1", Security: config.KafkaSecurity{Protocol: "hunter2", Password: "hunter2"},
		}, config.Kafka{})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
	})
}

func TestSecurityProperties(t *testing.T) {
	t.Parallel()

	require.Empty(t, kafka.SecurityProperties(config.KafkaSecurity{}))
	require.Equal(t, ckafka.ConfigMap{
		"security.protocol": "sasl_ssl", "sasl.mechanism": "SCRAM-SHA-512",
		"sasl.username": "u", "sasl.password": "p", "ssl.ca.location": "ca.pem",
		"ssl.certificate.location": "c.pem", "ssl.key.location": "k.pem", "ssl.key.password": "kp",
	}, kafka.SecurityProperties(config.KafkaSecurity{
		Protocol: "sasl_ssl", Mechanism: "SCRAM-SHA-512", Username: "u", Password: "p",
		CAFile: "ca.pem", CertFile: "c.pem", KeyFile: "k.pem", KeyPassword: "kp",
	}))
}

func TestSink_LogsIn(t *testing.T) {
	t.Parallel()

	b := newBroker(t, kfake.SeedTopics(1, topic), kfake.EnableSASL(), kfake.Superuser("PLAIN", "drakkar", "hunter2"))
	source := config.Kafka{Brokers: b.addrs(), Security: config.KafkaSecurity{
		Protocol: "sasl_plaintext", Mechanism: "PLAIN", Username: "drakkar", Password: "hunter2",
	}}
	open := func(source config.Kafka) *kafka.Sink {
		s, err := kafka.New("results", config.KafkaSink{Topic: topic}, source)
		require.NoError(t, err)
		closeSoon(t, s)
		return s
	}
	require.NoError(t, open(source).Deliver(t.Context(), []sinks.Payload{{ID: "a"}}))

	source.Security.Password = "swordfish"
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err := open(source).Deliver(ctx, []sinks.Payload{{ID: "b"}})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "swordfish")
	require.Equal(t, sinks.Transient, sinks.Failures(1, err)[0].Class)
}

func id(m *ckafka.Message) []byte {
	i := slices.IndexFunc(m.Headers, func(h ckafka.Header) bool { return h.Key == kafka.HeaderID })
	return bytes.Clone(m.Headers[i].Value)
}

func ids(ms []*ckafka.Message) []string {
	all := make([]string, len(ms))
	for i, m := range ms {
		all[i] = string(id(m))
	}
	return all
}
