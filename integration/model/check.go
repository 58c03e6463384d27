package model

import (
	"fmt"
	"math/bits"
	"slices"
)

// wrong implements space: it says which promise a state breaks.
func (w *world) wrong(s *state) string {
	for who := range s.owners {
		if n := s.owners[who].node; n != 0 {
			if broken := w.code.view(n).Broken; broken != "" {
				return fmt.Sprintf("broken: owner %d: %s", who, broken)
			}
		}
	}
	switch {
	case s.full:
		return fmt.Sprintf("bounds: there are more than %d windows", maxWindows)
	case s.lost != 0:
		return fmt.Sprintf("lost: offset %d is committed, message %d is not finished",
			s.committed.Offset, bits.TrailingZeros8(s.lost))
	case w.forked(s) != nil:
		f := w.forked(s)
		return fmt.Sprintf("fork: windows %d..%d and %d..%d of epoch %s overlap",
			f[0].link.Start, f[0].last, f[1].link.Start, f[1].last, w.names.Text(f[0].link.Epoch))
	}
	for o, left := range s.allowed {
		if left < 0 {
			return fmt.Sprintf("twice: message %d was finished once more than it may", o)
		}
	}
	return ""
}

// forked are two windows of one epoch that share offsets, or nil.
func (w *world) forked(s *state) []window {
	for i := range s.windows[1:] {
		a, b := &s.windows[i], &s.windows[i+1] // in the order of their starts
		if b.status == absent {
			break
		}
		if a.link.Epoch == b.link.Epoch && b.link.Start <= a.last && !s.behindHole(a.link) {
			return []window{*a, *b}
		}
	}
	return nil
}

// behindHole reports whether a window is at a place where one was deleted, or
// behind it.
func (s *state) behindHole(l Link) bool {
	for _, h := range s.holes[:s.used[deletions]] {
		if h.Epoch == l.Epoch && h.Start <= l.Start {
			return true
		}
	}
	return false
}

func (s *state) holeAt(offset int8) bool {
	return slices.ContainsFunc(s.holes[:s.used[deletions]], func(h Link) bool { return h.Start == offset })
}
