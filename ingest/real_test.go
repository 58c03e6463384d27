package ingest

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
)

// realBundle is a real broker with a Temporal that is faked.
type realBundle struct {
	windows *fakeWindows
	admin   *kafka.AdminClient
	address string
	prefix  string // of topics, and the group
}

func setupReal(t *testing.T) *realBundle {
	t.Helper()

	b := &realBundle{address: servicestest.Kafka(t), windows: newFakeWindows(), prefix: "t" + uuid.NewString()}
	var err error
	b.admin, err = kafka.NewAdminClient(&kafka.ConfigMap{"bootstrap.servers": b.address})
	require.NoError(t, err)
	t.Cleanup(b.admin.Close)
	return b
}

func (b *realBundle) topic(t *testing.T, name string, partitions int) string {
	t.Helper()

	servicestest.MakeTopics(t, b.admin, kafka.TopicSpecification{
		Topic: b.prefix + name, NumPartitions: partitions, ReplicationFactor: 1,
	})
	return b.prefix + name
}

func (b *realBundle) start(t *testing.T, change ...func(*Options)) *process {
	t.Helper()

	fake := &testBundle{cluster: setup(t, 1).cluster, windows: b.windows}
	return fake.start(t, "w1", append([]func(*Options){func(o *Options) {
		o.Kafka.Brokers, o.Kafka.ConsumerGroup = b.address, b.prefix
		o.Kafka.SourceTopic = "^" + regexp.QuoteMeta(b.prefix) + "[.].*"
		o.Kafka.Options = map[string]string{"topic.metadata.refresh.interval.ms": "500"}
	}}, change...)...)
}

// produce writes n records, in a transaction when one is named; it is aborted
// when commit is false.
func (b *realBundle) produce(t *testing.T, topic string, n int, transaction string, commit bool) {
	t.Helper()

	opts := []kgo.Opt{kgo.SeedBrokers(b.address), kgo.RecordPartitioner(kgo.ManualPartitioner())}
	if transaction != "" {
		opts = append(opts, kgo.TransactionalID(transaction))
	}
	c, err := kgo.NewClient(opts...)
	require.NoError(t, err)
	defer c.Close()
	if transaction != "" {
		require.NoError(t, c.BeginTransaction())
	}
	for i := range n {
		require.NoError(t, c.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: fmt.Append(nil, i)}).FirstErr())
	}
	if transaction != "" {
		require.NoError(t, c.EndTransaction(t.Context(), kgo.TransactionEndTry(commit)))
	}
}

func TestRealKafka(t *testing.T) {
	t.Parallel()

	const patient = 60 * time.Second

	awaitSources := func(t *testing.T, b *realBundle, want map[source]int) {
		t.Helper()

		require.Eventually(t, func() bool { return fmt.Sprint(b.windows.sources()) == fmt.Sprint(want) }, patient, soon, "want %v", want)
	}

	t.Run("PatternAndPartitions", func(t *testing.T) {
		t.Parallel()

		b := setupReal(t)
		b.windows.completes = true
		first, dead := b.topic(t, ".a", 1), b.topic(t, ".a_dlq", 1)
		p := b.start(t)
		b.produce(t, first, 2, "", true)
		b.produce(t, dead, 2, "", true)
		awaitSources(t, b, map[source]int{{first, 0}: 2})
		second := b.topic(t, ".b", 1)
		b.produce(t, second, 3, "", true)
		awaitSources(t, b, map[source]int{{first, 0}: 2, {second, 0}: 3})
		_, err := b.admin.CreatePartitions(t.Context(), []kafka.PartitionsSpecification{{Topic: second, IncreaseTo: 2}})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return len(p.State().Partitions) == 3 }, patient, soon)
		require.Eventually(t, func() bool { return len(p.Ready(t.Context())) == 0 }, patient, soon)
	})

	t.Run("GoneBetweenTransactions", func(t *testing.T) {
		t.Parallel()

		b := setupReal(t)
		topic := b.topic(t, ".a", 1)
		p := b.start(t, oneOpen)
		b.produce(t, topic, 1, "", true)
		awaitSources(t, b, map[source]int{{topic, 0}: 1})
		id := b.prefix
		b.produce(t, topic, 3, id, true)  // 1 to 3, and a marker
		b.produce(t, topic, 2, id, false) // 5 and 6, and a marker
		b.produce(t, topic, 2, id, true)  // 8 and 9, and a marker
		b.produce(t, topic, 2, id, false) // 11 and 12, and a marker
		require.Eventually(t, func() bool { return p.State().Messages == 5 }, patient, soon)
		b.windows.end("completed", b.windows.all()[0].in.WorkflowID())
		require.Eventually(t, func() bool { return len(b.windows.all()) == 2 }, patient, soon)
		in := b.windows.all()[1].in
		require.Equal(t, []int64{1, 2, 3, 8, 9}, inputOffsets(in))
		b.windows.setFinished(in.WorkflowID(), finishedRange(2, 7))
		require.Eventually(t, func() bool {
			part := p.partition(source{topic, 0})
			part.mu.Lock()
			defer part.mu.Unlock()
			return len(part.tracker.Done(1)) == 1
		}, patient, soon)
		b.windows.remove(in.WorkflowID())
		require.Eventually(t, func() bool { return len(eventsOf[events.WindowReread](p.events)) == 1 }, patient, soon)
		again := b.windows.all()[1].in
		require.Equal(t, []int64{1, 8, 9}, inputOffsets(again))
		require.Equal(t, in.Messages[3], again.Messages[1])
		require.Zero(t, eventsOf[events.WindowReread](p.events)[0].Gone)
	})

	t.Run("MadeAgain", func(t *testing.T) {
		t.Parallel()

		b := setupReal(t)
		b.windows.completes = true
		topic := b.topic(t, ".a", 1)
		p := b.start(t, recommits, func(o *Options) { o.Kafka.SourceTopic = topic })
		b.produce(t, topic, 3, "", true)
		awaitSources(t, b, map[source]int{{topic, 0}: 3})
		require.Eventually(t, func() bool {
			s := p.State().Partitions
			return len(s) == 1 && s[0].Committed == 3
		}, patient, soon)
		epoch := p.State().Partitions[0].Epoch
		_, err := b.admin.DeleteTopics(t.Context(), []string{topic})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			_, err := p.broker.describe(t.Context(), []string{topic})
			return err != nil
		}, patient, soon)
		b.topic(t, ".a", 1)
		b.produce(t, topic, 5, "", true)
		committed := len(eventsOf[events.Committed](p.events))
		require.Eventually(t, func() bool { return len(eventsOf[events.Committed](p.events)) > committed }, patient, soon,
			"what was committed of the old topic lands in the new one")
		require.Eventually(t, func() bool {
			p.checkTopics(t.Context())
			s := p.State().Partitions
			return len(s) == 1 && s[0].Epoch != epoch && s[0].Committed == 5
		}, patient, time.Second)
		require.Equal(t, upTo(5), b.windows.offsetsOf(p.State().Partitions[0].Epoch), "the first messages too")
		all := b.windows.all()
		require.NotEqual(t, all[0].in.TopicID, all[len(all)-1].in.TopicID)
	})
}
