package executor

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// requireIdle requires that nothing is counted any more.
func requireIdle(t require.TestingT, a *Admission) {
	a.mu.Lock()
	defer a.mu.Unlock()

	counts := []int{a.polling, a.taken, a.closed, a.tasks, len(a.waiters)}
	require.Equal(t, make([]int, 5), counts, "polling, taken, closed, tasks, waiters")
}

func TestAdmission_ABatch(t *testing.T) {
	t.Parallel()

	a := NewAdmission(2, 5)
	require.NoError(t, a.Reserve(t.Context()))
	require.True(t, a.TryReserve())
	require.False(t, a.TryReserve(), "two polls may bring two tasks")

	a.Release(false)
	require.True(t, a.TryReserve(), "an empty poll made room")
	a.Used()
	require.Equal(t, 1, a.Unstarted(), "a batch that has not arrived counts as one")
	require.False(t, a.TryReserve())

	b := a.Arrived(3)
	require.Equal(t, 3, a.Unstarted())
	b.Started()
	b.Started()
	require.Equal(t, 1, a.Unstarted())
	require.False(t, a.TryReserve(), "one task and one poll")
	b.Started()
	b.Started() // one too many
	require.True(t, a.TryReserve(), "what runs does not count")

	b.Close()
	b.Close()
	b.Started()
	a.Release(true)
	a.Release(false)
	a.Release(false)
	require.Zero(t, a.Unstarted())
	requireIdle(t, a)
}

func TestAdmission_CloseDropsWhatNeverStarted(t *testing.T) {
	t.Parallel()

	a := NewAdmission(2, 2)
	require.True(t, a.TryReserve())
	a.Used()
	b := a.Arrived(10)
	b.Close()
	require.Zero(t, a.Unstarted())
	a.Release(true)
	requireIdle(t, a)
}

// A batch without a poll is expected once at a time, and for a second.
func TestAdmission_Expect(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(4, 2)
		require.True(t, a.Expect())
		require.False(t, a.Expect(), "the first has not come")
		require.True(t, a.TryReserve(), "polls do not wait for it")
		a.Release(false)

		b := a.Joined(2)
		require.False(t, a.Expect(), "tasks are at hand")
		b.Started()
		b.Started()
		require.True(t, a.Expect())
		b.Close()
		require.False(t, a.Expect())
		<-time.After(expectation) // it went elsewhere
		require.True(t, a.Expect())
		requireIdle(t, a)
	})
}

func TestAdmission_NeverArrived(t *testing.T) {
	t.Parallel()

	a := NewAdmission(1, 1)
	for range 3 {
		require.True(t, a.TryReserve())
		a.Used()
		require.False(t, a.TryReserve())
		a.Release(true)
	}
	requireIdle(t, a)
}

func TestAdmission_MaxPolling(t *testing.T) {
	t.Parallel()

	a := NewAdmission(10, 2)
	require.True(t, a.TryReserve())
	require.True(t, a.TryReserve())
	require.False(t, a.TryReserve())
	a.Used()
	require.True(t, a.TryReserve())

	require.True(t, NewAdmission(0, 0).TryReserve(), "less than 1 counts as 1")
}

func TestAdmission_ReserveWaits(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(1, 1)
		require.True(t, a.TryReserve())

		ctx, cancel := context.WithCancelCause(t.Context())
		var order []string
		var mu sync.Mutex
		reserve := func(ctx context.Context, name string) {
			err := a.Reserve(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				name += ": " + err.Error()
			}
			order = append(order, name)
		}
		for _, w := range []struct {
			ctx  context.Context
			name string
		}{{ctx, "first"}, {t.Context(), "second"}, {t.Context(), "third"}} {
			go reserve(w.ctx, w.name)
			synctest.Wait()
		}
		require.Empty(t, order)
		cancel(errAway)
		synctest.Wait()
		a.Release(false)
		require.False(t, a.TryReserve(), "others came first")
		synctest.Wait()
		a.Release(false)
		synctest.Wait()
		require.Equal(t, []string{"first: " + errAway.Error(), "second", "third"}, order)
		a.Release(false)
		requireIdle(t, a)
		require.Equal(t, errAway, a.Reserve(ctx))
		requireIdle(t, a)
	})
}

// A waiter that is admitted while it gives up passes its poll on.
func TestAdmission_GivenUpPollGoesOn(t *testing.T) {
	t.Parallel()

	a := NewAdmission(1, 1)
	admitted, next := make(chan struct{}), make(chan struct{})
	a.change(func() { a.waiters = append(a.waiters, admitted, next) })
	<-admitted
	a.giveUp(admitted)
	<-next
	a.Release(false)
	requireIdle(t, a)
}

// Whatever the order of many batches, counts are never negative, a poll is
// allowed exactly when there is room, and nothing is left at the end.
func TestAdmission_Model(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 6).Draw(t, "slots")
		maxPolling := rapid.IntRange(1, 6).Draw(t, "maxPolling")
		a := NewAdmission(slots, maxPolling)
		type open struct {
			batch  *Batch
			tasks  int
			joined bool
		}
		var batches []*open
		polling, taken, closed := 0, 0, 0

		tasks := func() (n int) {
			for _, b := range batches {
				n += b.tasks
			}
			return n
		}
		pick := func() int { return rapid.IntRange(0, len(batches)-1).Draw(t, "which") }
		actions := []struct {
			name string
			can  func() bool
			do   func()
		}{
			{"reserve", func() bool { return true }, func() {
				room := polling < maxPolling && a.Unstarted()+polling < slots
				require.Equal(t, room, a.TryReserve())
				if room {
					polling++
				}
			}},
			{"empty", func() bool { return polling > 0 }, func() {
				polling--
				a.Release(false)
			}},
			{"used", func() bool { return polling > 0 }, func() {
				polling--
				taken++
				a.Used()
			}},
			{"arrived", func() bool { return taken > 0 }, func() {
				taken--
				n := rapid.IntRange(0, 4).Draw(t, "tasks")
				batches = append(batches, &open{batch: a.Arrived(n), tasks: n})
			}},
			{"neverArrived", func() bool { return taken > 0 }, func() {
				taken--
				a.Release(true)
			}},
			{"joined", func() bool { return true }, func() {
				n := rapid.IntRange(0, 4).Draw(t, "tasks")
				batches = append(batches, &open{batch: a.Joined(n), tasks: n, joined: true})
			}},
			{"started", func() bool { return len(batches) > 0 }, func() {
				b := batches[pick()]
				b.tasks = max(0, b.tasks-1)
				b.batch.Started()
			}},
			{"close", func() bool { return len(batches) > 0 }, func() {
				i := pick()
				batches[i].batch.Close()
				if !batches[i].joined {
					closed++
				}
				batches = append(batches[:i], batches[i+1:]...)
			}},
			{"released", func() bool { return closed > 0 }, func() {
				closed--
				a.Release(true)
			}},
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			var names []string
			for _, action := range actions {
				if action.can() {
					names = append(names, action.name)
				}
			}
			name := rapid.SampledFrom(names).Draw(t, "action")
			for _, action := range actions {
				if action.name == name {
					action.do()
				}
			}
			require.GreaterOrEqual(t, a.tasks, 0)
			require.LessOrEqual(t, a.polling, maxPolling)
			require.Equal(t, polling, a.polling)
			// The release of a batch that never arrived may be booked on one
			// that is closed, until that is released too.
			require.GreaterOrEqual(t, a.Unstarted(), taken+tasks())
			require.LessOrEqual(t, a.Unstarted(), taken+tasks()+closed)
			require.Equal(t, taken+closed, a.taken+a.closed)
		}
		for _, b := range batches {
			b.batch.Close()
			if !b.joined {
				closed++
			}
		}
		for range taken + closed {
			a.Release(true)
		}
		for range polling {
			a.Release(false)
		}
		requireIdle(t, a)
	})
}

func TestAdmission_Race(t *testing.T) {
	t.Parallel()

	a := NewAdmission(3, 2)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(300))*time.Microsecond)
				err := a.Reserve(ctx)
				cancel()
				if err != nil {
					continue
				}
				oneBatch(a, rand.IntN(3))
			}
		})
	}
	all.Wait()
	requireIdle(t, a)
}

// oneBatch plays a poll of one kind to its end.
func oneBatch(a *Admission, kind int) {
	if kind == 0 {
		a.Release(false)
		return
	}
	a.Used()
	if kind == 1 {
		b := a.Arrived(2)
		b.Started()
		b.Close()
	}
	a.Release(true)
}
