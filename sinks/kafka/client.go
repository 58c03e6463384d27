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
// idempotent session for good, it is replaced by another, and so it is after a
// delivery that ended while its records were on their way.
type client struct {
	producer *kafka.Producer
	users    sync.WaitGroup

	// givenUp is set when a delivery ended without an answer about its records.
	// It will be made again, so the producer must not send them once it can: it
	// gets no more deliveries, and when the last has left, what is in it is
	// thrown away.
	givenUp atomic.Bool

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

// useless reports whether the client must be replaced.
func (c *client) useless() bool {
	return c.givenUp.Load() || c.broken.Load() || c.producer.GetFatalError() != nil
}

// retire ends a producer when its last user has left. Deliveries that wait for
// a producer that is broken get their reports at once. After one that gave up
// they wait on: the producer can still write their records, and none but it can
// do so once.
func (c *client) retire() {
	if !c.givenUp.Load() {
		c.purge()
	}
	c.users.Wait()
	c.purge() // what nobody waits for
	c.producer.Close()
}

func (c *client) purge() { _ = c.producer.Purge(kafka.PurgeQueue | kafka.PurgeInFlight) }

func remaining(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Minute
	}
	return time.Until(deadline)
}
