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
			if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
				s.Precomputed = &drakkar.Precomputed{}
			}
			specs = append(specs, s)
		}
		perTask := time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "perTask"))
		batches := cut(specs, perTask)

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
		for _, group := range byMessage(specs) {
			o := group[0].SourceOffsets[0]
			if cost(group) <= size(len(specs), perTask) && len(group) <= maxBatch {
				require.Len(t, in[o], 1, "message %d was divided", o)
			}
		}
	})
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
		{"SlowTasksStandAlmostAlone", 10 * time.Second, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			require.Len(t, cut(specs, tt.perTask), tt.want)
		})
	}
	require.Len(t, cut(specs[:60], 10*time.Second), 60, "slow tasks of a small window have a batch each")
}

func TestEwma(t *testing.T) {
	t.Parallel()

	var e ewma
	require.Zero(t, e.value())
	e.observe(time.Second)
	require.Equal(t, time.Second, e.value())
	for range 200 {
		e.observe(10 * time.Millisecond)
	}
	require.Less(t, e.value(), 12*time.Millisecond)
	require.GreaterOrEqual(t, e.value(), 10*time.Millisecond)
}
