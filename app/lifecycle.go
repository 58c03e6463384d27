package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// stack is what has to be ended, in the reverse order of its beginning. One
// step that fails does not keep the others from being done.
type stack struct {
	mu    sync.Mutex
	steps []step
}

type step struct {
	name string
	end  func(context.Context) error
}

// push adds a step; it is done before those that were pushed earlier.
func (s *stack) push(name string, end func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, step{name: name, end: end})
}

// unwind does every step once, the last one first. A second call does what was
// pushed since.
func (s *stack) unwind(ctx context.Context) error {
	var errs []error
	for {
		s.mu.Lock()
		n := len(s.steps)
		if n == 0 {
			s.mu.Unlock()
			return errors.Join(errs...)
		}
		last := s.steps[n-1]
		s.steps = s.steps[:n-1]
		s.mu.Unlock()
		if err := last.end(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", last.name, err))
		}
	}
}

// awaited calls f, which knows no context, and waits for it no longer than ctx.
// It goes on behind the caller's back then, in a process that is about to end.
func awaited(ctx context.Context, f func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("it goes on: %w", context.Cause(ctx))
	}
}
