package dlq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	ckafka "github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/kafka"
)

// Headers of a dead letter's record, besides the drakkar-id of every record.
// Numbers are written in decimal.
const (
	HeaderClass           = "drakkar-dlq-class"
	HeaderSink            = "drakkar-dlq-sink" // type:name; only for payloads
	HeaderSourceTopic     = "drakkar-source-topic"
	HeaderSourcePartition = "drakkar-source-partition"
	HeaderSourceOffset    = "drakkar-source-offset"
)

// Writer takes dead letters.
type Writer interface {
	// Write returns nil only when every dead letter is durable. An error that
	// wraps a *sinks.DeliverError names those that may not be; after any other
	// error all may not be. The caller writes them again, for as long as it
	// takes, and offsets wait meanwhile. A dead letter of any size can be
	// written.
	Write(ctx context.Context, letters []Envelope) error

	// Check tells without writing whether the other side answers.
	Check(ctx context.Context) error

	// Close gives back what the writer holds, waiting no longer than ctx. It
	// may be called twice.
	Close(ctx context.Context) error
}

var (
	_ Writer = (*KafkaWriter)(nil)
	_ Writer = (*FileWriter)(nil)
)

// NewWriter makes the writer that cfg asks for: of files when it names a
// directory, else of Kafka. Worker is the name of the process.
func NewWriter(cfg config.DLQ, source config.Kafka, worker string) (Writer, error) {
	if cfg.Dir != "" {
		return NewFileWriter(cfg.Dir, worker, cfg.MaxFileBytes)
	}
	return NewKafkaWriter(cfg, source)
}

// KafkaWriter writes dead letters to a Kafka topic, or to one for each source
// topic.
type KafkaWriter struct {
	topic string // of all letters; empty when each goes to that of its source
	check bool   // a topic is known that can be asked for
	sink  *kafka.Sink
}

// Topic is the topic of all dead letters. It is empty when there are several
// source topics and cfg names none: then each letter goes to the topic of its
// own source, see [config.DLQ.TopicOf].
func Topic(cfg config.DLQ, source config.Kafka) string {
	if cfg.Topic != "" {
		return cfg.Topic
	}
	if topics := source.Topics(); len(topics) == 1 && !source.HasPattern() {
		return cfg.TopicOf(topics[0])
	}
	return ""
}

// checked is a topic that dead letters may go to and whose name is known.
func checked(cfg config.DLQ, source config.Kafka) (topic string, ok bool) {
	for _, name := range source.Topics() {
		if !strings.HasPrefix(name, "^") {
			return cfg.TopicOf(name), true
		}
	}
	return cfg.TopicOf("source"), cfg.Topic != ""
}

// NewKafkaWriter makes a writer. Brokers and their security are those of the
// source unless cfg names brokers of its own.
func NewKafkaWriter(cfg config.DLQ, source config.Kafka) (*KafkaWriter, error) {
	w := &KafkaWriter{topic: Topic(cfg, source)}
	var topic string
	topic, w.check = checked(cfg, source)
	brokers, security := source.Brokers, source.Security
	if cfg.Brokers != "" {
		brokers, security = cfg.Brokers, cfg.Security
	}
	sink, err := kafka.New("dlq", config.KafkaSink{
		Topic: topic, Brokers: brokers, Security: security, Compression: "lz4",
	}, source)
	if err != nil {
		return nil, fmt.Errorf("making the dead letter queue's producer: %w", err)
	}
	w.sink = sink
	return w, nil
}

// Write implements Writer. A dead letter which the broker finds too large is
// written again with less in it, and says so.
func (w *KafkaWriter) Write(ctx context.Context, letters []Envelope) error {
	attempt := slices.Clone(letters)
	which := make([]int, len(letters))
	for i := range which {
		which[i] = i
	}
	var failures []sinks.Failure
	for level := 0; len(which) > 0; level++ {
		tooLarge, failed := w.writeOnce(ctx, attempt, which)
		failures = append(failures, failed...)
		if level == len(reductions) {
			failures = append(failures, tooLarge...)
			break
		}
		which = which[:0]
		for _, f := range tooLarge {
			attempt[f.Index] = reductions[level](letters[f.Index])
			which = append(which, f.Index) //nolint:makezero // it was emptied above
		}
	}
	if len(failures) == 0 {
		return nil
	}
	slices.SortFunc(failures, func(a, b sinks.Failure) int { return cmp.Compare(a.Index, b.Index) })
	return fmt.Errorf("writing to the dead letter queue %s: %w", w.name(), &sinks.DeliverError{Failures: failures})
}

// Check implements Writer. Of several topics it asks for one, and for none when
// no name of a source topic is known.
func (w *KafkaWriter) Check(ctx context.Context) error {
	if !w.check {
		return nil
	}
	if err := w.sink.Check(ctx); err != nil {
		return fmt.Errorf("checking the dead letter queue %s: %w", w.name(), err)
	}
	return nil
}

// name is the queue in words.
func (w *KafkaWriter) name() string { return cmp.Or(w.topic, "of each source topic") }

// Close implements Writer.
func (w *KafkaWriter) Close(ctx context.Context) error { return w.sink.Close(ctx) }

// writeOnce writes the letters of the given indices. It returns those that must
// become smaller apart from those that failed otherwise.
func (w *KafkaWriter) writeOnce(ctx context.Context, letters []Envelope, which []int) (tooLarge, failed []sinks.Failure) {
	var batch []sinks.Payload
	var sent []int
	for _, i := range which {
		p, err := record(letters[i])
		if err != nil { // with less in it, it can be encoded
			tooLarge = append(tooLarge, sinks.Failure{Index: i, Err: err})
			continue
		}
		if w.topic == "" {
			p.Topic = config.DLQ{}.TopicOf(letters[i].Source.Topic)
		}
		batch = append(batch, p)
		sent = append(sent, i)
	}
	for _, f := range sinks.Failures(len(batch), w.sink.Deliver(ctx, batch)) {
		// Whatever Kafka thinks of it, a dead letter is tried again.
		failure := sinks.Failure{Index: sent[f.Index], Class: sinks.Transient, Err: f.Err}
		if isTooLarge(f.Err) {
			tooLarge = append(tooLarge, failure)
		} else {
			failed = append(failed, failure)
		}
	}
	return tooLarge, failed
}

func isTooLarge(err error) bool {
	var kerr ckafka.Error
	return errors.As(err, &kerr) && (kerr.Code() == ckafka.ErrMsgSizeTooLarge || kerr.Code() == ckafka.ErrRecordListTooLarge)
}

// record is the Kafka record of a dead letter.
func record(e Envelope) (sinks.Payload, error) {
	value, err := e.Encode()
	if err != nil {
		return sinks.Payload{}, err
	}
	header := func(key, value string) drakkar.Header {
		return drakkar.Header{Key: key, Value: drakkar.Bytes(value)}
	}
	headers := []drakkar.Header{
		header(HeaderClass, e.Class),
		header(HeaderSourceTopic, e.Source.Topic),
		header(HeaderSourcePartition, strconv.Itoa(int(e.Source.Partition))),
		header(HeaderSourceOffset, strconv.FormatInt(e.Source.Offset, 10)),
	}
	if e.Payload != nil {
		headers = append(headers, header(HeaderSink, e.Payload.To.String()))
	}
	return sinks.Payload{ID: e.ID, Value: value, Key: e.Source.Key, Headers: headers}, nil
}
