package ingest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

// createTopic makes a topic as an operator does.
func (b *testBundle) createTopic(t *testing.T, topic string, partitions int32) {
	t.Helper()

	req := kmsg.NewPtrCreateTopicsRequest()
	one := kmsg.NewCreateTopicsRequestTopic()
	one.Topic, one.NumPartitions, one.ReplicationFactor = topic, partitions, 1
	req.Topics = append(req.Topics, one)
	res, err := req.RequestWith(t.Context(), b.kafka)
	require.NoError(t, err)
	require.Zero(t, res.Topics[0].ErrorCode)
}

func (b *testBundle) deleteTopic(t *testing.T, topic string) {
	t.Helper()

	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames = []string{topic}
	one := kmsg.NewDeleteTopicsRequestTopic()
	one.Topic = &topic
	req.Topics = append(req.Topics, one)
	res, err := req.RequestWith(t.Context(), b.kafka)
	require.NoError(t, err)
	require.Zero(t, res.Topics[0].ErrorCode)
}

func (b *testBundle) addPartitions(t *testing.T, topic string, count int32) {
	t.Helper()

	req := kmsg.NewPtrCreatePartitionsRequest()
	one := kmsg.NewCreatePartitionsRequestTopic()
	one.Topic, one.Count = topic, count
	req.Topics = append(req.Topics, one)
	res, err := req.RequestWith(t.Context(), b.kafka)
	require.NoError(t, err)
	require.Zero(t, res.Topics[0].ErrorCode)
}

func (b *testBundle) produceTo(t *testing.T, topic string, partition int32, n int) {
	t.Helper()

	// A client of its own: it knows no topic that was deleted.
	c, err := kgo.NewClient(kgo.SeedBrokers(b.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer c.Close()
	for i := range n {
		r := &kgo.Record{Topic: topic, Partition: partition, Value: fmt.Appendf(nil, "%s-%d", topic, i)}
		require.NoError(t, c.ProduceSync(t.Context(), r).FirstErr())
	}
}

// sources are the partitions that windows were started for, with how many
// messages.
func (f *fakeWindows) sources() map[source]int {
	out := map[source]int{}
	for _, w := range f.all() {
		out[source{w.in.Topic, w.in.Partition}] += len(w.in.Messages)
	}
	return out
}

func from(topics string) func(*Options) {
	return func(o *Options) { o.Kafka.SourceTopic = topics }
}

// recommits commits again what nobody has moved.
func recommits(o *Options) { o.Ingest.RecommitInterval = 20 * time.Millisecond }

func TestTopics(t *testing.T) {
	t.Parallel()

	awaitSources := func(t *testing.T, b *testBundle, want map[source]int) {
		t.Helper()

		require.Eventually(t, func() bool { return fmt.Sprint(b.windows.sources()) == fmt.Sprint(want) }, eventually, soon,
			"want %v", want)
	}

	t.Run("List", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 2)
		b.createTopic(t, "other", 2)
		b.windows.completes = true
		p := b.start(t, "w1", from(testTopic+", other"))
		p.ready(t, 4)
		b.produceTo(t, testTopic, 0, 3)
		b.produceTo(t, "other", 0, 5)
		b.produceTo(t, "other", 1, 2)
		awaitSources(t, b, map[source]int{{testTopic, 0}: 3, {"other", 0}: 5, {"other", 1}: 2})
		require.NoError(t, chainError(b.windows.all()))
		require.Eventually(t, func() bool {
			s := p.State()
			return len(s.Partitions) == 4 && s.Partitions[0].Committed == 3 && s.Partitions[2].Committed == 5
		}, eventually, soon)
		s := p.State()
		require.Equal(t, testTopic+", other", s.Source)
		for n, want := range []source{{testTopic, 0}, {testTopic, 1}, {"other", 0}, {"other", 1}} {
			require.Equal(t, want, source{s.Partitions[n].Topic, s.Partitions[n].Partition})
		}
		var ids []string
		for _, w := range b.windows.all() {
			link, err := workflows.ParseWorkflowID(w.in.WorkflowID())
			require.NoError(t, err)
			require.Equal(t, w.in.Link, link)
			if w.in.Start == 0 && w.in.Partition == 0 {
				ids = append(ids, w.in.WorkflowID())
			}
		}
		require.Len(t, ids, 2)
		require.NotEqual(t, ids[0], ids[1])

		// The handler, and what hears events, are told topic by topic.
		require.Len(t, eventsOf[events.Assigned](p.events), 2)
		require.Eventually(t, func() bool {
			b.windows.mu.Lock()
			defer b.windows.mu.Unlock()
			return len(b.windows.rebalance) == 2
		}, eventually, soon)
		topics := map[string]bool{}
		for _, d := range p.depth().PerPartition {
			topics[d.Topic] = true
		}
		require.Equal(t, map[string]bool{testTopic: true, "other": true}, topics)

		// Each topic has offsets of its own, and metadata with its own id.
		p.stop(t)
		b.start(t, "w2", from("other,"+testTopic)).ready(t, 4)
		awaitSources(t, b, map[source]int{{testTopic, 0}: 3, {"other", 0}: 5, {"other", 1}: 2})
	})

	t.Run("AMissingTopicIsTold", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.completes = true
		p := b.start(t, "w1", from(testTopic+",later"))
		require.Eventually(t, func() bool { return len(p.State().Partitions) == 1 }, eventually, soon)
		require.Contains(t, fmt.Sprint(p.Ready(t.Context())), "topic later")
		b.createTopic(t, "later", 1)
		b.produceTo(t, "later", 0, 2)
		awaitSources(t, b, map[source]int{{"later", 0}: 2})
		p.ready(t, 2)
	})

	t.Run("PatternTakesTopicsToCome", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.completes = true
		p := b.start(t, "w1", from("^orders[.].*"))
		require.Eventually(t, func() bool {
			return fmt.Sprint(p.Ready(t.Context())) != "[]"
		}, eventually, soon)
		require.Contains(t, fmt.Sprint(p.Ready(t.Context())), "no topic matches ^orders[.].* (kafka.source_topic)")
		b.createTopic(t, "orders.eu", 1)
		b.createTopic(t, "orders.eu_dlq", 1)
		b.createTopic(t, "returns", 1)
		b.produceTo(t, "orders.eu", 0, 2)
		b.produceTo(t, "orders.eu_dlq", 0, 2)
		b.produceTo(t, "returns", 0, 2)
		awaitSources(t, b, map[source]int{{"orders.eu", 0}: 2})
		b.createTopic(t, "orders.us", 1)
		b.produceTo(t, "orders.us", 0, 3)
		awaitSources(t, b, map[source]int{{"orders.eu", 0}: 2, {"orders.us", 0}: 3})
		p.ready(t, 2)
		b.produceTo(t, "orders.eu", 0, 1)
		awaitSources(t, b, map[source]int{{"orders.eu", 0}: 3, {"orders.us", 0}: 3})
	})

	t.Run("DeadLettersByNameAreNotRead", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.completes = true
		b.createTopic(t, "in.dead", 1)
		b.createTopic(t, "in.dead2", 1)
		b.createTopic(t, "in.other", 1)
		p := b.start(t, "w1", from("^in.*"), func(o *Options) {
			o.DLQ.Topic = "in.dead"
			o.Kafka.Options["topic.blacklist"] = "[.]other$"
		})
		p.ready(t, 2)
		for _, topic := range []string{"in", "in.dead", "in.dead2", "in.other"} {
			b.produceTo(t, topic, 0, 1)
		}
		awaitSources(t, b, map[source]int{{"in", 0}: 1, {"in.dead2", 0}: 1})
	})

	t.Run("PartitionsAreAdded", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.completes = true
		p := b.start(t, "w1")
		p.ready(t, 1)
		b.produce(t, 0, 2)
		b.awaitCommitted(t, 0, 2)
		b.addPartitions(t, testTopic, 3)
		b.produceTo(t, testTopic, 2, 4) // before anybody owns it
		p.ready(t, 3)
		awaitSources(t, b, map[source]int{{testTopic, 0}: 2, {testTopic, 2}: 4})
		b.awaitCommitted(t, 2, 4)
		require.NoError(t, chainError(b.windows.all()))
	})

	t.Run("ATopicThatGoesIsLetGo", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.createTopic(t, "other", 1)
		b.windows.completes = true
		p := b.start(t, "w1", from(testTopic+",other"))
		p.ready(t, 2)
		b.deleteTopic(t, "other")
		require.Eventually(t, func() bool { return len(p.State().Partitions) == 1 }, eventually, soon)
		require.Contains(t, fmt.Sprint(p.Ready(t.Context())), "topic other")
		b.produce(t, 0, 2)
		b.awaitCommitted(t, 0, 2)
	})

	t.Run("MadeAgainWhileItIsRead", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.completes = true
		p := b.start(t, "w1", recommits)
		p.ready(t, 1)
		b.produce(t, 0, 3)
		b.awaitCommitted(t, 0, 3)
		before := p.State().Partitions[0].Epoch
		b.deleteTopic(t, testTopic)
		b.createTopic(t, testTopic, 1)
		b.produceTo(t, testTopic, 0, 5) // further than the old one got
		b.awaitCommitted(t, 0, 3)       // what was committed of the old one lands in the new one
		p.checkTopics(t.Context())
		require.Eventually(t, func() bool {
			ready := eventsOf[events.AssignmentReady](p.events)
			last := ready[len(ready)-1]
			return last.Epoch != before && last.NewEpoch != ""
		}, eventually, soon)
		b.awaitCommitted(t, 0, 5)
		require.Equal(t, upTo(5), b.windows.offsetsOf(p.State().Partitions[0].Epoch))
		all := b.windows.all()
		require.NotEqual(t, all[0].in.TopicID, all[len(all)-1].in.TopicID)
		p.ready(t, 1)
	})
}
