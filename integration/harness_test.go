// Package integration_test runs whole pipelines on a real Kafka and Temporal.
package integration_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/app"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
)

// patience is how long a pipeline may take on a machine that is busy with other
// tests.
const patience = 6 * time.Minute

// runs tells the topics and groups of one test from those of another.
var runs atomic.Int64

// harness is a pipeline on real services: its topics, its processes, and what
// can be read back of it.
type harness struct {
	cfg      *config.Config
	environ  []string // of commands, for secrets: settings are printed without
	out      string   // directory of the filesystem sink
	kafka    string
	producer *kafka.Producer
	admin    *kafka.AdminClient
	events   events.Recorder // of processes that are started from now on
	parts    int
	results  string
}

// newHarness makes the topics of one test and its settings.
func newHarness(t *testing.T, partitions int) *harness {
	t.Helper()

	addr := servicestest.Kafka(t)
	temporal, namespace := servicestest.Temporal(t)
	name := fmt.Sprintf("%s-%d-%d", strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")), time.Now().UnixMilli(), runs.Add(1))
	h := &harness{cfg: config.Default(), out: t.TempDir(), kafka: addr, parts: partitions, results: name + "-out"}

	h.cfg.Kafka.Brokers, h.cfg.Kafka.SourceTopic, h.cfg.Kafka.ConsumerGroup = addr, name+"-in", name
	h.cfg.Temporal.Address, h.cfg.Temporal.Namespace = temporal, namespace
	h.cfg.Metrics.Port, h.cfg.Ingest.MetricsPort = 0, 0
	h.cfg.Executor.BinaryPath = "/bin/cat"
	h.cfg.Executor.DrainTimeout = 10 * time.Second
	h.cfg.Windows.Store = t.TempDir()
	h.cfg.Sinks.Kafka = map[string]config.KafkaSink{"results": config.DefaultOf[config.KafkaSink]()}
	h.cfg.Sinks.Filesystem = map[string]config.FilesystemSink{"files": config.DefaultOf[config.FilesystemSink]()}
	results := h.cfg.Sinks.Kafka["results"]
	results.Topic = h.results
	h.cfg.Sinks.Kafka["results"] = results
	files := h.cfg.Sinks.Filesystem["files"]
	files.BasePath = h.out
	h.cfg.Sinks.Filesystem["files"] = files
	h.cfg.Complete()

	var err error
	h.producer, err = kafka.NewProducer(&kafka.ConfigMap{
		"bootstrap.servers": addr, "enable.idempotence": true, "message.max.bytes": 32 << 20,
	})
	require.NoError(t, err)
	t.Cleanup(h.producer.Close)
	h.admin, err = kafka.NewAdminClientFromProducer(h.producer)
	require.NoError(t, err)
	t.Cleanup(h.admin.Close)
	large := map[string]string{"max.message.bytes": "33554432"}
	servicestest.MakeTopics(t, h.admin,
		kafka.TopicSpecification{Topic: h.cfg.Kafka.SourceTopic, NumPartitions: partitions, ReplicationFactor: 1, Config: large},
		kafka.TopicSpecification{Topic: h.results, NumPartitions: 4, ReplicationFactor: 1, Config: large},
		kafka.TopicSpecification{Topic: h.cfg.DLQ.Topic, NumPartitions: 1, ReplicationFactor: 1},
	)
	return h
}

// start runs a process in this one. It is stopped with the test, or by the
// function that is returned.
func (h *harness) start(t *testing.T, role app.Role, p *drakkar.Pipeline, name string) (stop func()) {
	t.Helper()

	require.NoError(t, h.cfg.Validate())
	a, err := app.New(app.Options{
		Config: h.cfg, Role: role, Pipeline: p, Worker: name, Events: h.events,
		Log: zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)).Named(name),
	})
	require.NoError(t, err)
	require.NoError(t, a.Start(t.Context()))
	var once sync.Once
	stop = func() {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 40*time.Second)
			defer cancel()
			require.NoError(t, a.Stop(ctx))
		})
	}
	t.Cleanup(stop)
	require.Eventually(t, func() bool { return len(a.Ready(t.Context())) == 0 }, patience, 50*time.Millisecond)
	return stop
}

// send produces messages, and waits until the broker has all of them. A nil
// value is a tombstone.
func (h *harness) send(t *testing.T, values ...[]byte) {
	t.Helper()

	reports := make(chan kafka.Event, len(values))
	for i, v := range values {
		require.NoError(t, h.producer.Produce(&kafka.Message{
			TopicPartition: kafka.TopicPartition{Topic: &h.cfg.Kafka.SourceTopic, Partition: int32(i % h.parts)},
			Key:            fmt.Append(nil, "key-", i), Value: v,
			Headers: []kafka.Header{{Key: "n", Value: fmt.Append(nil, i)}},
		}, reports))
	}
	for range values {
		m, ok := (<-reports).(*kafka.Message)
		require.True(t, ok)
		require.NoError(t, m.TopicPartition.Error)
	}
}

// committed is the sum of the group's offsets.
func (h *harness) committed(ctx context.Context) (sum int64) {
	req := kafka.ConsumerGroupTopicPartitions{Group: h.cfg.Kafka.ConsumerGroup}
	for p := range h.parts {
		req.Partitions = append(req.Partitions, kafka.TopicPartition{Topic: &h.cfg.Kafka.SourceTopic, Partition: int32(p)})
	}
	res, err := h.admin.ListConsumerGroupOffsets(ctx, []kafka.ConsumerGroupTopicPartitions{req}, kafka.SetAdminRequestTimeout(5*time.Second))
	if err != nil {
		return -1
	}
	for _, p := range res.ConsumerGroupsTopicPartitions[0].Partitions {
		sum += max(0, int64(p.Offset))
	}
	return sum
}

// awaitCommitted waits until n messages are committed.
func (h *harness) awaitCommitted(t *testing.T, n int64) {
	t.Helper()

	require.Eventually(t, func() bool { return h.committed(t.Context()) == n }, patience, 100*time.Millisecond,
		"%d messages are committed", n)
}

// topic reads all records of a topic.
func (h *harness) topic(t *testing.T, name string) []*kafka.Message {
	t.Helper()

	c, err := kafka.NewConsumer(&kafka.ConfigMap{
		"bootstrap.servers": h.kafka, "group.id": name + "-reader", "enable.auto.commit": false, "enable.partition.eof": true,
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	meta, err := c.GetMetadata(&name, false, 10000)
	require.NoError(t, err)
	var parts []kafka.TopicPartition
	for _, p := range meta.Topics[name].Partitions {
		parts = append(parts, kafka.TopicPartition{Topic: &name, Partition: p.ID, Offset: kafka.OffsetBeginning})
	}
	require.NoError(t, c.Assign(parts))
	var out []*kafka.Message
	for ends := 0; ends < len(parts); {
		switch e := c.Poll(10000).(type) {
		case *kafka.Message:
			out = append(out, e)
		case kafka.PartitionEOF:
			ends++
		case nil:
			require.Fail(t, "the topic "+name+" cannot be read")
		}
	}
	return out
}

// letters reads the dead letter queue.
func (h *harness) letters(t *testing.T) []dlq.Envelope {
	t.Helper()

	var out []dlq.Envelope
	for _, m := range h.topic(t, h.cfg.DLQ.Topic) {
		e, err := dlq.Decode(m.Value)
		require.NoError(t, err)
		out = append(out, e)
	}
	return out
}

// ids are the delivery ids of records, sorted.
func ids(t *testing.T, records []*kafka.Message) []string {
	t.Helper()

	var out []string
	for _, m := range records {
		i := slices.IndexFunc(m.Headers, func(h kafka.Header) bool { return h.Key == "drakkar-id" })
		require.GreaterOrEqual(t, i, 0, "a record without drakkar-id")
		out = append(out, string(m.Headers[i].Value))
	}
	slices.Sort(out)
	return out
}

// lines are those of a file of the filesystem sink.
func (h *harness) lines(t *testing.T, name string) []string {
	t.Helper()

	data, err := os.ReadFile(h.out + "/" + name)
	require.NoError(t, err)
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}
