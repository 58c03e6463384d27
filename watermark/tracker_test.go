package watermark

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTracker(t *testing.T) {
	t.Parallel()

	type testBundle struct{ tracker *Tracker }

	// Three windows behind offset 100; the middle of the first is committed.
	setup := func(t *testing.T) *testBundle {
		t.Helper()

		b := &testBundle{tracker: New(100, 100)}
		for _, w := range []Range{{100, 199}, {200, 299}, {300, 399}} {
			require.NoError(t, b.tracker.Open(w.First, w.Last))
		}
		return b
	}
	committable := func(t *testing.T, tr *Tracker, offset, start int64) {
		t.Helper()

		gotOffset, gotStart := tr.Committable()
		require.Equal(t, offset, gotOffset)
		require.Equal(t, start, gotStart)
	}

	t.Run("AnyOrderOfFinishing", func(t *testing.T) {
		t.Parallel()

		tr := setup(t).tracker
		committable(t, tr, 100, 100)
		tr.Finish(200)
		committable(t, tr, 100, 100)
		tr.Finish(100)
		committable(t, tr, 300, 300)
		tr.Finish(300)
		committable(t, tr, 400, 400)
		require.Zero(t, tr.Len())
		require.Equal(t, 3, tr.Ahead())
	})

	t.Run("CommittedForgetsWholeWindows", func(t *testing.T) {
		t.Parallel()

		tr := setup(t).tracker
		tr.Finish(100)
		tr.Finish(200)
		tr.Committed(250)
		require.Equal(t, 2, tr.Ahead())
		tr.Committed(1000) // beyond what is finished
		require.Equal(t, 1, tr.Ahead())
		tr.Finish(100) // not there any more
		require.Equal(t, 1, tr.Len())
		committable(t, tr, 300, 300)
	})

	t.Run("CommittedInsideAWindowThatIsGone", func(t *testing.T) {
		t.Parallel()

		tr := New(100, 150)
		committable(t, tr, 150, 100)
		require.NoError(t, tr.Open(100, 199))
		committable(t, tr, 150, 100)
		tr.Progress(100, []Range{{150, 160}})
		committable(t, tr, 161, 100)
	})

	t.Run("OpenRefusesOtherWindows", func(t *testing.T) {
		t.Parallel()

		tr := setup(t).tracker
		for _, w := range []Range{{399, 499}, {401, 499}, {400, 399}} {
			require.ErrorIs(t, tr.Open(w.First, w.Last), ErrNotNext)
		}
		require.Equal(t, int64(400), tr.Next())
		require.Equal(t, 3, tr.Len())
	})

	t.Run("ProgressNeverLeavesAnOpenWindow", func(t *testing.T) {
		t.Parallel()

		tr := setup(t).tracker
		tr.Progress(100, []Range{{150, 260}, {0, 120}})
		committable(t, tr, 121, 100)
		tr.Progress(100, []Range{{121, 149}})
		committable(t, tr, 199, 100)
		tr.Progress(555, []Range{{0, 1000}})
		tr.Finish(100)
		committable(t, tr, 200, 200)
	})
}

// naive is the model: one flag for each offset.
type naive struct {
	first    int64
	done     []bool
	windowOf []int64
	open     map[int64]int64
}

func (n *naive) committable() (int64, int64) {
	for i, done := range n.done {
		if !done {
			return n.first + int64(i), n.windowOf[i]
		}
	}
	next := n.first + int64(len(n.done))
	return next, next
}

func (n *naive) set(first, last int64) {
	for o := first; o <= last; o++ {
		n.done[o-n.first] = true
	}
}

// Whatever the windows, the order in which they finish, and what they say of
// their progress: the watermark is the one of the model, never goes back, never
// passes an offset that is open, and ends one past the last.
func TestTracker_Model(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Int64Range(0, 1<<40).Draw(t, "first")
		tr, model := New(first, first), &naive{first: first, open: map[int64]int64{}}
		var starts []int64
		var low int64

		check := func(t *rapid.T) {
			offset, start := tr.Committable()
			wantOffset, wantStart := model.committable()
			require.Equal(t, wantOffset, offset)
			require.Equal(t, wantStart, start)
			require.GreaterOrEqual(t, offset, low)
			require.Len(t, model.open, tr.Len())
			low = offset
		}
		finish := func(_ *rapid.T, start int64) {
			tr.Finish(start)
			if last, ok := model.open[start]; ok {
				model.set(start, last)
				delete(model.open, start)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": check,
			"commit": func(t *rapid.T) {
				offset, _ := tr.Committable()
				tr.Committed(rapid.Int64Range(first, offset).Draw(t, "committed"))
			},
			"finish": func(t *rapid.T) {
				if len(starts) == 0 {
					t.Skip("no windows")
				}
				finish(t, rapid.SampledFrom(starts).Draw(t, "start"))
			},
			"open": func(t *rapid.T) {
				start := tr.Next()
				last := start + rapid.Int64Range(0, 6).Draw(t, "length")
				require.NoError(t, tr.Open(start, last))
				starts = append(starts, start)
				model.open[start] = last
				for range last - start + 1 {
					model.done = append(model.done, false)
					model.windowOf = append(model.windowOf, start)
				}
			},
			"progress": func(t *rapid.T) {
				if len(starts) == 0 {
					t.Skip("no windows")
				}
				start := rapid.SampledFrom(starts).Draw(t, "start")
				var ranges []Range
				for range rapid.IntRange(0, 4).Draw(t, "ranges") {
					from := start + rapid.Int64Range(-3, 8).Draw(t, "from")
					ranges = append(ranges, Range{from, from + rapid.Int64Range(0, 4).Draw(t, "more")})
				}
				tr.Progress(start, ranges)
				if last, ok := model.open[start]; ok {
					for _, r := range ranges {
						model.set(max(r.First, start), min(r.Last, last-1))
					}
				}
			},
		})
		for _, s := range starts {
			finish(t, s)
		}
		check(t)
		require.Equal(t, tr.Next(), low)
	})
}
