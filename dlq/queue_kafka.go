package dlq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	ckafka "github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks/kafka"
)

var _ Queue = (*Kafka)(nil)

// pollSlice bounds each call of the client, and so how late it sees that its
// context has ended.
const pollSlice = 100 * time.Millisecond

// Kafka is a queue in one or several topics. It is no member of a group and
// commits nothing.
type Kafka struct {
	brokers  string
	consumer *ckafka.Consumer
	opts     ReadOptions
	topics   map[string][]int32 // the partitions of each
	ids      []string
	last     error // what the client said last, nil once records come
}

// OpenKafka connects and finds the topics of the queue. With several source
// topics, and none for all dead letters, there is one for each; those that are
// not there yet are left out, with a warning.
func OpenKafka(ctx context.Context, cfg config.DLQ, source config.Kafka, opts ReadOptions) (*Kafka, error) {
	brokers, security := source.Brokers, source.Security
	if cfg.Brokers != "" {
		brokers, security = cfg.Brokers, cfg.Security
	}
	m := kafka.SecurityProperties(security)
	maps.Copy(m, ckafka.ConfigMap{
		"bootstrap.servers":        brokers,
		"client.id":                "drakkar-dlq",
		"group.id":                 "drakkar-dlq", // asked for by the client, and never joined
		"enable.auto.commit":       false,
		"enable.auto.offset.store": false,
		"auto.offset.reset":        "earliest", // what expires while it is read is gone
		"isolation.level":          "read_uncommitted",
		"enable.partition.eof":     true,
		"enable.metrics.push":      false,
		"log_level":                0, // its errors come as events
	})
	consumer, err := ckafka.NewConsumer(&m)
	if err != nil {
		return nil, fmt.Errorf("making the dead letter queue's consumer: %w", err)
	}
	q := &Kafka{brokers: brokers, consumer: consumer, opts: opts.withDefaults()}
	if err := q.find(ctx, cfg, source); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the dead letter queue on %s: %w", brokers, err), consumer.Close())
	}
	return q, nil
}

// find finds the topics and their partitions. It asks for all topics, since
// asking for one by its name can make it.
func (q *Kafka) find(ctx context.Context, cfg config.DLQ, source config.Kafka) error {
	var md *ckafka.Metadata
	err := q.ask(ctx, func(timeoutMS int) (err error) {
		md, err = q.consumer.GetMetadata(nil, true, timeoutMS)
		return err
	})
	if err != nil {
		return fmt.Errorf("asking for its topics: %w", err)
	}
	q.topics = map[string][]int32{}
	wanted := queueTopics(cfg, source, slices.Collect(maps.Keys(md.Topics)))
	for _, topic := range wanted {
		t, ok := md.Topics[topic]
		if !ok || t.Error.Code() == ckafka.ErrUnknownTopicOrPart {
			if len(wanted) > 1 {
				q.opts.Warn("there is no topic " + topic + ": it is left out")
			}
			continue
		}
		if t.Error.Code() != ckafka.ErrNoError {
			return fmt.Errorf("asking for topic %s: %w", topic, t.Error)
		}
		for _, p := range t.Partitions {
			q.topics[topic] = append(q.topics[topic], p.ID)
		}
		slices.Sort(q.topics[topic])
	}
	if len(q.topics) == 0 {
		return fmt.Errorf("there is no topic %s: %w", strings.Join(wanted, " or "), errEmpty)
	}
	return q.identify(ctx)
}

// queueTopics are the names of the topics that dead letters go to. Those of
// source topics that are patterns are found among those that exist.
func queueTopics(cfg config.DLQ, source config.Kafka, existing []string) []string {
	if topic := Topic(cfg, source); topic != "" {
		return []string{topic}
	}
	var out []string
	for _, name := range source.Topics() {
		re, ok := config.TopicPattern(name)
		if !ok {
			out = append(out, cfg.TopicOf(name))
			continue
		}
		for _, topic := range existing {
			if source, ok := strings.CutSuffix(topic, config.DLQSuffix); ok && re.MatchString(source) {
				out = append(out, topic)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// IsQueue reports whether dead letters go to the topic of the source's brokers.
func IsQueue(cfg config.DLQ, source config.Kafka, topic string) bool {
	if cfg.Dir != "" || cfg.Brokers != "" && cfg.Brokers != source.Brokers {
		return false
	}
	return slices.Contains(queueTopics(cfg, source, []string{topic}), topic)
}

// identify learns the ids of the topics. Old brokers know none.
func (q *Kafka) identify(ctx context.Context) error {
	admin, err := ckafka.NewAdminClientFromConsumer(q.consumer)
	if err != nil {
		return fmt.Errorf("making an admin client: %w", err)
	}
	defer admin.Close()
	ctx, cancel := context.WithTimeout(ctx, q.opts.Timeout)
	defer cancel()
	topics := slices.Sorted(maps.Keys(q.topics))
	res, err := admin.DescribeTopics(ctx, ckafka.NewTopicCollectionOfTopicNames(topics))
	if err != nil {
		return fmt.Errorf("asking for the ids of its topics: %w", err)
	}
	for _, d := range res.TopicDescriptions {
		if d.Error.Code() != ckafka.ErrNoError {
			return fmt.Errorf("asking for the id of topic %s: %w", d.Name, d.Error)
		}
		q.ids = append(q.ids, d.Name+"~"+d.TopicID.String())
	}
	slices.Sort(q.ids)
	return nil
}

// Name implements Queue. It holds the topics' ids.
func (q *Kafka) Name() string { return strings.Join(q.ids, ",") }

// Spans implements Queue.
func (q *Kafka) Spans(ctx context.Context) ([]Span, error) {
	var spans []Span
	for _, topic := range slices.Sorted(maps.Keys(q.topics)) {
		for _, p := range q.topics[topic] {
			s := Span{Log: logOf(topic, p)}
			err := q.ask(ctx, func(timeoutMS int) (err error) {
				s.From, s.To, err = q.consumer.QueryWatermarkOffsets(topic, p, timeoutMS)
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("asking %s for the offsets of %s: %w", q.brokers, s.Log, err)
			}
			spans = append(spans, s)
		}
	}
	return spans, nil
}

func logOf(topic string, partition int32) string { return topic + "/" + strconv.Itoa(int(partition)) }

// ask repeats a request until it is answered, the timeout is over, or asking
// again is of no use.
func (q *Kafka) ask(ctx context.Context, request func(timeoutMS int) error) error {
	const slice = time.Second
	for begun := time.Now(); ; {
		err := request(int(min(slice, q.opts.Timeout).Milliseconds()))
		if err == nil {
			return nil
		}
		if e := q.heard(q.consumer.Poll(0)); e != nil {
			return e
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !passes(err) || time.Since(begun) >= q.opts.Timeout {
			return errors.Join(err, q.last)
		}
	}
}

// passes reports whether an error of a request may be gone the next time.
func passes(err error) bool {
	var kerr ckafka.Error
	if !errors.As(err, &kerr) {
		return false
	}
	switch kerr.Code() {
	case ckafka.ErrTransport, ckafka.ErrTimedOut, ckafka.ErrAllBrokersDown, ckafka.ErrLeaderNotAvailable, ckafka.ErrNotLeaderForPartition,
		ckafka.ErrBrokerNotAvailable, ckafka.ErrResolve:
		return true
	}
	return kerr.IsRetriable()
}

// heard keeps what the client says about itself. It returns an error after which
// waiting is of no use.
func (q *Kafka) heard(ev ckafka.Event) error {
	kerr, ok := ev.(ckafka.Error)
	if !ok {
		return nil
	}
	q.last = kerr
	switch kerr.Code() {
	case ckafka.ErrAuthentication, ckafka.ErrSaslAuthenticationFailed, ckafka.ErrTopicAuthorizationFailed, ckafka.ErrFatal, ckafka.ErrSsl:
		return kerr
	}
	return nil
}

// Read implements Queue. Partitions are read side by side.
func (q *Kafka) Read(ctx context.Context, spans []Span, f func(Entry) error) (err error) {
	left := map[string]Span{}
	var parts []ckafka.TopicPartition
	for _, s := range spans {
		if s.From >= s.To {
			continue
		}
		topic, p, err := partitionOf(s.Log)
		if err != nil {
			return err
		}
		left[s.Log] = s
		parts = append(parts, ckafka.TopicPartition{Topic: &topic, Partition: p, Offset: ckafka.Offset(s.From)})
	}
	if len(parts) == 0 {
		return nil
	}
	if err := q.consumer.Assign(parts); err != nil {
		return fmt.Errorf("assigning partitions of the dead letter queue: %w", err)
	}
	defer func() { err = errors.Join(err, q.consumer.Unassign()) }()
	// Pauses of a reading before this one outlive its assignment.
	if err := q.consumer.Resume(parts); err != nil {
		return fmt.Errorf("resuming partitions of the dead letter queue: %w", err)
	}
	return q.poll(ctx, left, f)
}

// poll reads until nothing of the spans is left.
func (q *Kafka) poll(ctx context.Context, left map[string]Span, f func(Entry) error) error {
	for quiet := time.Duration(0); len(left) > 0; {
		if ctx.Err() != nil {
			return fmt.Errorf("reading the dead letter queue: %w", context.Cause(ctx))
		}
		begun := time.Now() // f may take its time, and that is not the brokers'
		ev := q.consumer.Poll(int(pollSlice.Milliseconds()))
		took := time.Since(begun)
		moved, err := q.take(ev, left, f)
		if err != nil {
			return err
		}
		if quiet += took; moved {
			quiet = 0
		}
		if quiet >= q.opts.Timeout {
			err := fmt.Errorf("reading the dead letter queue: %s sent nothing for %s, and %d partitions are not read to their end",
				q.brokers, q.opts.Timeout, len(left))
			return errors.Join(err, q.last)
		}
	}
	return nil
}

// take works on one event. Moved says that the event brings the end nearer.
func (q *Kafka) take(ev ckafka.Event, left map[string]Span, f func(Entry) error) (moved bool, err error) {
	switch e := ev.(type) {
	case *ckafka.Message:
		if e.TopicPartition.Error != nil {
			if kerr, ok := errors.AsType[ckafka.Error](e.TopicPartition.Error); ok {
				return false, q.heard(kerr)
			}
			return false, e.TopicPartition.Error
		}
		return true, q.record(e, left, f)
	case ckafka.PartitionEOF:
		log := logOf(*e.Topic, e.Partition)
		s, ok := left[log]
		if ok && int64(e.Offset) < s.To {
			return false, fmt.Errorf("reading the dead letter queue: %s ends at offset %d, and ended at %d a moment ago: "+
				"it lost records, or was made again", log, e.Offset, s.To)
		}
		delete(left, log)
		return true, nil
	}
	return false, q.heard(ev)
}

func (q *Kafka) record(m *ckafka.Message, left map[string]Span, f func(Entry) error) error {
	q.last = nil
	log, offset := logOf(*m.TopicPartition.Topic, m.TopicPartition.Partition), int64(m.TopicPartition.Offset)
	s, ok := left[log]
	if !ok {
		return nil // it came behind the end
	}
	if offset < s.To {
		if err := f(entry(Position{Log: log, Offset: offset}, offset+1, m.Value)); err != nil {
			return err
		}
	}
	if offset < s.To-1 {
		return nil
	}
	delete(left, log)
	// New dead letters may keep coming: they are not fetched for nothing.
	if err := q.consumer.Pause([]ckafka.TopicPartition{m.TopicPartition}); err != nil {
		return fmt.Errorf("pausing %s: %w", log, err)
	}
	return nil
}

// partitionOf is the inverse of logOf.
func partitionOf(log string) (topic string, partition int32, err error) {
	i := strings.LastIndexByte(log, '/')
	n, err := strconv.ParseInt(log[i+1:], 10, 32)
	if i < 1 || err != nil {
		return "", 0, fmt.Errorf("%q is no partition of a dead letter queue", log)
	}
	return log[:i], int32(n), nil
}

// Close implements Queue.
func (q *Kafka) Close() error {
	if err := q.consumer.Close(); err != nil {
		return fmt.Errorf("closing the dead letter queue's consumer: %w", err)
	}
	return nil
}
