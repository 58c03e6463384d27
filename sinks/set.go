package sinks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/events"
)

// Policy is how an instance is delivered to.
type Policy struct {
	config.Delivery

	// Breaker is the instance's circuit breaker. A threshold of 0 counts as 1.
	Breaker config.CircuitBreaker
}

// Instance is a configured sink on its way into a Set.
type Instance struct {
	Ref    Ref
	Sink   Sink
	Policy Policy

	// Codec makes bytes of data that is none. Nil means JSON.
	Codec Codec

	// Target is where payloads go that name no target of their own: the topic
	// of a Kafka sink. It is only shown.
	Target string
}

// Set holds every configured sink: it routes, encodes and delivers payloads.
// It is made once at start and safe for concurrent use.
type Set struct {
	rec       events.Recorder
	instances map[Ref]*instance
	names     map[Type][]string // sorted
}

// instance is a sink with its breaker.
type instance struct {
	ref     Ref
	sink    Sink
	policy  Policy
	target  string
	codec   Codec
	breaker *breaker
}

// NewSet makes a set of the instances. Each may be there once. The Set owns
// their sinks from then on; CloseAll gives them back.
func NewSet(instances []Instance, rec events.Recorder) (*Set, error) {
	s := &Set{rec: rec, instances: make(map[Ref]*instance, len(instances)), names: map[Type][]string{}}
	for _, in := range instances {
		if _, dup := s.instances[in.Ref]; dup {
			return nil, fmt.Errorf("sinks.%s.%s is configured twice", in.Ref.Type, in.Ref.Name)
		}
		s.instances[in.Ref] = &instance{
			ref: in.Ref, sink: in.Sink, policy: in.Policy, target: in.Target, codec: cmp.Or(in.Codec, JSON),
			breaker: newBreaker(in.Policy.Breaker, func(state breakerState) {
				rec.Record(events.BreakerChanged{Sink: in.Ref.event(), State: string(state)})
			}),
		}
		s.names[in.Ref.Type] = append(s.names[in.Ref.Type], in.Ref.Name)
	}
	for _, names := range s.names {
		slices.Sort(names)
	}
	return s, nil
}

// Refs are the configured instances, sorted.
func (s *Set) Refs() []Ref {
	refs := make([]Ref, 0, len(s.instances))
	for ref := range s.instances {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, func(a, b Ref) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
	})
	return refs
}

// Policy is how the instance is delivered to. Ok is false when it is not
// configured.
func (s *Set) Policy(ref Ref) (p Policy, ok bool) {
	in, ok := s.instances[ref]
	if !ok {
		return Policy{}, false
	}
	return in.policy, true
}

// Target is where the payload goes inside its instance, for people: the topic,
// table, collection, path or key.
func (s *Set) Target(p Payload) string {
	own := ""
	if in, ok := s.instances[p.To]; ok {
		own = in.target
	}
	target := cmp.Or(p.Target, p.Topic, own)
	if p.To.Type == Redis {
		target = cmp.Or(target, string(p.Key))
	}
	return target
}

// Check asks every sink that is a [Checker] whether its other side answers, all
// at the same time. It returns those that do not; an empty map means ready.
func (s *Set) Check(ctx context.Context) map[Ref]error {
	return s.each(func(in *instance) error {
		c, ok := in.sink.(Checker)
		if !ok {
			return nil
		}
		return guard(func() error { return c.Check(ctx) })
	})
}

// CloseAll closes every sink, all at the same time, whether others fail or not.
// It waits no longer than ctx, also for a sink that does not keep to it. It may
// be called twice.
func (s *Set) CloseAll(ctx context.Context) error {
	failed := s.each(func(in *instance) error { return in.close(ctx) })
	var errs []error
	for _, ref := range s.Refs() {
		if err := failed[ref]; err != nil {
			errs = append(errs, fmt.Errorf("closing %s: %w", ref, err))
		}
	}
	return errors.Join(errs...)
}

func (in *instance) close(ctx context.Context) error {
	closed := make(chan error, 1)
	go func() { closed <- guard(func() error { return in.sink.Close(ctx) }) }()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
	}
	select { // a sink that kept to ctx has more to say than ctx has
	case err := <-closed:
		return err
	default:
		return fmt.Errorf("it did not close in time: %w", context.Cause(ctx))
	}
}

// each calls f for all instances in parallel and returns its errors.
func (s *Set) each(f func(*instance) error) map[Ref]error {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		errs = map[Ref]error{}
	)
	for _, in := range s.instances {
		wg.Go(func() {
			if err := f(in); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs[in.ref] = err
			}
		})
	}
	wg.Wait()
	return errs
}

func (r Ref) event() events.Sink { return events.Sink{Type: string(r.Type), Name: r.Name} }
