package chaos

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSchedule(t *testing.T) {
	t.Parallel()

	const stream = 200 * time.Second

	t.Run("EachKindComes", func(t *testing.T) {
		t.Parallel()

		for seed := range uint64(50) {
			kinds := map[fault]int{}
			for _, m := range schedule(seed, faults, 15, stream) {
				kinds[m.kind]++
				require.GreaterOrEqual(t, m.after, stream/20)
				require.LessOrEqual(t, m.after, stream*9/10)
				require.Positive(t, m.rest)
			}
			require.Len(t, kinds, len(faults))
		}
	})

	t.Run("InOrder", func(t *testing.T) {
		t.Parallel()

		require.True(t, slices.IsSortedFunc(schedule(3, faults, 30, stream), func(a, b moment) int { return int(a.after - b.after) }))
	})

	t.Run("NothingWithoutKinds", func(t *testing.T) {
		t.Parallel()

		require.Empty(t, schedule(1, nil, 15, stream))
	})

	t.Run("TheSeedDecides", func(t *testing.T) {
		t.Parallel()

		first := schedule(7, faults, 15, stream)
		require.Equal(t, first, schedule(7, faults, 15, stream))
		require.NotEqual(t, schedule(7, faults, 15, stream), schedule(8, faults, 15, stream))
	})
}

func TestOrders(t *testing.T) {
	t.Parallel()

	all := orders(7, 1000)
	require.Equal(t, all, orders(7, 1000))
	require.NotEqual(t, all, orders(8, 1000))
	for i, o := range all {
		require.Equal(t, i, o.N)
		require.GreaterOrEqual(t, o.MS, 20)
		require.LessOrEqual(t, o.MS, 200)
	}
}
