package ingest

import (
	"context"
	"slices"
	"sync"
)

// slots bounds the open windows of the process. Up to half of them are kept for
// partitions that have none: windows that cannot go on, since their sink is
// away, leave room for those of other partitions.
type slots struct {
	max int

	mu      sync.Mutex
	used    int
	idle    int // shares of partitions that have no window
	waiting []*turn
}

// share is what one partition has of the slots.
type share struct {
	all  *slots
	used int
	left bool
}

// turn is somebody who waits for a slot.
type turn struct {
	share *share
	come  chan struct{}
}

// join makes the share of a partition, which gives it back by leave.
func (s *slots) join() *share {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.idle++
	return &share{all: s}
}

// leave keeps nothing for the partition any more. Its windows keep their slots
// until they are released.
func (h *share) leave() {
	s := h.all
	s.mu.Lock()
	defer s.mu.Unlock()

	h.left = true
	if h.used == 0 {
		s.idle--
	}
	s.grant()
}

// acquire waits for a slot. Those that may have one get it in the order they
// came.
func (h *share) acquire(ctx context.Context) error {
	s := h.all
	s.mu.Lock()
	if s.room(h) {
		s.add(h)
		s.mu.Unlock()
		return nil
	}
	t := &turn{share: h, come: make(chan struct{})}
	s.waiting = append(s.waiting, t)
	s.mu.Unlock()

	select {
	case <-t.come:
		return nil
	case <-ctx.Done():
		s.abandon(t)
		return context.Cause(ctx)
	}
}

// room reports whether the partition may have one more slot. Whoever waits had
// no room when something changed last, so nobody is overtaken.
func (s *slots) room(h *share) bool {
	if h.used == 0 {
		return s.used < s.max
	}
	return s.used+min(s.idle, s.max/2) < s.max
}

// add counts a slot of the partition.
func (s *slots) add(h *share) {
	if h.used == 0 && !h.left {
		s.idle--
	}
	h.used++
	s.used++
}

// remove is the inverse of add.
func (s *slots) remove(h *share) {
	h.used--
	s.used--
	if h.used == 0 && !h.left {
		s.idle++
	}
}

// abandon leaves the queue. When the slot was granted meanwhile it is given
// back.
func (s *slots) abandon(t *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if i := slices.Index(s.waiting, t); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
		return
	}
	s.remove(t.share)
	s.grant()
}

// take takes a slot for an adopted window, which is open whether there is room
// or not.
func (h *share) take() {
	h.all.mu.Lock()
	defer h.all.mu.Unlock()

	h.all.add(h)
}

// release gives a slot back.
func (h *share) release() {
	s := h.all
	s.mu.Lock()
	defer s.mu.Unlock()

	s.remove(h)
	s.grant()
}

// grant gives slots to those who wait and may have one.
func (s *slots) grant() {
	s.waiting = slices.DeleteFunc(s.waiting, func(t *turn) bool {
		if !s.room(t.share) {
			return false
		}
		s.add(t.share)
		close(t.come)
		return true
	})
}

func (s *slots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.used
}
