package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/kafka"
)

// Headers of a record that is a replay, beside those the message had.
const (
	// HeaderReplayOf is the id of the dead letter.
	HeaderReplayOf = "drakkar-replay-of"
	// HeaderReplayFrom is the position of the dead letter in its queue.
	HeaderReplayFrom = "drakkar-replay-from"
	// HeaderReplayHops is how often the message was replayed, this time
	// included. One that keeps rising is going round in circles.
	HeaderReplayHops = "drakkar-replay-hops"
)

// Hops is how often the message was replayed before it became this dead letter.
func Hops(e dlq.Envelope) int {
	for _, h := range slices.Backward(e.Source.Headers) {
		if h.Key == HeaderReplayHops {
			n, _ := strconv.Atoi(string(h.Value))
			return max(0, n)
		}
	}
	return 0
}

// targetSink is the name of the target of ToSink.
const targetSink = "sink"

// Target is where dead letters are replayed to.
type Target struct {
	name    string
	prepare func(dlq.Entry) (item, error)
	open    func(context.Context, sinks.Ref) (*sinks.Set, error)
	sets    map[sinks.Ref]*sinks.Set
}

// item is a dead letter on its way.
type item struct {
	entry   dlq.Entry
	payload sinks.Payload
	// once is what is replayed one time only, however many dead letters of it
	// are in the queue.
	once string
}

// Name is the target in words, the same for each run.
func (t *Target) Name() string { return t.name }

// Sinks opens the sinks of the configuration.
type Sinks struct {
	// Configured reports whether there is a sink of that name.
	Configured func(sinks.Ref) bool
	// Open opens that sink, alone.
	Open func(context.Context, sinks.Ref) (*sinks.Set, error)
}

// ToSink replays payloads to the sink that each of them failed at, under the id
// they had: where the sink recognises ids, what did arrive is not doubled.
func ToSink(s Sinks) *Target {
	return &Target{name: targetSink, open: s.Open, sets: map[sinks.Ref]*sinks.Set{}, prepare: func(e dlq.Entry) (item, error) {
		p := e.Envelope.Payload
		switch {
		case e.Envelope.Kind != dlq.KindPayload:
			return item{}, fmt.Errorf("it is a %s and failed at no sink: replay it to the source", e.Envelope.Kind)
		case e.Envelope.PayloadMissing != "":
			return item{}, fmt.Errorf("its payload was left out: %s", e.Envelope.PayloadMissing)
		case !s.Configured(p.To):
			return item{}, fmt.Errorf("sinks.%s.%s is not configured", p.To.Type, p.To.Name)
		}
		return item{entry: e, payload: *p, once: p.To.String() + " " + p.ID}, nil
	}}
}

// ToSource replays messages to the topics and partitions they came from.
func ToSource(source config.Kafka) *Target {
	return toKafka("source", source, func(e dlq.Envelope, p *sinks.Payload) {
		// The same key may belong to another partition for another producer.
		partition := e.Source.Partition
		p.Topic, p.Partition = e.Source.Topic, &partition
	})
}

// ToTopic replays messages to another topic on the source's brokers. The key
// chooses the partition.
func ToTopic(topic string, source config.Kafka) *Target {
	return toKafka("topic:"+topic, source, func(_ dlq.Envelope, p *sinks.Payload) { p.Topic = topic })
}

func toKafka(name string, source config.Kafka, route func(dlq.Envelope, *sinks.Payload)) *Target {
	ref := sinks.Ref{Type: sinks.Kafka, Name: "replay"}
	return &Target{
		name: name, sets: map[sinks.Ref]*sinks.Set{},
		open: func(context.Context, sinks.Ref) (*sinks.Set, error) { return openKafka(ref, source) },
		prepare: func(e dlq.Entry) (item, error) {
			if e.Envelope.Source.ValueMissing != "" {
				return item{}, fmt.Errorf("its message was left out: %s", e.Envelope.Source.ValueMissing)
			}
			p := record(e)
			p.To = ref
			route(e.Envelope, &p)
			src := e.Envelope.Source
			return item{entry: e, payload: p, once: fmt.Sprintf("%s~%s/%d/%d", src.Topic, src.TopicID, src.Partition, src.Offset)}, nil
		},
	}
}

// record is the message behind a dead letter, as it was, with headers that tell
// it from the first one.
func record(e dlq.Entry) sinks.Payload {
	src := e.Envelope.Source
	// The sink writes an id into each record. A message that came with one, from
	// another pipeline, keeps it.
	id := e.Envelope.ID
	var headers []drakkar.Header
	for _, h := range src.Headers {
		switch h.Key {
		case kafka.HeaderID:
			id = string(h.Value)
		case HeaderReplayOf, HeaderReplayFrom, HeaderReplayHops: // of the replay before
		default:
			headers = append(headers, h)
		}
	}
	headers = append(headers,
		drakkar.Header{Key: HeaderReplayOf, Value: drakkar.Bytes(e.Envelope.ID)},
		drakkar.Header{Key: HeaderReplayFrom, Value: drakkar.Bytes(e.At.String())},
		drakkar.Header{Key: HeaderReplayHops, Value: drakkar.Bytes(strconv.Itoa(Hops(e.Envelope) + 1))},
	)
	return sinks.Payload{
		ID: id, Key: src.Key, Value: src.Value, Headers: headers,
		Source: drakkar.Source{Topic: src.Topic, Partition: src.Partition, Offset: src.Offset},
	}
}

func openKafka(ref sinks.Ref, source config.Kafka) (*sinks.Set, error) {
	cfg := config.DefaultOf[config.KafkaSink]()
	// Every record names its topic; this one is never written to.
	cfg.Topic = "drakkar-replay"
	sink, err := kafka.New(ref.Name, cfg, source)
	if err != nil {
		return nil, fmt.Errorf("making the producer: %w", err)
	}
	policy := sinks.Policy{Delivery: cfg.Delivery, Breaker: config.DefaultOf[config.CircuitBreaker]()}
	return sinks.NewSet([]sinks.Instance{{Ref: ref, Sink: sink, Policy: policy}}, events.Discard)
}

// send brings items to their sinks. The failures' indices are those of items.
func (t *Target) send(ctx context.Context, items []item) ([]sinks.SinkFailure, error) {
	groups := map[sinks.Ref][]int{}
	for i, it := range items {
		groups[it.payload.To] = append(groups[it.payload.To], i)
	}
	// All are opened before the first is given anything: what one has taken is
	// not to be left because another cannot be opened.
	for ref := range groups {
		if err := t.openSet(ctx, ref); err != nil {
			return nil, err
		}
	}
	var failures []sinks.SinkFailure
	for ref, group := range groups {
		batch := make([]sinks.Payload, len(group))
		for i, index := range group {
			batch[i] = items[index].payload
		}
		for _, f := range t.sets[ref].Deliver(ctx, batch) {
			f.Index = group[f.Index]
			failures = append(failures, f)
		}
	}
	return failures, nil
}

func (t *Target) openSet(ctx context.Context, ref sinks.Ref) error {
	if _, ok := t.sets[ref]; ok {
		return nil
	}
	set, err := t.open(ctx, ref)
	if err != nil {
		return fmt.Errorf("opening %s for the replay, which other sinks can be replayed without: %w", ref, err)
	}
	t.sets[ref] = set
	return nil
}

// Close gives back what the target holds.
func (t *Target) Close(ctx context.Context) error {
	var errs []error
	for _, set := range t.sets {
		errs = append(errs, set.CloseAll(ctx))
	}
	clear(t.sets)
	return errors.Join(errs...)
}
