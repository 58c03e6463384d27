package activities

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/workflows"
)

// Whatever the tasks and their durations: every task is in exactly one batch,
// tasks of a message keep their order, a message is divided only when it is
// more than a batch, and there are never too many batches.
func TestCut_Property(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		var specs []workflows.TaskSpec
		for i := range rapid.IntRange(0, 300).Draw(t, "tasks") * rapid.SampledFrom([]int{1, 10}).Draw(t, "times") {
			s := workflows.TaskSpec{Attempt: i}
			s.SourceOffsets = []int64{rapid.Int64Range(0, 40).Draw(t, "offset")}
			if s.SourceOffsets[0] < 5 {
				s.Lane = "a lane"
			}
			if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
				s.Precomputed = &drakkar.Precomputed{}
			}
			specs = append(specs, s)
		}
		perTask := time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "perTask"))
		batches := cut(specs, perTask, maxBatches)

		require.LessOrEqual(t, len(batches), maxBatches+1)
		order := map[int64][]int{}
		seen := map[int]bool{}
		in := map[int64][]int{}
		for n, b := range batches {
			require.NotEmpty(t, b)
			for _, s := range b {
				require.False(t, seen[s.Attempt], "task %d twice", s.Attempt)
				seen[s.Attempt] = true
				o := s.SourceOffsets[0]
				order[o] = append(order[o], s.Attempt)
				if !slices.Contains(in[o], n) {
					in[o] = append(in[o], n)
				}
			}
		}
		require.Len(t, seen, len(specs))
		for o, attempts := range order {
			require.True(t, slices.IsSorted(attempts), "message %d lost its order", o)
		}
		for _, group := range groups(specs) {
			o := group[0].SourceOffsets[0]
			if group[0].Lane != "" {
				require.Len(t, in[o], 1, "the lane was divided")
			}
			if cost(group) <= size(len(specs), perTask, maxBatches) && len(group) <= maxBatch {
				require.Len(t, in[o], 1, "message %d was divided", o)
			}
		}
	})
}

// Quick tasks fill all slots for the second, slow ones one slot; in between, the
// slower a task the smaller its batch.
func TestPace(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		perTask time.Duration
		slots   int
		want    time.Duration
	}{
		{0, 4, 0}, // nothing was seen yet
		{time.Nanosecond, 4, 1},
		{2 * time.Millisecond, 4, 500 * time.Microsecond},
		{2 * time.Millisecond, 1, 2 * time.Millisecond},
		{3 * time.Millisecond, 100, 60 * time.Microsecond},
		{15 * time.Millisecond, 16, 1500 * time.Microsecond},
		{75 * time.Millisecond, 16, 37500 * time.Microsecond},
		{quickTask, 16, quickTask},
		{time.Minute, 16, time.Minute},
	} {
		require.Equal(t, tt.want, pace(tt.perTask, tt.slots), "%s, %d slots", tt.perTask, tt.slots)
	}
	for _, slots := range []int{1, 4, 64} {
		last := time.Duration(0)
		for d := time.Microsecond; d < time.Second; d += 97 * time.Microsecond {
			require.LessOrEqual(t, last, pace(d, slots), "%s, %d slots", d, slots)
			last = pace(d, slots)
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()

	specs := make([]workflows.TaskSpec, 500)
	for i := range specs {
		specs[i].SourceOffsets = []int64{int64(i)}
	}
	for _, tt := range []struct {
		name    string
		perTask time.Duration
		want    int
	}{
		{"Unknown", 0, 25},
		{"FastTasksMakeOneBatch", time.Millisecond, 1},
		{"OneSecondOfWork", 20 * time.Millisecond, 10},
		{"SlowTasksStandAlmostAlone", 10 * time.Second, 63},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			require.Len(t, cut(specs, tt.perTask, maxBatches), tt.want)
		})
	}
	require.Len(t, cut(specs[:60], 10*time.Second, maxBatches), 60, "slow tasks of a small window have a batch each")
}

func TestEwma(t *testing.T) {
	t.Parallel()

	var e ewma[time.Duration]
	require.Zero(t, e.value())
	e.observe(time.Second)
	require.Equal(t, time.Second, e.value())
	for range 200 {
		e.observe(10 * time.Millisecond)
	}
	require.Less(t, e.value(), 12*time.Millisecond)
	require.GreaterOrEqual(t, e.value(), 10*time.Millisecond)
}

// However many messages each task serves, the counts of all batches together
// have room in a result.
func TestCutWithin(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name  string
		tasks int
		each  func(i int) []int64
		least int // batches
	}{
		{"EveryTaskServesAll", 10_000, func(int) []int64 { return offsetsFrom(1_000_000, 500, 1) }, 60},
		{"AndTheOffsetsHaveGaps", 10_000, func(int) []int64 { return offsetsFrom(1_000_000, 500, 2) }, 8},
		{"EverySecondOfManyMessages", 1000, func(i int) []int64 { return offsetsFrom(1_000_000_000_000+int64(i%2), 5000, 2) }, 1},
		{"OneEach", 10_000, func(i int) []int64 { return []int64{int64(i)} }, 60},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			specs := make([]workflows.TaskSpec, tt.tasks)
			for i := range specs {
				specs[i].SourceOffsets = tt.each(i)
			}
			parts := cutWithin(specs, 10*time.Second, maxBatches)
			taken, tasks := 0, 0
			for _, p := range parts {
				taken += counts(p).EncodedLen()
				tasks += len(p)
			}
			require.Equal(t, tt.tasks, tasks)
			require.GreaterOrEqual(t, len(parts), tt.least)
			require.LessOrEqual(t, taken, 2*maxCounts, "a single batch may take more than the others together")
		})
	}
}

func offsetsFrom(first int64, n int, step int64) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = first + int64(i)*step
	}
	return out
}
