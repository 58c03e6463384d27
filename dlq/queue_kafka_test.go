package dlq_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	ckafka "github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
)

// written writes n letters to the queue of the source, with keys of their own.
func written(t *testing.T, source config.Kafka, n int) (ids []string) {
	t.Helper()

	w, err := dlq.NewKafkaWriter(config.DLQ{}, source)
	require.NoError(t, err)
	defer func() { require.NoError(t, w.Close(t.Context())) }()
	var letters []dlq.Envelope
	for i := range n {
		e := letter()
		e.ID, e.Source.Key = fmt.Sprint("id-", i), drakkar.Bytes(fmt.Sprint("key-", i))
		e.Source.Topic = source.SourceTopic
		letters, ids = append(letters, e), append(ids, e.ID)
	}
	require.NoError(t, w.Write(t.Context(), letters))
	return ids
}

func readAll(t *testing.T, q dlq.Queue) (spans []dlq.Span, got []dlq.Entry) {
	t.Helper()

	spans, err := q.Spans(t.Context())
	require.NoError(t, err)
	require.NoError(t, q.Read(t.Context(), spans, func(e dlq.Entry) error { got = append(got, e); return nil }))
	return spans, got
}

func closed(t *testing.T, q dlq.Queue) {
	t.Helper()
	t.Cleanup(func() { require.NoError(t, q.Close()) })
}

// The whole queue of a real Kafka is read, to the end it had at the beginning.
func TestKafka(t *testing.T) {
	t.Parallel()

	addr := servicestest.Kafka(t)
	topic := fmt.Sprintf("dlq-read-%d", time.Now().UnixNano())
	source := config.Kafka{Brokers: addr, SourceTopic: topic}
	admin, err := ckafka.NewAdminClient(&ckafka.ConfigMap{"bootstrap.servers": addr})
	require.NoError(t, err)
	defer admin.Close()
	servicestest.MakeTopics(t, admin, ckafka.TopicSpecification{Topic: topic + "_dlq", NumPartitions: 5, ReplicationFactor: 1})
	ids := written(t, source, 500)

	q, err := dlq.OpenQueue(t.Context(), config.DLQ{}, source, dlq.ReadOptions{})
	require.NoError(t, err)
	closed(t, q)
	require.Regexp(t, `^`+topic+`_dlq~[\w/+-]{22}$`, q.Name())
	spans, err := q.Spans(t.Context())
	require.NoError(t, err)
	require.Len(t, spans, 5)

	// What comes while it is read is not read, although reading takes longer.
	written(t, source, 100)
	next := map[string]int64{}
	var got []string
	require.NoError(t, q.Read(t.Context(), spans, func(e dlq.Entry) error {
		require.NoError(t, e.Err)
		require.Equal(t, next[e.At.Log], e.At.Offset, "those of one partition are in order")
		next[e.At.Log] = e.Next
		got = append(got, e.Envelope.ID)
		return nil
	}))
	slices.Sort(got)
	slices.Sort(ids)
	require.Equal(t, ids, got)
	for _, s := range spans {
		require.Equal(t, s.To, next[s.Log])
	}

	// A part of it, and again all of it, with the same consumer.
	s := spans[2]
	s.From = s.To - 1
	got = nil
	require.NoError(t, q.Read(t.Context(), []dlq.Span{s, {Log: spans[0].Log}}, func(e dlq.Entry) error {
		require.Equal(t, dlq.Position{Log: s.Log, Offset: s.From}, e.At)
		got = append(got, e.Envelope.ID)
		return nil
	}))
	require.Len(t, got, 1)
	_, all := readAll(t, q)
	require.Len(t, all, 600)
	enough := errors.New("enough")
	require.ErrorIs(t, q.Read(t.Context(), spans, func(dlq.Entry) error { return enough }), enough)
	require.ErrorContains(t, q.Read(t.Context(), []dlq.Span{{Log: "nonsense", To: 1}}, nil), "is no partition")
}

// Gaps at the end, as transactions and compaction leave them, do not keep it
// from ending.
func TestKafka_EndsBehindGaps(t *testing.T) {
	t.Parallel()

	addr := servicestest.Kafka(t)
	topic := fmt.Sprintf("dlq-gaps-%d", time.Now().UnixNano())
	admin, err := ckafka.NewAdminClient(&ckafka.ConfigMap{"bootstrap.servers": addr})
	require.NoError(t, err)
	defer admin.Close()
	servicestest.MakeTopics(t, admin, ckafka.TopicSpecification{Topic: topic, NumPartitions: 2, ReplicationFactor: 1})
	p, err := ckafka.NewProducer(&ckafka.ConfigMap{"bootstrap.servers": addr, "transactional.id": topic, "log_level": 0})
	require.NoError(t, err)
	defer p.Close()
	require.NoError(t, p.InitTransactions(t.Context()))
	require.NoError(t, p.BeginTransaction())
	require.NoError(t, p.Produce(&ckafka.Message{TopicPartition: ckafka.TopicPartition{Topic: &topic, Partition: 1}, Value: []byte("no letter")}, nil))
	require.NoError(t, p.CommitTransaction(t.Context())) // its marker takes an offset

	q, err := dlq.OpenKafka(t.Context(), config.DLQ{Topic: topic, Brokers: addr}, config.Kafka{Brokers: "127.0.0.1:1"}, dlq.ReadOptions{Timeout: 20 * time.Second})
	require.NoError(t, err)
	closed(t, q)
	require.Eventually(t, func() bool {
		spans, err := q.Spans(t.Context())
		return err == nil && spans[1].To == 2
	}, time.Minute, 20*time.Millisecond, "the marker comes a moment later")
	_, got := readAll(t, q)
	require.Len(t, got, 1)
	require.ErrorContains(t, got[0].Err, "reading "+topic+"/1@0: decoding dead letter: ")
}

// Offsets that expired are no error, and a partition that became shorter is.
func TestKafka_ExpiredAndLost(t *testing.T) {
	t.Parallel()

	addr := servicestest.Kafka(t)
	topic := fmt.Sprintf("dlq-expired-%d", time.Now().UnixNano())
	source := config.Kafka{Brokers: addr, SourceTopic: topic}
	queue := topic + "_dlq"
	admin, err := ckafka.NewAdminClient(&ckafka.ConfigMap{"bootstrap.servers": addr})
	require.NoError(t, err)
	defer admin.Close()
	servicestest.MakeTopics(t, admin, ckafka.TopicSpecification{Topic: queue, NumPartitions: 1, ReplicationFactor: 1})
	written(t, source, 10)
	q, err := dlq.OpenKafka(t.Context(), config.DLQ{}, source, dlq.ReadOptions{})
	require.NoError(t, err)
	closed(t, q)
	spans, err := q.Spans(t.Context())
	require.NoError(t, err)
	_, err = admin.DeleteRecords(t.Context(), []ckafka.TopicPartition{{Topic: &queue, Partition: 0, Offset: 4}})
	require.NoError(t, err)
	n := 0
	require.NoError(t, q.Read(t.Context(), spans, func(dlq.Entry) error { n++; return nil }))
	require.Equal(t, 6, n)

	spans[0].To = 12
	require.ErrorContains(t, q.Read(t.Context(), spans, func(dlq.Entry) error { return nil }), "ends at offset 10, and ended at 12 a moment ago")
}

func TestKafka_Topics(t *testing.T) {
	t.Parallel()

	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders_dlq", "returns_dlq", "other", "other_dlq", "orders"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	brokers := strings.Join(c.ListenAddrs(), ",")
	for name, test := range map[string]struct {
		dlq    config.DLQ
		source string
		logs   []string
		warned string
		err    string
	}{
		"One":           {source: "orders", logs: []string{"orders_dlq/0"}},
		"Named":         {dlq: config.DLQ{Topic: "other"}, source: "^.*", logs: []string{"other/0"}},
		"OfEach":        {source: "orders,returns", logs: []string{"orders_dlq/0", "returns_dlq/0"}},
		"OfPattern":     {source: "^o,returns", logs: []string{"orders_dlq/0", "other_dlq/0", "returns_dlq/0"}},
		"OneIsNotThere": {source: "orders,new", logs: []string{"orders_dlq/0"}, warned: "there is no topic new_dlq: it is left out"},
		"NoneIsThere":   {source: "new", err: "opening the dead letter queue on " + brokers + ": there is no topic new_dlq: nothing was dead-lettered yet"},
		"NoMatch":       {source: "^new", err: "nothing was dead-lettered yet"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var warned []string
			q, err := dlq.OpenKafka(t.Context(), test.dlq, config.Kafka{Brokers: brokers, SourceTopic: test.source},
				dlq.ReadOptions{Warn: func(m string) { warned = append(warned, m) }})
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			closed(t, q)
			spans, got := readAll(t, q)
			require.Empty(t, got, "an empty queue ends at once")
			var logs []string
			for _, s := range spans {
				logs = append(logs, s.Log)
			}
			require.Equal(t, test.logs, logs)
			require.Equal(t, test.warned, strings.Join(warned, ""))
		})
	}
}

// Brokers that are away are an error that names them and why, in the time given;
// so are brokers that go away while the queue is read.
func TestKafka_Away(t *testing.T) {
	t.Parallel()

	source := config.Kafka{Brokers: "127.0.0.1:1", SourceTopic: "orders"}
	_, err := dlq.OpenKafka(t.Context(), config.DLQ{}, source, dlq.ReadOptions{Timeout: 300 * time.Millisecond})
	require.ErrorContains(t, err, "opening the dead letter queue on 127.0.0.1:1: asking for its topics: ")
	require.ErrorContains(t, err, "refused")

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("a signal"))
	_, err = dlq.OpenKafka(ctx, config.DLQ{}, source, dlq.ReadOptions{Timeout: time.Minute})
	require.ErrorContains(t, err, "a signal")

	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders_dlq"))
	require.NoError(t, err)
	defer c.Close()
	source.Brokers = strings.Join(c.ListenAddrs(), ",")
	written(t, source, 3)
	q, err := dlq.OpenKafka(t.Context(), config.DLQ{}, source, dlq.ReadOptions{Timeout: 500 * time.Millisecond})
	require.NoError(t, err)
	closed(t, q)
	spans, err := q.Spans(t.Context())
	require.NoError(t, err)
	c.Close()
	err = q.Read(t.Context(), spans, func(dlq.Entry) error { return nil })
	require.ErrorContains(t, err, source.Brokers+" sent nothing for 500ms, and 1 partitions are not read to their end")
	_, err = q.Spans(t.Context())
	require.ErrorContains(t, err, "for the offsets of orders_dlq/0")
}
