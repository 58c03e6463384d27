// Package kafka is the sink that writes records to a Kafka topic.
//
// Its producer is idempotent, unless acks says otherwise: records are neither
// lost nor doubled by the client's own retries. With transactional, who reads
// what is committed sees all records of a batch or none. A payload that is delivered again, after a crash for
// instance, is a second record; both carry its id in the header drakkar-id, by
// which consumers can tell.
package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
)

// HeaderID is the header that holds the delivery id of every record. A header
// of that name which the payload brings along, from another pipeline for
// instance, is replaced.
const HeaderID = "drakkar-id"

var (
	_ sinks.Sink      = (*Sink)(nil)
	_ sinks.Checker   = (*Sink)(nil)
	_ sinks.Validator = (*Sink)(nil)
)

// Sink writes to one topic, or to those that payloads name.
type Sink struct {
	topic string
	props kafka.ConfigMap

	mu       sync.Mutex
	client   *client
	closed   bool
	retiring sync.WaitGroup // clients that were replaced
}

// New makes the sink that is configured as sinks.kafka.<name>. It does not wait
// for the brokers. Source is where brokers and security come from when cfg
// names no brokers.
func New(name string, cfg config.KafkaSink, source config.Kafka) (*Sink, error) {
	if err := checkTopic(cfg.Topic); err != nil {
		return nil, fmt.Errorf("sinks.kafka.%s.topic: %w", name, err)
	}
	props, err := properties(name, cfg, source)
	if err != nil {
		return nil, err
	}
	c, err := newClient(props)
	if err != nil {
		return nil, fmt.Errorf("sinks.kafka.%s: %w", name, err)
	}
	return &Sink{topic: cfg.Topic, props: props, client: c}, nil
}

// Deliver implements sinks.Sink.
func (s *Sink) Deliver(ctx context.Context, batch []sinks.Payload) error {
	if len(batch) == 0 {
		return nil
	}
	failures, err := s.write(ctx, batch)
	if err != nil {
		return err
	}
	if len(failures) == 0 {
		return nil
	}
	return &sinks.DeliverError{Failures: failures}
}

func (s *Sink) write(ctx context.Context, batch []sinks.Payload) ([]sinks.Failure, error) {
	if s.transactional() {
		return s.transact(ctx, batch), nil
	}
	c, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer s.release(c)
	failures := s.deliver(ctx, c, batch, indices(len(batch)))
	if len(batch) == 1 {
		return failures, nil
	}
	return s.deliverAlone(ctx, c, batch, failures), nil
}

// deliverAlone gives records that were found too large another chance, each by
// itself. The broker measures what the client sends at once: where its limit is
// below the client's, one large record, or just many, take down all of them.
// They come behind what was written meanwhile, also of their own keys.
func (s *Sink) deliverAlone(ctx context.Context, c *client, batch []sinks.Payload, failures []sinks.Failure) []sinks.Failure {
	left := failures[:0]
	for _, f := range failures {
		if !tooLarge(f.Err) || ctx.Err() != nil {
			left = append(left, f)
			continue
		}
		left = append(left, s.deliver(ctx, c, batch, []int{f.Index})...)
	}
	return left
}

// deliver produces the payloads of the given indices and waits for the report
// about each. Failures are ordered by index.
func (s *Sink) deliver(ctx context.Context, c *client, batch []sinks.Payload, which []int) []sinks.Failure {
	errs := make(map[int]error, len(which))
	// A report about each record fits in, so those that come after ctx has
	// ended, when nobody reads them, do not block the client.
	reports := make(chan kafka.Event, len(which))
	waiting := make(map[int]bool, len(which))
	for _, i := range which {
		if err := s.produce(ctx, c, batch[i], i, reports); err != nil {
			errs[i] = err
			continue
		}
		waiting[i] = true
	}
	var aborted <-chan time.Time
	for over := false; len(waiting) > 0 && ctx.Err() == nil && !over; {
		select {
		case e := <-reports:
			i, err := c.report(e)
			delete(waiting, i)
			if err == nil {
				continue
			}
			errs[i] = err
			if s.transactional() && aborted == nil {
				aborted = time.After(moreErrors)
			}
		case <-aborted:
			over = true
		case <-ctx.Done():
		}
	}
	if len(waiting) > 0 && !s.transactional() {
		c.givenUp.Store(true)
	}
	for i := range waiting {
		errs[i] = c.explain(fmt.Errorf("waiting for Kafka's acknowledgement: %w", cmp.Or(context.Cause(ctx), errAborted)))
	}
	return s.failures(batch, which, errs)
}

// transactional reports whether batches are written in transactions.
func (s *Sink) transactional() bool { return s.props[transactionalID] != nil }

// produce hands one record to the client, waiting while its queue is full.
func (s *Sink) produce(ctx context.Context, c *client, p sinks.Payload, index int, reports chan kafka.Event) error {
	if err := s.Validate(p); err != nil {
		return &refusedError{err}
	}
	const pause = 5 * time.Millisecond
	m := s.message(p, index)
	for {
		if ctx.Err() != nil {
			return c.explain(fmt.Errorf("handing the record to the producer: %w", context.Cause(ctx)))
		}
		err := c.producer.Produce(m, reports)
		if code(err) != kafka.ErrQueueFull {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

func (s *Sink) message(p sinks.Payload, index int) *kafka.Message {
	topic := cmp.Or(p.Topic, s.topic)
	m := &kafka.Message{
		TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: kafka.PartitionAny},
		Key:            p.Key,
		Value:          p.Value,
		Headers:        make([]kafka.Header, 0, len(p.Headers)+1),
		Opaque:         index,
	}
	if p.Partition != nil {
		m.TopicPartition.Partition = *p.Partition
	}
	for _, h := range p.Headers {
		if h.Key != HeaderID {
			m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
	}
	m.Headers = append(m.Headers, kafka.Header{Key: HeaderID, Value: []byte(p.ID)})
	return m
}

// report reads a delivery report: about which payload, and its error.
func (c *client) report(e kafka.Event) (index int, err error) {
	m, ok := e.(*kafka.Message)
	if !ok {
		return -1, nil // a delivery channel carries nothing else
	}
	index, _ = m.Opaque.(int)
	err = m.TopicPartition.Error
	switch code(err) {
	case kafka.ErrNoError:
		c.lastError.Store(nil)
	case kafka.ErrMsgTimedOut, kafka.ErrTimedOutQueue:
		err = c.explain(err)
	case kafka.ErrPurgeQueue, kafka.ErrPurgeInflight:
		if fatal := c.producer.GetFatalError(); fatal != nil {
			err = fmt.Errorf("%w: %w", err, fatal)
		}
	}
	return index, err
}

// failures names the payloads that failed, in order.
func (s *Sink) failures(batch []sinks.Payload, which []int, errs map[int]error) []sinks.Failure {
	var failures []sinks.Failure
	for _, i := range which {
		if err := errs[i]; err != nil {
			failures = append(failures, sinks.Failure{Index: i, Class: classify(err, batch[i]), Err: err})
		}
	}
	return failures
}

// Check implements sinks.Checker: it asks for the topic's partitions. Where
// brokers make topics by themselves, asking makes it.
func (s *Sink) Check(ctx context.Context) error {
	c, err := s.acquire()
	if err != nil {
		return err
	}
	checked := make(chan error, 1)
	go func() {
		defer s.release(c)
		checked <- c.checkTopic(s.topic, min(defaultCheck, remaining(ctx)))
	}()
	select {
	case err := <-checked:
		return err
	case <-ctx.Done():
		return c.explain(fmt.Errorf("asking for topic %s: %w", s.topic, context.Cause(ctx)))
	}
}

// defaultCheck bounds a Check whose context has no deadline.
const defaultCheck = 5 * time.Second

func (c *client) checkTopic(topic string, timeout time.Duration) error {
	md, err := c.producer.GetMetadata(&topic, false, max(1, int(timeout.Milliseconds())))
	if err != nil {
		return c.explain(fmt.Errorf("asking for topic %s: %w", topic, err))
	}
	if t := md.Topics[topic]; t.Error.Code() != kafka.ErrNoError {
		return fmt.Errorf("asking for topic %s: %w", topic, t.Error)
	}
	return nil
}

var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func checkTopic(topic string) error {
	if !topicName.MatchString(topic) || topic == "." || topic == ".." {
		return fmt.Errorf("%q is not a topic name: use 1 to 249 letters, digits, dots, underscores and hyphens", topic)
	}
	return nil
}

// Validate implements sinks.Validator.
func (s *Sink) Validate(p sinks.Payload) error {
	if p.Topic != "" {
		if err := checkTopic(p.Topic); err != nil {
			return err
		}
	}
	if p.Partition != nil && *p.Partition < 0 {
		return fmt.Errorf("partition %d is negative: leave it out to let the producer choose", *p.Partition)
	}
	return nil
}

// Close implements sinks.Sink. Nobody waits for records any more: what is left
// belongs to deliveries that ended, and that are made again.
func (s *Sink) Close(ctx context.Context) error {
	s.mu.Lock()
	c, closed := s.client, s.closed
	s.closed = true
	if !closed && c != nil {
		s.retiring.Go(c.retire)
	}
	s.mu.Unlock()

	ended := make(chan struct{})
	go func() {
		s.retiring.Wait()
		close(ended)
	}()
	// The client needs a moment to end, also when ctx has ended.
	const atLeast = time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(atLeast, remaining(ctx)))
	defer cancel()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return errors.New("closing the producer: it did not end in time")
	}
}

// acquire returns the current client, which is not closed before release.
func (s *Sink) acquire() (*client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.closed {
		return nil, errClosed
	}
	if s.client != nil && s.client.givenUp.Load() {
		s.replace()
	}
	if s.client == nil {
		c, err := newClient(s.props)
		if err != nil {
			return nil, err
		}
		s.client = c
	}
	s.client.users.Add(1)
	return s.client, nil
}

// release ends the use of a client.
func (s *Sink) release(c *client) {
	defer c.users.Done()

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == c && !s.closed && c.useless() {
		s.replace()
	}
}

// replace lets the next acquire make another client. It is called with mu held.
func (s *Sink) replace() {
	s.retiring.Go(s.client.retire)
	s.client = nil
}

func indices(n int) []int {
	is := make([]int, n)
	for i := range is {
		is[i] = i
	}
	return is
}

// refusedError is a payload that was not even handed to the client.
type refusedError struct{ error }

func (e *refusedError) Unwrap() error { return e.error }

// code is the error's code in librdkafka, or ErrNoError for nil. Other errors
// have ErrUnknown.
func code(err error) kafka.ErrorCode {
	var kerr kafka.Error
	switch {
	case err == nil:
		return kafka.ErrNoError
	case errors.As(err, &kerr):
		return kerr.Code()
	}
	return kafka.ErrUnknown
}
