// Package redis is the sink that writes to Redis: to keys, streams, lists or
// channels, of one server, of a cluster, or of the master that sentinels name.
//
// A batch is one pipeline. Setting a key is naturally idempotent: a payload
// that is delivered again, after a crash for instance, leaves the same value,
// and its time to live begins anew. Streams, lists and channels know no such
// thing: a payload that is delivered again is there twice. Entries of streams
// carry the delivery id, by which readers can tell.
//
// Delivered means that the server has answered. How much of that survives its
// death is for its own settings to say: appendfsync, replicas.
package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
)

var (
	_ sinks.Sink      = (*Sink)(nil)
	_ sinks.Checker   = (*Sink)(nil)
	_ sinks.Validator = (*Sink)(nil)
)

const (
	// defaultTimeout bounds what has no deadline.
	defaultTimeout = 30 * time.Second

	// grace is how long the client has to tell what it knows once its time is
	// over: which payloads of a pipeline were answered.
	grace = 200 * time.Millisecond

	// writing is what errors say was being done.
	writing = "writing to Redis"
)

var errClosed = errors.New("the sink is closed")

// Sink writes to one server, or to what takes its place.
type Sink struct {
	prefix  string
	mode    mode
	maxLen  int64
	timeout time.Duration

	client  redis.UniversalClient
	secrets *sinks.Secrets
	closed  atomic.Bool
}

// New makes the sink that is configured as sinks.redis.<name>. Nothing is
// connected yet.
func New(name string, cfg config.RedisSink) (*Sink, error) {
	m, ok := modes[cfg.Mode]
	if !ok {
		return nil, fmt.Errorf("sinks.redis.%s.mode: %q is none of set, stream, list, publish", name, cfg.Mode)
	}
	client, secrets, err := newClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("sinks.redis.%s.%w", name, err)
	}
	return &Sink{
		prefix: cfg.KeyPrefix, mode: m, maxLen: int64(cfg.StreamMaxLen), timeout: timeoutOf(cfg),
		client: client, secrets: secrets,
	}, nil
}

func timeoutOf(cfg config.RedisSink) time.Duration {
	if cfg.Delivery.Timeout > 0 {
		return cfg.Delivery.Timeout
	}
	return defaultTimeout
}

// Deliver implements sinks.Sink.
func (s *Sink) Deliver(ctx context.Context, batch []sinks.Payload) error {
	if s.closed.Load() {
		return errClosed
	}
	var failures []sinks.Failure
	pipe := s.client.Pipeline()
	cmds := make([]redis.Cmder, len(batch))
	for i, p := range batch {
		if err := s.Validate(p); err != nil {
			failures = append(failures, sinks.Failure{Index: i, Class: sinks.Permanent, Err: err})
			continue
		}
		cmds[i] = s.mode.queue(ctx, pipe, s, p)
	}
	if pipe.Len() > 0 {
		err := s.run(ctx, func(ctx context.Context) error { _, err := pipe.Exec(ctx); return err })
		if errors.Is(err, errGivenUp) {
			return err
		}
		failures = s.failures(ctx, cmds, failures, err)
	}
	if len(failures) == 0 {
		return nil
	}
	return &sinks.DeliverError{Failures: failures}
}

// errGivenUp says that nobody waited for the client any longer: what it was
// asked to do may still be under way.
var errGivenUp = errors.New("waiting for Redis")

// run calls f, which is bounded by ctx as far as the client keeps to it: it
// looks at deadlines while it waits for the server, and not at cancellation.
func (s *Sink) run(ctx context.Context, f func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, s.timeout)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- f(bounded)
	}()
	select {
	case err := <-done:
		return err
	case <-bounded.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(grace):
		return fmt.Errorf("%w: %w", errGivenUp, context.Cause(bounded))
	}
}

// failures merges those of commands into those of payloads that were refused
// before, in the order of the batch. Err is that of the pipeline. When no
// command knows of it, it came before any was sent: the login was refused.
func (s *Sink) failures(ctx context.Context, cmds []redis.Cmder, refused []sinks.Failure, err error) []sinks.Failure {
	unsent := err != nil && !slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return c != nil && c.Err() != nil })
	var all []sinks.Failure
	for i, cmd := range cmds {
		switch {
		case cmd == nil:
			all = append(all, refused[0])
			refused = refused[1:]
		case unsent:
			all = append(all, sinks.Failure{Index: i, Class: sinks.Transient, Err: s.explain(ctx, writing, err)})
		case cmd.Err() != nil && !answered(cmd):
			err := cmd.Err()
			all = append(all, sinks.Failure{Index: i, Class: classify(err), Err: s.explain(ctx, writing, err)})
		}
	}
	return all
}

// answered reports whether the server has said yes. When a connection breaks,
// the client gives its error to all commands of the pipeline, also to those
// whose answers it has read; they keep their values.
func answered(cmd redis.Cmder) bool {
	switch c := cmd.(type) {
	case *redis.StatusCmd: // set
		return c.Val() == "OK"
	case *redis.StringCmd: // stream: the entry's id
		return c.Val() != ""
	case *redis.IntCmd: // list: its length; publish: who listens
		return c.Val() > 0
	}
	return false
}

// explain says why ctx has ended rather than that it has, and no secret.
func (s *Sink) explain(ctx context.Context, doing string, err error) error {
	var answer redis.Error
	if ctx.Err() != nil && !errors.As(err, &answer) {
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	return fmt.Errorf("%s: %w", doing, s.secrets.Redact(err))
}

// Check implements sinks.Checker.
func (s *Sink) Check(ctx context.Context) error {
	if s.closed.Load() {
		return errClosed
	}
	err := s.run(ctx, func(ctx context.Context) error { return s.client.Ping(ctx).Err() })
	if err != nil {
		return s.explain(ctx, "asking Redis", err)
	}
	return nil
}

// Validate implements sinks.Validator.
func (s *Sink) Validate(p sinks.Payload) error {
	const largest = 512 << 20 // Redis's own limit of a value
	if len(p.Value) > largest {
		return fmt.Errorf("a value of %d bytes is more than Redis takes (%d)", len(p.Value), largest)
	}
	return s.mode.validate(s, p)
}

// Close implements sinks.Sink.
func (s *Sink) Close(context.Context) error {
	if s.closed.Swap(true) {
		return nil
	}
	if err := s.client.Close(); err != nil {
		return fmt.Errorf("closing the client: %w", s.secrets.Redact(err))
	}
	return nil
}
