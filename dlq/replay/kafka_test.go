package replay

import (
	"fmt"
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
)

// messages reads all records of a topic.
func messages(t *testing.T, brokers, topic string) (out []*kafka.Message) {
	t.Helper()

	c, err := kafka.NewConsumer(&kafka.ConfigMap{"bootstrap.servers": brokers, "group.id": topic, "enable.partition.eof": true})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Assign([]kafka.TopicPartition{{Topic: &topic, Partition: 0, Offset: 0}, {Topic: &topic, Partition: 1, Offset: 0}}))
	for ends := 0; ends < 2; {
		switch e := c.Poll(10_000).(type) {
		case *kafka.Message:
			out = append(out, e)
		case kafka.PartitionEOF:
			ends++
		}
	}
	return out
}

func headers(m *kafka.Message) (out []drakkar.Header) {
	for _, h := range m.Headers {
		out = append(out, drakkar.Header{Key: h.Key, Value: h.Value})
	}
	return out
}

// The message comes out as it went in, byte for byte and in its partition, with
// headers that say what it is; once, however many dead letters there are of it.
func TestRun_ToKafka(t *testing.T) {
	t.Parallel()

	addr := servicestest.Kafka(t)
	source := config.Kafka{Brokers: addr, SourceTopic: fmt.Sprintf("replay-%d", time.Now().UnixNano())}
	other := source.SourceTopic + "-other"
	admin, err := kafka.NewAdminClient(&kafka.ConfigMap{"bootstrap.servers": addr})
	require.NoError(t, err)
	defer admin.Close()
	servicestest.MakeTopics(t, admin,
		kafka.TopicSpecification{Topic: source.SourceTopic, NumPartitions: 2, ReplicationFactor: 1},
		kafka.TopicSpecification{Topic: other, NumPartitions: 2, ReplicationFactor: 1},
	)
	text := func(k, v string) drakkar.Header { return drakkar.Header{Key: k, Value: drakkar.Bytes(v)} }
	first := dlq.Envelope{ID: "first", Kind: dlq.KindTask, Source: dlq.Source{
		Topic: source.SourceTopic, Partition: 1, Offset: 7, Key: drakkar.Bytes("\xffkey"), Value: drakkar.Bytes("\xfevalue"),
		Headers: []drakkar.Header{text("h", "1"), text("drakkar-id", "of another pipeline"), text("h", "\xff"), text(HeaderReplayHops, "2"), text(HeaderReplayOf, "before")},
	}}
	again, tombstone, reduced := first, first, first
	again.ID = "second letter of the same message"
	tombstone.ID, tombstone.Source.Offset, tombstone.Source.Value, tombstone.Source.Headers = "tombstone", 8, nil, nil
	reduced.ID, reduced.Source.Offset, reduced.Source.Value, reduced.Source.ValueMissing = "reduced", 9, nil, "too large"
	b := setup(t, first, again, tombstone, reduced)

	for _, test := range []struct {
		target *Target
		topic  string
	}{{ToSource(source), source.SourceTopic}, {ToTopic(other, source), other}} {
		rep, err := b.run(t, func(o *Options) { o.Target = test.target })
		require.NoError(t, err)
		require.Equal(t, Report{Counts: Counts{Selected: 4, Replayed: 2, Doubles: 1, Refused: 1}, Complete: true}, rep)
		got := messages(t, addr, test.topic)
		require.Len(t, got, 2)
		if test.topic == source.SourceTopic {
			require.EqualValues(t, 1, got[0].TopicPartition.Partition)
			require.EqualValues(t, 1, got[1].TopicPartition.Partition)
		}
		lines := b.audit(t)
		at := ""
		for _, l := range lines {
			if l.ID == "first" {
				at = l.At.String()
				require.Equal(t, 3, l.Hops)
			}
		}
		require.Equal(t, []byte("\xffkey"), got[0].Key)
		require.Equal(t, []byte("\xfevalue"), got[0].Value)
		require.Equal(t, []drakkar.Header{
			text("h", "1"), text("h", "\xff"), text(HeaderReplayOf, "first"), text(HeaderReplayFrom, at), text(HeaderReplayHops, "3"),
			text("drakkar-id", "of another pipeline"),
		}, headers(got[0]))
		require.Nil(t, got[1].Value)
		require.Equal(t, text("drakkar-id", "tombstone"), headers(got[1])[3])
		require.Equal(t, text(HeaderReplayHops, "1"), headers(got[1])[2])
	}
}

func TestHops(t *testing.T) {
	t.Parallel()

	for value, want := range map[string]int{"": 0, "x": 0, "-3": 0, "4": 4} {
		e := dlq.Envelope{Source: dlq.Source{Headers: []drakkar.Header{{Key: HeaderReplayHops, Value: drakkar.Bytes(value)}, {Key: "h"}}}}
		require.Equal(t, want, Hops(e))
	}
	require.Zero(t, Hops(dlq.Envelope{}))
}
