package dlq_test

import (
	"context"
	"crypto/rand"
	"math"
	"strings"
	"testing"
	"time"

	ckafka "github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/sinks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type writerBundle struct {
	brokers string
	writer  *dlq.KafkaWriter
}

func setupWriter(t *testing.T, opts ...kfake.Opt) *writerBundle {
	t.Helper()

	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.SeedTopics(1, "orders_dlq"))...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	b := &writerBundle{brokers: strings.Join(c.ListenAddrs(), ",")}
	b.writer, err = dlq.NewKafkaWriter(config.DLQ{}, config.Kafka{Brokers: b.brokers, SourceTopic: "orders"})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		_ = b.writer.Close(ctx)
	})
	return b
}

// letters are the n records of the dead letter queue.
func (b *writerBundle) letters(t *testing.T, n int) ([]*ckafka.Message, []dlq.Envelope) {
	t.Helper()

	c, err := ckafka.NewConsumer(&ckafka.ConfigMap{"bootstrap.servers": b.brokers, "group.id": "reader", "log_level": 0})
	require.NoError(t, err)
	defer c.Close()
	topic := "orders_dlq"
	_, high, err := c.QueryWatermarkOffsets(topic, 0, 10_000)
	require.NoError(t, err)
	require.EqualValues(t, n, high)
	require.NoError(t, c.Assign([]ckafka.TopicPartition{{Topic: &topic, Offset: 0}}))
	var ms []*ckafka.Message
	var es []dlq.Envelope
	for range n {
		m, err := c.ReadMessage(10 * time.Second)
		require.NoError(t, err)
		e, err := dlq.Decode(m.Value)
		require.NoError(t, err)
		ms, es = append(ms, m), append(es, e)
	}
	return ms, es
}

func noise(n int) drakkar.Bytes {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// letter is a dead letter with something in every part.
func letter() dlq.Envelope {
	return dlq.Envelope{
		V: dlq.Version, ID: "orders~ab12/3/100/t0/0", Kind: dlq.KindPayload, Class: "permanent", Error: "no such table", Attempts: 2,
		Payload: &sinks.Payload{
			ID: "orders~ab12/3/100/t0/0", To: sinks.Ref{Type: sinks.Postgres, Name: "db"}, Value: drakkar.Bytes("\xffvalue"), Target: "t",
		},
		Source: dlq.Source{
			Topic: "orders", TopicID: "ab12", Partition: 3, Offset: 100,
			Key: drakkar.Bytes("\xfekey"), Value: drakkar.Bytes("source"), Headers: []drakkar.Header{{Key: "h", Value: drakkar.Bytes("v")}},
		},
		Task: &dlq.Task{
			Task: drakkar.Task{ID: "3-100-0", Args: []string{"a"}, Stdin: drakkar.Bytes("in")},
			Kind: drakkar.TaskExit, Message: "exit code 2", ExitCode: 2, Stdout: drakkar.Bytes("out"),
		},
	}
}

func TestKafkaWriter(t *testing.T) {
	t.Parallel()

	t.Run("WritesOneRecordALetter", func(t *testing.T) {
		t.Parallel()

		b := setupWriter(t)
		message := dlq.Envelope{V: dlq.Version, ID: "m", Kind: dlq.KindMessage, Class: "parse", Source: dlq.Source{Topic: "orders", Offset: 7}}
		require.NoError(t, b.writer.Check(t.Context()))
		require.NoError(t, b.writer.Write(t.Context(), []dlq.Envelope{letter(), message}))
		require.NoError(t, b.writer.Write(t.Context(), nil))

		ms, es := b.letters(t, 2)
		require.Equal(t, []dlq.Envelope{letter(), message}, es)
		require.Equal(t, []byte("\xfekey"), ms[0].Key)
		require.Nil(t, ms[1].Key)
		text := func(k, v string) ckafka.Header { return ckafka.Header{Key: k, Value: []byte(v)} }
		require.Equal(t, []ckafka.Header{
			text("drakkar-dlq-class", "permanent"), text("drakkar-source-topic", "orders"), text("drakkar-source-partition", "3"),
			text("drakkar-source-offset", "100"), text("drakkar-dlq-sink", "postgres:db"), text("drakkar-id", "orders~ab12/3/100/t0/0"),
		}, ms[0].Headers)
	})

	t.Run("ShrinksWhatIsTooLarge", func(t *testing.T) {
		t.Parallel()

		b := setupWriter(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "10000"}))
		source, payload, task, key, output := letter(), letter(), letter(), letter(), letter()
		source.Source.Value = noise(30_000)
		payload.Payload.Value = noise(30_000)
		task.Task.Task.Args = []string{string(noise(30_000))}
		key.Source.Key = noise(30_000)
		key.Error = strings.Repeat("é", 30_000)
		output.Task.Stdout = append(noise(30_000), "the end"...)
		given := []dlq.Envelope{source, letter(), payload, task, key, output}
		require.NoError(t, b.writer.Write(t.Context(), given))
		require.Len(t, given[0].Source.Value, 30_000, "the caller's letters are left alone")
		require.Len(t, given[5].Task.Stdout, 30_007)

		_, es := b.letters(t, len(given))
		byShape := map[string]dlq.Envelope{}
		for _, e := range es {
			require.Equal(t, letter().ID, e.ID)
			require.Equal(t, letter().Source.Offset, e.Source.Offset)
			switch {
			case e.Source.ValueMissing == "":
				byShape["whole"] = e
			case e.Source.Key == nil:
				byShape["bare"] = e
			case e.PayloadMissing != "" && strings.Contains(e.PayloadMissing, "30000"):
				byShape["payload"] = e
			case e.PayloadMissing != "":
				byShape["task"] = e
			case e.Task.Cut:
				byShape["output"] = e
			default:
				byShape["source"] = e
			}
		}
		require.Len(t, byShape, 6)
		require.Equal(t, letter(), byShape["whole"])

		want := letter()
		want.Source.Value, want.Source.ValueMissing = nil, "too large for the dead letter queue (30000 bytes)"
		require.Equal(t, want, byShape["source"])

		require.Nil(t, byShape["payload"].Payload.Value)
		require.Equal(t, "t", byShape["payload"].Payload.Target)
		require.Nil(t, byShape["task"].Task.Task.Args)
		require.Equal(t, "exit code 2", byShape["task"].Task.Message)
		require.True(t, strings.HasSuffix(string(byShape["output"].Task.Stdout), "the end"))
		require.NotEmpty(t, byShape["output"].Payload.Value)

		bare := byShape["bare"]
		require.Regexp(t, `^é{500,}\.\.\.$`, bare.Error)
		require.Equal(t, "postgres:db", bare.Payload.To.String())
		require.Equal(t, "3-100-0", bare.Task.Task.ID)
	})

	t.Run("LeavesOutWhatCannotBeEncoded", func(t *testing.T) {
		t.Parallel()

		b := setupWriter(t)
		e := letter()
		e.Task.Task.Metadata = map[string]any{"nan": math.NaN()}
		require.NoError(t, b.writer.Write(t.Context(), []dlq.Envelope{e}))
		_, es := b.letters(t, 1)
		require.Equal(t, "3-100-0", es[0].Task.Task.ID)
	})

	t.Run("NamesWhatWasNotWritten", func(t *testing.T) {
		t.Parallel()

		// Too small even for a bare letter.
		b := setupWriter(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "700"}))
		small := dlq.Envelope{V: dlq.Version, ID: "m", Kind: dlq.KindMessage, Class: "parse"}
		large := letter()
		large.Error = string(noise(2000))
		err := b.writer.Write(t.Context(), []dlq.Envelope{large, small, large})
		require.ErrorContains(t, err, "writing to the dead letter queue orders_dlq: ")
		failures := sinks.Failures(3, err)
		require.Len(t, failures, 2)
		for i, f := range failures {
			require.Equal(t, 2*i, f.Index)
			require.Equal(t, sinks.Transient, f.Class)
		}
		b.letters(t, 1)
	})

	t.Run("EachSourceTopicHasItsOwn", func(t *testing.T) {
		t.Parallel()

		b := setupWriter(t, kfake.SeedTopics(1, "returns_dlq"))
		for _, source := range []string{"^(orders|returns)$", "returns,orders"} {
			w, err := dlq.NewKafkaWriter(config.DLQ{}, config.Kafka{Brokers: b.brokers, SourceTopic: source})
			require.NoError(t, err)
			defer func() { _ = w.Close(t.Context()) }()
			require.NoError(t, w.Check(t.Context()))
			other := letter()
			other.Source.Topic = "returns"
			require.NoError(t, w.Write(t.Context(), []dlq.Envelope{other}))
		}
		require.NoError(t, b.writer.Write(t.Context(), []dlq.Envelope{letter()}))
		b.letters(t, 1)
	})

	t.Run("BrokersAway", func(t *testing.T) {
		t.Parallel()

		w, err := dlq.NewKafkaWriter(config.DLQ{Topic: "dead", Brokers: "127.0.0.1:1"}, config.Kafka{Brokers: "127.0.0.1:2", SourceTopic: "orders"})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		require.ErrorContains(t, w.Check(ctx), "checking the dead letter queue dead: ")
		err = w.Write(ctx, []dlq.Envelope{letter(), letter()})
		require.Len(t, sinks.Failures(2, err), 2)
		_ = w.Close(ctx)
		require.NoError(t, w.Close(ctx))
	})
}

func TestIsQueue(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		sources string
		cfg     config.DLQ
		topic   string
		want    bool
	}{
		{"orders", config.DLQ{}, "orders_dlq", true},
		{"orders", config.DLQ{}, "orders", false},
		{"orders", config.DLQ{Topic: "dead"}, "dead", true},
		{"orders", config.DLQ{Topic: "dead"}, "orders_dlq", false},
		{"orders,returns", config.DLQ{}, "returns_dlq", true},
		{"orders,returns", config.DLQ{}, "others_dlq", false},
		{"^ord.*", config.DLQ{}, "orders_dlq", true},
		{"^ord.*", config.DLQ{}, "returns_dlq", false},
		{"orders", config.DLQ{Dir: "/letters"}, "orders_dlq", false},
		{"orders", config.DLQ{Brokers: "other:9092"}, "orders_dlq", false},
		{"orders", config.DLQ{Brokers: "here:9092"}, "orders_dlq", true},
	} {
		got := dlq.IsQueue(tt.cfg, config.Kafka{SourceTopic: tt.sources, Brokers: "here:9092"}, tt.topic)
		require.Equal(t, tt.want, got, "%s of %s, %+v", tt.topic, tt.sources, tt.cfg)
	}
}

func TestTopic(t *testing.T) {
	t.Parallel()

	source := config.Kafka{SourceTopic: "orders"}
	require.Equal(t, "orders_dlq", dlq.Topic(config.DLQ{}, source))
	require.Equal(t, "dead", dlq.Topic(config.DLQ{Topic: "dead"}, source))
	for _, several := range []string{"orders,returns", "^orders.*"} {
		require.Empty(t, dlq.Topic(config.DLQ{}, config.Kafka{SourceTopic: several}))
		require.Equal(t, "dead", dlq.Topic(config.DLQ{Topic: "dead"}, config.Kafka{SourceTopic: several}))
	}
}
