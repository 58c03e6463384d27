package metrics

import (
	"sync"
	"time"
)

// stopwatch turns readings, which come about once a second, into time.
type stopwatch struct {
	mu   sync.Mutex
	last time.Time
}

// lap returns the time since the last call, 0 for the first.
func (s *stopwatch) lap() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()

	last := s.last
	s.last = time.Now()
	if last.IsZero() {
		return 0
	}
	return s.last.Sub(last)
}
