package sinks

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/config"
)

type breakerBundle struct {
	*breaker
	states []breakerState
}

func setupBreaker(threshold int) *breakerBundle {
	b := &breakerBundle{}
	b.breaker = newBreaker(config.CircuitBreaker{FailureThreshold: threshold, Cooldown: time.Minute},
		func(s breakerState) { b.states = append(b.states, s) })
	return b
}

// once lets one delivery through that ends with v.
func (b *breakerBundle) once(t *testing.T, v verdict) {
	t.Helper()

	generation, _, ok := b.enter()
	require.True(t, ok)
	b.leave(generation, v)
}

func (b *breakerBundle) refuses(t *testing.T, wait time.Duration) {
	t.Helper()

	_, got, ok := b.enter()
	require.False(t, ok)
	require.Equal(t, wait, got)
}

func TestBreaker(t *testing.T) {
	t.Parallel()

	t.Run("OpensAtTheThreshold", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setupBreaker(3)
			b.once(t, failing)
			b.once(t, failing)
			b.once(t, healthy)
			b.once(t, failing)
			b.once(t, unknown)
			b.once(t, failing)
			require.Empty(t, b.states, "only failures in a row count")
			b.once(t, failing)
			require.Equal(t, []breakerState{breakerOpen}, b.states)
			b.refuses(t, time.Minute)
			<-time.After(20 * time.Second) // of synctest's clock
			b.refuses(t, 40*time.Second)
		})
	})

	t.Run("ProbeSucceeds", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setupBreaker(1)
			b.once(t, failing)
			<-time.After(time.Minute)
			probe, _, ok := b.enter()
			require.True(t, ok)
			b.refuses(t, 0) // one probe at a time
			b.leave(probe, healthy)
			b.once(t, healthy)
			require.Equal(t, []breakerState{breakerOpen, breakerHalfOpen, breakerClosed}, b.states)
		})
	})

	t.Run("ProbeFails", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setupBreaker(5)
			for range 5 {
				b.once(t, failing)
			}
			<-time.After(time.Minute)
			b.once(t, failing)
			b.refuses(t, time.Minute)
			require.Equal(t, []breakerState{breakerOpen, breakerHalfOpen, breakerOpen}, b.states)
		})
	})

	t.Run("ProbeIsCalledOff", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setupBreaker(1)
			b.once(t, failing)
			<-time.After(time.Minute)
			b.once(t, unknown)
			b.once(t, healthy) // the next one is the probe
			require.Equal(t, []breakerState{breakerOpen, breakerHalfOpen, breakerClosed}, b.states)
		})
	})

	t.Run("LateResultsAreNotTheProbe", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setupBreaker(1)
			late1, _, _ := b.enter()
			late2, _, _ := b.enter()
			b.once(t, failing)
			b.leave(late1, failing) // while open
			<-time.After(time.Minute)
			probe, _, ok := b.enter()
			require.True(t, ok, "a late failure does not lengthen the pause")
			b.leave(late2, healthy)
			require.Equal(t, breakerHalfOpen, b.state, "nor does a late success close it")
			b.refuses(t, 0)
			b.leave(probe, failing)
			b.refuses(t, time.Minute)
		})
	})

	t.Run("LateFailureDoesNotCountAfterRecovery", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setupBreaker(1)
			late, _, _ := b.enter()
			b.once(t, failing)
			<-time.After(time.Minute)
			b.once(t, healthy)
			b.leave(late, failing)
			require.Equal(t, breakerClosed, b.state)
		})
	})

	t.Run("NoCooldown", func(t *testing.T) {
		t.Parallel()

		b := &breakerBundle{}
		b.breaker = newBreaker(config.CircuitBreaker{}, func(s breakerState) { b.states = append(b.states, s) })
		b.once(t, failing)
		b.once(t, failing)
		b.once(t, healthy)
		require.Equal(t, []breakerState{
			breakerOpen, breakerHalfOpen, breakerOpen, breakerHalfOpen, breakerClosed,
		}, b.states)
	})
}
