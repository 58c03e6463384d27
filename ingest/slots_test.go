package ingest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSlots(t *testing.T) {
	t.Parallel()

	t.Run("FirstComeFirstServed", func(t *testing.T) {
		t.Parallel()

		synctest.Test(t, func(t *testing.T) {
			s := &slots{max: 1}
			first := s.join()
			require.NoError(t, first.acquire(t.Context()))
			var order []int
			for n := range 3 {
				h := s.join()
				go func() {
					if h.acquire(t.Context()) == nil {
						order = append(order, n)
						h.release()
					}
				}()
				synctest.Wait()
			}
			first.release()
			synctest.Wait()
			require.Equal(t, []int{0, 1, 2}, order)
			require.Zero(t, s.inUse())
		})
	})

	t.Run("AdoptedWindowsCount", func(t *testing.T) {
		t.Parallel()

		synctest.Test(t, func(t *testing.T) {
			s := &slots{max: 1}
			adopted, other := s.join(), s.join()
			adopted.take()
			adopted.take()
			got := make(chan struct{})
			go func() {
				if other.acquire(t.Context()) == nil {
					close(got)
				}
			}()
			synctest.Wait()
			adopted.release()
			synctest.Wait()
			require.Equal(t, 1, s.inUse())
			adopted.release()
			<-got
			require.Equal(t, 1, s.inUse())
		})
	})

	t.Run("APartitionWithoutWindowsHasRoom", func(t *testing.T) {
		t.Parallel()

		synctest.Test(t, func(t *testing.T) {
			s := &slots{max: 8}
			stuck, idle := s.join(), []*share{s.join(), s.join(), s.join()}
			for range 5 {
				require.NoError(t, stuck.acquire(t.Context()))
			}
			more := make(chan struct{})
			go func() {
				if stuck.acquire(t.Context()) == nil {
					close(more)
				}
			}()
			synctest.Wait()
			require.Equal(t, 5, s.inUse(), "three are kept")
			for _, h := range idle {
				require.NoError(t, h.acquire(t.Context()))
			}
			require.Equal(t, 8, s.inUse())

			// One that goes away needs none any more.
			idle[0].leave()
			idle[0].release()
			<-more
			require.Equal(t, 8, s.inUse())
		})
	})

	t.Run("HalfOfThemAreKeptAtMost", func(t *testing.T) {
		t.Parallel()

		s := &slots{max: 8}
		busy := s.join()
		for range 100 {
			s.join()
		}
		for range 4 {
			require.NoError(t, busy.acquire(t.Context()))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, busy.acquire(ctx), context.Canceled)
		require.Equal(t, 4, s.inUse())
	})

	t.Run("WhoGivesUpLeavesNothingBehind", func(t *testing.T) {
		t.Parallel()

		synctest.Test(t, func(t *testing.T) {
			s := &slots{max: 1}
			has, waits := s.join(), s.join()
			require.NoError(t, has.acquire(t.Context()))
			why := errors.New("revoked")
			ctx, cancel := context.WithCancelCause(t.Context())
			gone := make(chan error, 1)
			go func() { gone <- waits.acquire(ctx) }()
			synctest.Wait()
			cancel(why)
			require.ErrorIs(t, <-gone, why)
			has.release()
			require.NoError(t, waits.acquire(t.Context()))
			require.Equal(t, 1, s.inUse())
		})
	})

	t.Run("AGrantThatComesTooLateIsGivenBack", func(t *testing.T) {
		t.Parallel()

		s := &slots{max: 1}
		late := &turn{share: s.join(), come: make(chan struct{})}
		s.waiting = append(s.waiting, late)
		s.grant()
		require.Equal(t, 1, s.inUse())
		s.abandon(late)
		require.Zero(t, s.inUse())
		require.Equal(t, 1, s.idle)
	})
}

// Whatever partitions do, slots add up, and nobody waits who has room.
func TestSlots_Property(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		s := &slots{max: rapid.IntRange(1, 9).Draw(t, "max")}
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		var shares []*share
		pick := func(t *rapid.T, has bool) *share {
			var some []*share
			for _, h := range shares {
				if !has && !h.left || has && h.used > 0 {
					some = append(some, h)
				}
			}
			if len(some) == 0 {
				t.Skip("there is none")
			}
			return rapid.SampledFrom(some).Draw(t, "share")
		}
		t.Repeat(map[string]func(*rapid.T){
			"join":    func(*rapid.T) { shares = append(shares, s.join()) },
			"leave":   func(t *rapid.T) { pick(t, false).leave() },
			"take":    func(t *rapid.T) { pick(t, false).take() },
			"acquire": func(t *rapid.T) { _ = pick(t, false).acquire(ended) },
			"queue": func(t *rapid.T) {
				if h := pick(t, false); !s.room(h) {
					s.waiting = append(s.waiting, &turn{share: h, come: make(chan struct{})})
				}
			},
			"release": func(t *rapid.T) { pick(t, true).release() },
			"": func(t *rapid.T) {
				used, idle := 0, 0
				for _, h := range shares {
					used += h.used
					if h.used == 0 && !h.left {
						idle++
					}
				}
				require.Equal(t, used, s.used)
				require.Equal(t, idle, s.idle)
				for _, w := range s.waiting {
					require.False(t, s.room(w.share), "it waits and has room")
				}
			},
		})
	})
}
