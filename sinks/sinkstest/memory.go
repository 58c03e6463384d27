package sinkstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/drakkar-go/drakkar/sinks"
)

var (
	_ sinks.Sink      = (*Memory)(nil)
	_ sinks.Checker   = (*Memory)(nil)
	_ sinks.Validator = (*Memory)(nil)
)

// Memory is a sink that keeps what it is given: the reference of the suite, and
// the sink of tests that need one which fails on demand. It upserts by id. Its
// zero value is not usable; make it with NewMemory.
type Memory struct {
	mu         sync.Mutex
	byID       map[string]int // index in payloads
	payloads   []sinks.Payload
	deliveries []sinks.Payload
	calls      int
	fail       []failure
	refuse     func(sinks.Payload) error
	validate   func(sinks.Payload) error
	stall      chan struct{}
	closed     bool
}

// failure is how one coming call of Deliver fails.
type failure struct {
	class sinks.Class
	err   error
}

// NewMemory makes an empty sink.
func NewMemory() *Memory { return &Memory{byID: map[string]int{}} }

// FailNext makes the next n calls of Deliver fail for all of their payloads.
// Nothing of them is kept. Calls add up.
func (m *Memory) FailNext(n int, class sinks.Class, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = append(m.fail, slices.Repeat([]failure{{class, err}}, n)...)
}

// Refuse makes every payload for which f returns an error fail for good, from
// now on. Nil refuses none.
func (m *Memory) Refuse(f func(sinks.Payload) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = f
}

// RefuseEarly is Refuse for Validate: the payload does not get as far as
// Deliver.
func (m *Memory) RefuseEarly(f func(sinks.Payload) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.validate = f
}

// Stall makes Deliver and Check wait until resume is called or their context
// ends.
func (m *Memory) Stall() (resume func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	gate := make(chan struct{})
	m.stall = gate
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.stall == gate {
			m.stall = nil
			close(gate)
		}
	}
}

// Payloads are those delivered, each id once, in the order in which ids came
// first.
func (m *Memory) Payloads() []sinks.Payload {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.payloads)
}

// Deliveries are all payloads in the order of their delivery, repeated ones as
// often as they came.
func (m *Memory) Deliveries() []sinks.Payload {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.deliveries)
}

// Calls is how often Deliver was called, failed calls included.
func (m *Memory) Calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// Closed reports whether Close was called.
func (m *Memory) Closed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// Validate implements sinks.Validator.
func (m *Memory) Validate(p sinks.Payload) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.validate == nil {
		return nil
	}
	return m.validate(p)
}

// Deliver implements sinks.Sink.
func (m *Memory) Deliver(ctx context.Context, batch []sinks.Payload) error {
	if err := m.wait(ctx); err != nil {
		return fmt.Errorf("delivering to memory: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	m.calls++
	if m.closed {
		return errors.New("delivering to memory: the sink is closed")
	}
	if len(m.fail) > 0 {
		f := m.fail[0]
		m.fail = m.fail[1:]
		return sinks.FailAll(len(batch), f.class, f.err)
	}
	var failures []sinks.Failure
	for i, p := range batch {
		if err := m.keep(p); err != nil {
			failures = append(failures, sinks.Failure{Index: i, Class: sinks.Permanent, Err: err})
		}
	}
	if len(failures) == 0 {
		return nil
	}
	return &sinks.DeliverError{Failures: failures}
}

func (m *Memory) keep(p sinks.Payload) error {
	if m.refuse != nil {
		if err := m.refuse(p); err != nil {
			return err
		}
	}
	p.Value, p.Key = slices.Clone(p.Value), slices.Clone(p.Key)
	m.deliveries = append(m.deliveries, p)
	if i, known := m.byID[p.ID]; known {
		m.payloads[i] = p
		return nil
	}
	m.byID[p.ID] = len(m.payloads)
	m.payloads = append(m.payloads, p)
	return nil
}

// Check implements sinks.Checker.
func (m *Memory) Check(ctx context.Context) error {
	if err := m.wait(ctx); err != nil {
		return fmt.Errorf("checking memory: %w", err)
	}
	return nil
}

// Close implements sinks.Sink.
func (m *Memory) Close(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *Memory) wait(ctx context.Context) error {
	m.mu.Lock()
	gate := m.stall
	m.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}
