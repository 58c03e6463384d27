package executor

import (
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drakkar-go/drakkar/events"
)

func waiterFor(partition int32, offset int64, priority float64) *waiter {
	return newWaiter(Job{At: events.At{Topic: "t", Partition: partition, Offset: offset}, Priority: priority})
}

func TestGate_Order(t *testing.T) {
	t.Parallel()

	g := newGate(1)
	g.join(waiterFor(9, 0, 0)) // takes the slot
	first, second := waiterFor(1, 10, 0), waiterFor(1, 10, 0)
	queued := map[string]*waiter{
		"p1 offset 12":     waiterFor(1, 12, 0),
		"p1 offset 10":     first,
		"p1 offset 10 too": second,
		"p2 offset 90":     waiterFor(2, 90, 0),
		"p2 offset 99":     waiterFor(2, 99, 0),
		"urgent":           waiterFor(1, 50, -1),
		"later":            waiterFor(3, 1, 1),
		"NaN":              waiterFor(4, 1, math.NaN()),
	}
	for _, name := range []string{
		"p1 offset 12", "p1 offset 10", "p1 offset 10 too", "p2 offset 90", "p2 offset 99", "urgent", "later", "NaN",
	} {
		g.join(queued[name])
	}
	require.Equal(t, Stats{Slots: 1, Active: 1, Waiting: 8}, g.stats())

	var order []string
	for range queued {
		g.release(0)
		for name, w := range queued {
			select {
			case <-w.slot:
				order = append(order, name)
			default:
			}
		}
	}
	require.Equal(t, []string{
		"urgent",              // whatever partition it is of
		"p2 offset 90", "NaN", // never served, in order of arrival; p1 was
		"p1 offset 10", "p2 offset 99", // in turns
		"p1 offset 10 too", "p1 offset 12", "later",
	}, order)
}

func TestGate_SmallestFreeSlot(t *testing.T) {
	t.Parallel()

	g := newGate(3)
	take := func() int {
		slot, err := g.take(t.Context(), nil, waiterFor(0, 0, 0))
		require.NoError(t, err)
		return slot
	}
	require.Equal(t, []int{0, 1, 2}, []int{take(), take(), take()})
	g.release(2)
	g.release(0)
	require.Equal(t, []int{0, 2}, []int{take(), take()})
}

// A waiter that is handed a slot while it gives up passes it on.
func TestGate_CancelledWaiterGivesSlotBack(t *testing.T) {
	t.Parallel()

	g := newGate(1)
	g.join(waiterFor(0, 0, 0))
	gaveUp, next := waiterFor(0, 1, 0), waiterFor(0, 2, 0)
	g.join(gaveUp)
	g.join(next)
	g.release(0)
	g.leave(gaveUp)
	require.Equal(t, 0, <-next.slot)
	require.Equal(t, Stats{Slots: 1, Active: 1}, g.stats())
}

// Against a model that searches a list: the right waiter is served, slots are
// neither lost nor given twice.
func TestGate_Model(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 4).Draw(t, "slots")
		g := newGate(slots)
		var waiting []*waiter
		held := map[int]bool{}
		served, turn := map[partition]int{}, 0

		// next is what the gate should serve: see its comment.
		next := func() int {
			best := -1
			for i, w := range waiting {
				if best < 0 || modelBefore(w, waiting[best], served, waiting) {
					best = i
				}
			}
			return best
		}
		// settle expects what the gate has served by now.
		settle := func() {
			for len(waiting) > 0 && len(held) < slots {
				i := next()
				w := waiting[i]
				waiting = append(waiting[:i:i], waiting[i+1:]...)
				turn++
				served[w.partition] = turn
				select {
				case slot := <-w.slot:
					require.False(t, held[slot], "slot %d given twice", slot)
					for lower := range slot {
						require.True(t, held[lower], "slot %d is free", lower)
					}
					held[slot] = true
				default:
					require.Fail(t, "the wrong waiter was served")
				}
			}
			require.Equal(t, Stats{Slots: slots, Active: len(held), Waiting: len(waiting)}, g.stats())
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			actions := []string{"join"}
			if len(waiting) > 0 {
				actions = append(actions, "leave")
			}
			if len(held) > 0 {
				actions = append(actions, "release")
			}
			switch rapid.SampledFrom(actions).Draw(t, "action") {
			case "join":
				w := waiterFor(
					rapid.Int32Range(0, 3).Draw(t, "partition"),
					rapid.Int64Range(0, 5).Draw(t, "offset"),
					float64(rapid.IntRange(0, 2).Draw(t, "priority")),
				)
				g.join(w)
				waiting = append(waiting, w)
			case "leave":
				i := rapid.IntRange(0, len(waiting)-1).Draw(t, "who")
				g.leave(waiting[i])
				waiting = append(waiting[:i:i], waiting[i+1:]...)
			case "release":
				slot := rapid.SampledFrom(slices.Sorted(maps.Keys(held))).Draw(t, "slot")
				delete(held, slot)
				g.release(slot)
			}
			settle()
		}
	})
}

// modelBefore is the gate's order, without lanes: partitions compare by their
// first waiters.
func modelBefore(a, b *waiter, served map[partition]int, all []*waiter) bool {
	if a.partition == b.partition {
		return a.before(b)
	}
	a, b = firstOf(a, all), firstOf(b, all)
	switch {
	case a.priority != b.priority:
		return a.priority < b.priority
	case served[a.partition] != served[b.partition]:
		return served[a.partition] < served[b.partition]
	default:
		return a.seq < b.seq
	}
}

func firstOf(w *waiter, all []*waiter) *waiter {
	for _, o := range all {
		if o.partition == w.partition && o.before(w) {
			w = o
		}
	}
	return w
}

// Under load with random cancellation, no more than the slots are held, none
// is held twice and none is lost.
func TestGate_Race(t *testing.T) {
	t.Parallel()

	const slots, workers, rounds = 3, 16, 200
	g := newGate(slots)
	var holders [slots]atomic.Int32
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for i := range rounds {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(200))*time.Microsecond)
				slot, err := g.take(ctx, nil, waiterFor(int32(worker%4), int64(i), float64(i%3)))
				cancel()
				if err != nil {
					continue
				}
				if holders[slot].Add(1) != 1 {
					t.Errorf("slot %d is held twice", slot)
				}
				holders[slot].Add(-1)
				g.release(slot)
			}
		})
	}
	all.Wait()
	require.Equal(t, Stats{Slots: slots}, g.stats())
}
