package ingest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestSlots(t *testing.T) {
	t.Parallel()

	t.Run("FirstComeFirstServed", func(t *testing.T) {
		t.Parallel()

		synctest.Test(t, func(t *testing.T) {
			s := &slots{max: 1}
			require.NoError(t, s.acquire(t.Context()))
			var order []int
			for n := range 3 {
				go func() {
					if s.acquire(t.Context()) == nil {
						order = append(order, n)
						s.release()
					}
				}()
				synctest.Wait()
			}
			s.release()
			synctest.Wait()
			require.Equal(t, []int{0, 1, 2}, order)
			require.Zero(t, s.inUse())
		})
	})

	t.Run("AdoptedWindowsCount", func(t *testing.T) {
		t.Parallel()

		synctest.Test(t, func(t *testing.T) {
			s := &slots{max: 1}
			s.take()
			s.take()
			got := make(chan struct{})
			go func() {
				if s.acquire(t.Context()) == nil {
					close(got)
				}
			}()
			synctest.Wait()
			s.release()
			synctest.Wait()
			require.Equal(t, 1, s.inUse())
			s.release()
			<-got
			require.Equal(t, 1, s.inUse())
		})
	})

	t.Run("WhoGivesUpLeavesNothingBehind", func(t *testing.T) {
		t.Parallel()

		synctest.Test(t, func(t *testing.T) {
			s := &slots{max: 1}
			require.NoError(t, s.acquire(t.Context()))
			why := errors.New("revoked")
			ctx, cancel := context.WithCancelCause(t.Context())
			gone := make(chan error, 1)
			go func() { gone <- s.acquire(ctx) }()
			synctest.Wait()
			cancel(why)
			require.ErrorIs(t, <-gone, why)
			s.release()
			require.NoError(t, s.acquire(t.Context()))
			require.Equal(t, 1, s.inUse())
		})
	})

	t.Run("AGrantThatComesTooLateIsGivenBack", func(t *testing.T) {
		t.Parallel()

		s := &slots{max: 1}
		turn := make(chan struct{})
		s.waiting = append(s.waiting, turn)
		s.grant()
		require.Equal(t, 1, s.inUse())
		s.abandon(turn)
		require.Zero(t, s.inUse())
	})
}
