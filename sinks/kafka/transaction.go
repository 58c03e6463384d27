package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/drakkar-go/drakkar/sinks"
)

const (
	// txSlice is how long the client is asked to wait at once: it looks at
	// deadlines only, not at cancellation.
	txSlice = 200 * time.Millisecond

	// moreErrors is how long further errors are waited for after the first of a
	// transaction. Records behind it may never be reported.
	moreErrors = 200 * time.Millisecond

	// abortTime bounds aborting, which comes after the delivery's own time.
	abortTime = 2 * time.Second
)

var (
	// errReplaced says that there is another client by now.
	errReplaced = errors.New("the producer was replaced after a transaction that failed")

	errAborted = errors.New("the transaction was aborted with the record in it")
)

// transact writes a batch in one transaction. A payload that is refused for good
// aborts it; the others are written in another, without it.
func (s *Sink) transact(ctx context.Context, batch []sinks.Payload) []sinks.Failure {
	var refused []sinks.Failure
	alone := map[int]bool{} // what was too large together with others, and what is behind it
	for which := indices(len(batch)); len(which) > 0; {
		failures, err := s.transaction(ctx, batch, which, alone)
		if errors.Is(err, errReplaced) {
			continue
		}
		if err != nil {
			return inOrder(append(refused, transients(which, err)...))
		}
		if len(failures) == 0 {
			break
		}
		// Records that were on their way are purged when another one aborts the
		// transaction: they say nothing by themselves.
		again := false
		for _, f := range failures {
			switch {
			case tooLarge(f.Err) && len(which) > 1 && !alone[f.Index]:
				alone[f.Index], again = true, true
			case f.Class == sinks.Permanent:
				refused, again = append(refused, f), true
				which = slices.DeleteFunc(which, func(i int) bool { return i == f.Index })
			}
		}
		if !again {
			return inOrder(append(refused, transients(which, fmt.Errorf("%w: %w", errAborted, failures[0].Err))...))
		}
		s.follow(batch, which, alone)
	}
	return inOrder(refused)
}

// follow lets what is behind a record that goes alone go alone, too, if it has
// the same key, or chose the same partition and has none: they come last, in
// their order.
func (s *Sink) follow(batch []sinks.Payload, which []int, alone map[int]bool) {
	late := map[string]bool{}
	for _, i := range which {
		p := batch[i]
		if len(p.Key) == 0 && p.Partition == nil {
			continue
		}
		place := cmp.Or(p.Topic, s.topic) + "\x00" + string(p.Key)
		if p.Partition != nil {
			place += "\x00" + strconv.Itoa(int(*p.Partition))
		}
		alone[i] = alone[i] || late[place]
		late[place] = alone[i]
	}
}

func transients(which []int, err error) []sinks.Failure {
	failures := make([]sinks.Failure, len(which))
	for k, i := range which {
		failures[k] = sinks.Failure{Index: i, Class: sinks.Transient, Err: err}
	}
	return failures
}

func inOrder(failures []sinks.Failure) []sinks.Failure {
	slices.SortFunc(failures, func(a, b sinks.Failure) int { return cmp.Compare(a.Index, b.Index) })
	return failures
}

// transaction is one try. It is committed when it returns neither failures nor
// an error. A producer that has aborted one is replaced: what it has purged it
// reports when it likes, also for records of the next.
func (s *Sink) transaction(ctx context.Context, batch []sinks.Payload, which []int, alone map[int]bool) ([]sinks.Failure, error) {
	c, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer s.release(c)
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	if err := c.begin(ctx); err != nil {
		return nil, err
	}
	together := slices.DeleteFunc(slices.Clone(which), func(i int) bool { return alone[i] })
	failures := s.deliver(ctx, c, batch, together)
	for _, i := range which {
		if alone[i] && len(failures) == 0 {
			failures = s.deliver(ctx, c, batch, []int{i})
		}
	}
	if len(failures) > 0 {
		c.abort(ctx)
		return failures, nil
	}
	return nil, c.commit(ctx)
}

// enter waits until the client's one transaction is free.
func (c *client) enter(ctx context.Context) error {
	if ctx.Err() == nil { // select would choose at random
		select {
		case c.turn <- struct{}{}:
			if !c.broken.Load() {
				return nil
			}
			c.leave()
			return errReplaced
		case <-ctx.Done():
		}
	}
	return fmt.Errorf("waiting for the transaction of another delivery: %w", context.Cause(ctx))
}

func (c *client) leave() { <-c.turn }

// begin starts a transaction; the first one makes the producer known.
func (c *client) begin(ctx context.Context) error {
	if !c.ready {
		if err := sliced(ctx, c.producer.InitTransactions); err != nil {
			return c.explain(fmt.Errorf("preparing transactions: %w", err))
		}
		c.ready = true
	}
	if err := c.producer.BeginTransaction(); err != nil {
		c.broken.Store(true)
		return c.explain(fmt.Errorf("beginning a transaction: %w", err))
	}
	return nil
}

// commit ends a transaction. When it is not known whether it was committed, the
// client is of no further use.
func (c *client) commit(ctx context.Context) error {
	err := sliced(ctx, c.producer.CommitTransaction)
	if err == nil {
		return nil
	}
	c.broken.Store(true)
	if kerr, ok := errors.AsType[kafka.Error](err); ok && kerr.TxnRequiresAbort() {
		c.abort(ctx)
	}
	return c.explain(fmt.Errorf("committing a transaction: %w", err))
}

// abort ends a transaction so that nobody sees what is in it, and with it the
// use of the client. Where it cannot be told to the broker, that finds out when
// the transaction's time is over.
func (c *client) abort(ctx context.Context) {
	c.broken.Store(true)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	_ = sliced(ctx, c.producer.AbortTransaction)
}

// sliced calls f, which may be called again after its time is over, until ctx
// ends.
func sliced(ctx context.Context, f func(context.Context) error) error {
	for {
		slice, cancel := context.WithTimeout(context.Background(), txSlice)
		err := f(slice)
		cancel()
		kerr, ok := errors.AsType[kafka.Error](err)
		again := ok && (kerr.IsRetriable() || kerr.Code() == kafka.ErrTimedOut)
		if !again {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}
