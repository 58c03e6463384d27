package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Idle latency: single messages are sent at random intervals between these, and
// again one right after the other.
const (
	shortestGap = 100 * time.Millisecond
	longestGap  = 200 * time.Millisecond
)

// path is what a message takes from a topic to its record on another, or on the
// same.
type path struct {
	world  *world
	reader *reader
	source string
	value  func(n int) []byte
	number func(n int) int // what the record of message n holds
	sent   *int            // how many messages were sent, before and on this path
}

// path is the pipeline's own.
func (p *pipeline) path() *path {
	return &path{
		world: p.world, reader: p.reader, source: p.source, value: p.message, sent: &p.sent,
		number: func(n int) int { return p.cfg.plan.Number(n, 0) },
	}
}

// singles sends count messages at random intervals, and count more without any,
// and times each from its sending to the reading of its record.
func (p *path) singles(ctx context.Context, count int) (sample, error) {
	gap := func() time.Duration {
		return shortestGap + rand.N(longestGap-shortestGap) //nolint:gosec // nobody has to guess them
	}
	idle, err := p.timed(ctx, count, gap)
	if err != nil {
		return sample{}, err
	}
	chained, err := p.timed(ctx, count, func() time.Duration { return 0 })
	if err != nil {
		return sample{}, err
	}
	return sample{ms: append(idle, chained...), figures: map[string]float64{
		"intervals_median_ms": quantile(idle, 0.5), "intervals_p99_ms": quantile(idle, 0.99),
		"chained_median_ms": quantile(chained, 0.5), "chained_p99_ms": quantile(chained, 0.99),
	}}, nil
}

func (p *path) timed(ctx context.Context, count int, gap func() time.Duration) ([]float64, error) {
	out := make([]float64, count)
	for i := range out {
		if !pause(ctx, gap()) {
			return nil, context.Cause(ctx)
		}
		n := *p.sent
		*p.sent++
		began := time.Now()
		if err := p.world.broker.send(ctx, p.source, partitions, n, n+1, p.value); err != nil {
			return nil, err
		}
		got, at, err := p.reader.next(ctx)
		if err != nil {
			return nil, err
		}
		if got != p.number(n) {
			return nil, fmt.Errorf("timing message %d: the record of %d came", n, got)
		}
		out[i] = milliseconds(at.Sub(began))
	}
	return out, nil
}

// paced sends messages at a rate and times each, also those that wait behind
// others.
func (p *path) paced(ctx context.Context, rate float64, count int) (sample, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	from, began := *p.sent, time.Now()
	*p.sent += count
	due := func(i int) time.Time { return began.Add(time.Duration(float64(i) / rate * float64(time.Second))) }
	sent := make(chan error, 1)
	go func() {
		err := p.pace(ctx, from, count, due)
		if err != nil {
			cancel(err)
		}
		sent <- err
	}()
	// A latency counts from the time at which the message was due: one that was
	// sent late because the machine was busy has waited too.
	ms := make([]float64, count)
	for range count {
		n, at, err := p.reader.next(ctx)
		if err != nil {
			return sample{}, err
		}
		i := n - p.number(from)
		if i < 0 || i >= count {
			return sample{}, fmt.Errorf("timing messages: the record of %d came", n)
		}
		ms[i] = milliseconds(at.Sub(due(i)))
	}
	return sample{ms: ms, rate: float64(count) / time.Since(began).Seconds()}, <-sent
}

// pace sends what is due, every few milliseconds.
func (p *path) pace(ctx context.Context, from, count int, due func(i int) time.Time) error {
	const every = 5 * time.Millisecond
	for i := 0; i < count; {
		next := i
		for next < count && !due(next).After(time.Now()) {
			next++
		}
		if next > i {
			if err := p.world.broker.send(ctx, p.source, partitions, from+i, from+next, p.value); err != nil {
				return err
			}
			i = next
		}
		if !pause(ctx, every) {
			return context.Cause(ctx)
		}
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
