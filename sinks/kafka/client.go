package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/google/uuid"
)

var errClosed = errors.New("the sink is closed")

// client is one producer of librdkafka. After a fatal error, which ends the
// idempotent session for good, it is replaced by another.
type client struct {
	producer *kafka.Producer
	users    sync.WaitGroup

	// turn is taken by the delivery whose transaction is open, ready is set once
	// transactions can begin, and broken when nobody knows how one ended.
	turn   chan struct{}
	ready  bool
	broken atomic.Bool

	// lastError is what the client reported last, nil once something was
	// delivered: the reason behind a bare "timed out".
	lastError atomic.Pointer[error]
}

func newClient(props kafka.ConfigMap) (*client, error) {
	if props[transactionalID] != nil {
		// Each producer is somebody else: what a dead one has left open, the
		// broker aborts.
		props = maps.Clone(props)
		props[transactionalID] = fmt.Sprintf("%s-%s", props[transactionalID], uuid.NewString())
	}
	p, err := kafka.NewProducer(&props)
	if err != nil {
		return nil, fmt.Errorf("making a producer: %w", redact(err, props))
	}
	c := &client{producer: p, turn: make(chan struct{}, 1)}
	go c.drain()
	return c, nil
}

// drain reads the events that belong to no record until the producer is
// closed. Left alone, they would fill their channel and block the reports.
func (c *client) drain() {
	for e := range c.producer.Events() {
		if kerr, ok := e.(kafka.Error); ok {
			err := error(kerr)
			c.lastError.Store(&err)
		}
	}
}

// explain adds the client's last error to one that does not say much.
func (c *client) explain(err error) error {
	last := c.lastError.Load()
	if last == nil {
		return err
	}
	return fmt.Errorf("%w (the client's last error: %w)", err, *last)
}

// retire ends a producer after a fatal error. What waits for a report gets one
// at once.
func (c *client) retire() {
	_ = c.producer.Purge(kafka.PurgeQueue | kafka.PurgeInFlight)
	c.users.Wait()
	c.producer.Close()
}

// close waits for records that are still on their way, but no longer than ctx.
func (c *client) close(ctx context.Context) error {
	left := c.flush(ctx)
	if left > 0 {
		_ = c.producer.Purge(kafka.PurgeQueue | kafka.PurgeInFlight)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		c.users.Wait()
		c.producer.Close()
	}()
	var err error
	if left > 0 {
		err = fmt.Errorf("closing the producer: %d records were not acknowledged: %w", left, context.Cause(ctx))
	}
	// librdkafka needs a moment after ctx, too.
	const atLeast = time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(atLeast, remaining(ctx)))
	defer cancel()
	select {
	case <-closed:
		return err
	case <-ctx.Done():
		return errors.Join(err, errors.New("closing the producer: librdkafka did not end in time"))
	}
}

// flush returns how many records are left. Flush itself knows no context, so it
// is called in slices.
func (c *client) flush(ctx context.Context) int {
	const slice = 100 // ms
	left := c.producer.Len()
	for left > 0 && ctx.Err() == nil {
		left = c.producer.Flush(slice)
	}
	return left
}

func remaining(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Minute
	}
	return time.Until(deadline)
}
