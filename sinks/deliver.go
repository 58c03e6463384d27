package sinks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/drakkar-go/drakkar/events"
)

// SinkFailure is one payload that Set.Deliver did not bring to its sink.
type SinkFailure struct {
	// Index is the payload's position in what Deliver was given.
	Index int
	Ref   Ref
	Class Class
	// Err says why, without secrets.
	Err error
	// RetryAfter is how long the other side asked to be left alone, or the time
	// until the circuit breaker's probe; 0 leaves the pause to the caller.
	RetryAfter time.Duration
	// BreakerOpen is set when the sink was not tried because it failed too
	// often in a row. Whether such payloads wait or are given up is the
	// caller's choice: see Policy.OnOpen.
	BreakerOpen bool
}

// PanicError is a panic of a sink: a transient failure, since it says nothing
// about the payloads.
type PanicError struct {
	Value any
	Stack string
}

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("the sink panicked: %v", e.Value) }

type attemptKey struct{}

// WithAttempt says in ctx which attempt a Deliver is, counted from 1, for the
// events about its failures.
func WithAttempt(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, attemptKey{}, n)
}

func attempt(ctx context.Context) int {
	n, _ := ctx.Value(attemptKey{}).(int)
	return max(1, n)
}

// Deliver brings every payload to its sink and returns those that failed,
// ordered by index; none means that all are durable at the other side.
//
// All instances are delivered to at the same time, each in batches of its
// Policy.BatchSize, in order and one after the other. A batch that fails does
// not keep the next ones from being tried. Each may take Policy.Timeout. When
// ctx ends, what is not delivered by then has failed transiently.
func (s *Set) Deliver(ctx context.Context, payloads []Payload) []SinkFailure {
	groups := map[Ref][]int{}
	for i, p := range payloads {
		groups[p.To] = append(groups[p.To], i)
	}
	var (
		mu       sync.Mutex
		wg       sync.WaitGroup
		failures []SinkFailure
	)
	for ref, group := range groups {
		wg.Go(func() {
			failed := s.deliverGroup(ctx, ref, group, payloads)
			mu.Lock()
			defer mu.Unlock()
			failures = append(failures, failed...)
		})
	}
	wg.Wait()
	slices.SortFunc(failures, func(a, b SinkFailure) int { return cmp.Compare(a.Index, b.Index) })
	return failures
}

// deliverGroup delivers the payloads of one instance. Group are their indices.
func (s *Set) deliverGroup(ctx context.Context, ref Ref, group []int, payloads []Payload) []SinkFailure {
	in, ok := s.instances[ref]
	if !ok {
		err := fmt.Errorf("sinks.%s.%s is not configured in this process", ref.Type, ref.Name)
		return s.settle(ctx, &delivery{ref: ref, indices: group, failures: FailAll(len(group), Transient, err).Failures}, payloads)
	}
	var failures []SinkFailure
	for indices := range slices.Chunk(group, cmp.Or(max(0, in.policy.BatchSize), len(group))) {
		batch := make([]Payload, len(indices))
		for i, index := range indices {
			batch[i] = payloads[index]
		}
		failures = append(failures, s.settle(ctx, in.deliver(ctx, indices, batch), payloads)...)
	}
	return failures
}

// delivery is how one batch ended.
type delivery struct {
	ref     Ref
	indices []int // of the batch's payloads in what Set.Deliver was given
	took    time.Duration
	// failures are ordered by Index, each index of the batch at most once.
	failures    []Failure
	breakerOpen bool
}

// deliver brings one batch through the breaker to the sink.
func (in *instance) deliver(ctx context.Context, indices []int, batch []Payload) *delivery {
	d := &delivery{ref: in.ref, indices: indices}
	if ctx.Err() != nil {
		d.failures = FailAll(len(batch), Transient, fmt.Errorf("not tried: %w", context.Cause(ctx))).Failures
		return d
	}
	generation, wait, ok := in.breaker.enter()
	if !ok {
		d.breakerOpen = true
		d.failures = FailAll(len(batch), Transient, ErrBreakerOpen).Failures
		for i := range d.failures {
			d.failures[i].RetryAfter = wait
		}
		return d
	}
	begun := time.Now()
	d.failures = checked(len(batch), in.attempt(ctx, batch))
	d.took = time.Since(begun)
	in.breaker.leave(generation, judge(ctx, len(batch), d.failures))
	return d
}

// attempt calls the sink, for no longer than its timeout.
func (in *instance) attempt(ctx context.Context, batch []Payload) error {
	if in.policy.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, in.policy.Timeout, fmt.Errorf(
			"the delivery took longer than sinks.%s.%s.timeout (%s)", in.ref.Type, in.ref.Name, in.policy.Timeout))
		defer cancel()
	}
	return guard(func() error { return in.sink.Deliver(ctx, batch) })
}

// guard turns a panic of a sink into an error: one bad driver must not end the
// worker.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Value: r, Stack: string(debug.Stack())}
		}
	}()
	return f()
}

// errNoReason is why a payload was refused by a sink that does not say it.
var errNoReason = errors.New("the sink gave no reason")

// checked are the failures that an error of a sink names. An error that names
// none, or payloads that were not in the batch, says nothing we can rely on:
// then all have failed and are tried again.
func checked(n int, err error) []Failure {
	failures := Failures(n, err)
	if err == nil {
		return nil
	}
	byIndex := make([]*Failure, n)
	for i, f := range failures {
		if f.Index < 0 || f.Index >= n {
			return FailAll(n, Transient, fmt.Errorf("the sink named payload %d of a batch of %d: %w", f.Index, n, err)).Failures
		}
		if f.Err == nil {
			failures[i].Err = errNoReason
		}
		byIndex[f.Index] = &failures[i]
	}
	ordered := make([]Failure, 0, len(failures))
	for _, f := range byIndex {
		if f != nil {
			ordered = append(ordered, *f)
		}
	}
	if len(ordered) == 0 {
		return FailAll(n, Transient, err).Failures
	}
	return ordered
}

// judge says what a batch's failures mean for the breaker: only a sink that
// fails transiently and took nothing is failing. Payloads refused for good do
// not speak against it, nor, beside transient failures, for it: many sinks
// refuse them without asking the other side.
func judge(ctx context.Context, n int, failures []Failure) verdict {
	transient := slices.ContainsFunc(failures, func(f Failure) bool { return f.Class == Transient })
	switch {
	case !transient || len(failures) < n:
		return healthy
	case ctx.Err() != nil:
		return unknown // the caller called it off, not the sink
	}
	return failing
}

// settle tells what became of a batch and returns its failures as the caller
// counts them.
func (s *Set) settle(ctx context.Context, d *delivery, payloads []Payload) []SinkFailure {
	failed := make(map[int]bool, len(d.failures))
	failures := make([]SinkFailure, 0, len(d.failures))
	for _, f := range d.failures {
		failed[f.Index] = true
		failures = append(failures, SinkFailure{
			Index: d.indices[f.Index], Ref: d.ref, Class: f.Class, Err: f.Err,
			RetryAfter: f.RetryAfter, BreakerOpen: d.breakerOpen,
		})
	}
	for i, index := range d.indices {
		if !failed[i] {
			s.rec.Record(s.produced(payloads[index]))
		}
	}
	if n := len(d.indices) - len(failed); n > 0 {
		s.rec.Record(events.SinkDelivered{Sink: d.ref.event(), Payloads: n, Took: d.took})
	}
	s.recordErrors(ctx, d)
	return failures
}

func (s *Set) produced(p Payload) events.Produced {
	return events.Produced{
		At: events.At{Topic: p.Source.Topic, Partition: p.Source.Partition, Offset: p.Source.Offset},
		ID: p.ID, Sink: p.To.event(), Target: s.Target(p),
	}
}

// recordErrors records one event for each class of failures in the batch. A
// batch that the breaker kept back is attempt 0.
func (s *Set) recordErrors(ctx context.Context, d *delivery) {
	for _, class := range []Class{Transient, Permanent} {
		e := events.SinkError{Sink: d.ref.event(), Class: class.String(), Attempt: attempt(ctx)}
		if d.breakerOpen {
			e.Attempt = 0
		}
		for _, f := range d.failures {
			if f.Class != class {
				continue
			}
			if e.Payloads++; e.Err == nil {
				e.Err = f.Err
			}
		}
		if e.Payloads > 0 {
			s.rec.Record(e)
		}
	}
}
