// Package watermark follows what of one partition is finished. It is pure: it
// knows neither Kafka nor Temporal.
//
// A partition is read as a chain of windows: each begins right behind the last
// offset of the one before it. Windows finish in any order, and messages inside
// a window that is still open may be known to be finished, too:
//
//	committed        committable                          next
//	    │                 │                                 │
//	────▼─────────────────▼─────────────────────────────────▼──── offsets
//	    ├─ 100..199 ──────┼─ 200..299 ──────┼─ 300..399 ────┤
//	      finished          open              finished
//
// The watermark is the first offset that is not finished. Everything is
// expressed in ranges, so offsets that never come (compaction, markers of
// transactions) need no special care.
package watermark

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// ErrNotNext says that a window does not begin where its predecessor ends.
var ErrNotNext = errors.New("window is not the next of its chain")

// Range is an inclusive range of offsets.
type Range struct{ First, Last int64 }

// Tracker follows one partition. It is not safe for concurrent use.
//
// Invariant: every offset below Committable is finished, and Committable never
// goes back.
type Tracker struct {
	// windows are contiguous; windows[0] holds the committed offset, or is the
	// oldest one that is not committed yet.
	windows []window
	open    int
	next    int64

	// floor is what was finished before tracking began: offsets below it are
	// done although their window may still be missing.
	floor int64
}

// window is one link of the chain.
type window struct {
	start, last int64
	finished    bool
	done        []Range // sorted, disjoint, within start..last-1
}

// New tracks a chain whose next window begins at start. Offsets below committed
// are finished; committed is at least start, and larger when it lies inside of
// the first window.
func New(start, committed int64) *Tracker {
	return &Tracker{next: start, floor: max(start, committed)}
}

// Open adds the window start..last. It must be the next in the chain:
// otherwise the error is ErrNotNext, and nothing changes.
func (t *Tracker) Open(start, last int64) error {
	if start != t.next || last < start {
		return fmt.Errorf("opening %d..%d where %d is next: %w", start, last, t.next, ErrNotNext)
	}
	t.windows = append(t.windows, window{start: start, last: last})
	t.open++
	t.next = last + 1
	return nil
}

// Finish marks the window that begins at start as finished. Finishing twice,
// and finishing a window that is not there any more, changes nothing.
func (t *Tracker) Finish(start int64) {
	w := t.find(start)
	if w == nil || w.finished {
		return
	}
	w.finished, w.done = true, nil
	t.open--
}

// Progress marks ranges inside an open window as finished, on top of those
// that are. What lies outside of the window is ignored, and so is its last
// offset: only Finish takes the watermark out of a window. A committed offset
// behind an open window would lead the next owner past it, and nobody would
// follow that window to its end.
func (t *Tracker) Progress(start int64, ranges []Range) {
	w := t.find(start)
	if w == nil || w.finished {
		return
	}
	for _, r := range ranges {
		r.First, r.Last = max(r.First, w.start), min(r.Last, w.last-1)
		if r.First <= r.Last {
			w.done = append(w.done, r)
		}
	}
	w.done = merged(w.done)
}

// Committable is the first offset that is not finished, and the start of the
// window that holds it. When everything is finished, both are where the next
// window begins.
func (t *Tracker) Committable() (offset, start int64) {
	for i := range t.windows {
		w := &t.windows[i]
		if !w.finished {
			return w.firstOpen(t.floor), w.start
		}
	}
	return max(t.next, t.floor), t.next
}

// Committed forgets the windows that end below offset. An offset beyond
// Committable counts as Committable.
func (t *Tracker) Committed(offset int64) {
	n := 0
	for n < len(t.windows) && t.windows[n].finished && t.windows[n].last < offset {
		n++
	}
	t.windows = slices.Delete(t.windows, 0, n)
}

// Done are the ranges inside an open window that are known to be finished,
// what was finished before tracking began included.
func (t *Tracker) Done(start int64) []Range {
	w := t.find(start)
	if w == nil {
		return nil
	}
	done := slices.Clone(w.done)
	if before := (Range{First: w.start, Last: min(t.floor-1, w.last)}); before.First <= before.Last {
		done = append(done, before)
	}
	return merged(done)
}

// Lengths are the lengths, in offsets, of the window that begins at start and
// of those behind it, and which of them are finished: with the lengths, all of
// their ranges are known.
func (t *Tracker) Lengths(start int64) (lengths []int64, finished []bool) {
	for _, w := range t.windows {
		if w.start >= start {
			lengths, finished = append(lengths, w.last-w.start+1), append(finished, w.finished)
		}
	}
	return lengths, finished
}

// Next is where the next window begins.
func (t *Tracker) Next() int64 { return t.next }

// Len is the number of open windows.
func (t *Tracker) Len() int { return t.open }

// Ahead is the number of windows from the oldest uncommitted one on, finished
// ones included.
func (t *Tracker) Ahead() int { return len(t.windows) }

// find returns the window that begins at start, or nil.
func (t *Tracker) find(start int64) *window {
	i, ok := slices.BinarySearchFunc(t.windows, start, func(w window, start int64) int {
		return cmp.Compare(w.start, start)
	})
	if !ok {
		return nil
	}
	return &t.windows[i]
}

// firstOpen is the first offset of an open window that is not finished. Offsets
// below floor are.
func (w *window) firstOpen(floor int64) int64 {
	first := max(w.start, min(floor, w.last))
	for _, r := range w.done {
		if r.First > first {
			break
		}
		first = max(first, r.Last+1)
	}
	return first
}

// merged sorts ranges and joins those that touch.
func merged(ranges []Range) []Range {
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	out := ranges[:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && r.First <= out[n-1].Last+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}
