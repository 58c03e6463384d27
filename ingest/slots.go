package ingest

import (
	"context"
	"slices"
	"sync"
)

// slots bounds the open windows of the process. Partitions that wait get theirs
// in the order they came.
type slots struct {
	max int

	mu      sync.Mutex
	used    int
	waiting []chan struct{}
}

// acquire waits for a slot.
func (s *slots) acquire(ctx context.Context) error {
	s.mu.Lock()
	if s.used < s.max && len(s.waiting) == 0 {
		s.used++
		s.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	s.waiting = append(s.waiting, turn)
	s.mu.Unlock()

	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		s.abandon(turn)
		return context.Cause(ctx)
	}
}

// abandon leaves the queue. When the slot was granted meanwhile it is given
// back.
func (s *slots) abandon(turn chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if i := slices.Index(s.waiting, turn); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
		return
	}
	s.used--
	s.grant()
}

// take takes a slot for an adopted window, which is open whether there is room
// or not.
func (s *slots) take() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.used++
}

// release gives a slot back.
func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.used--
	s.grant()
}

func (s *slots) grant() {
	for s.used < s.max && len(s.waiting) > 0 {
		close(s.waiting[0])
		s.waiting = slices.Delete(s.waiting, 0, 1)
		s.used++
	}
}

func (s *slots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.used
}
