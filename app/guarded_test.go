package app

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/events"
)

// A recorder of the author's that panics is counted each time, told of with its
// stack once, and hears what comes next.
func TestGuarded(t *testing.T) {
	t.Parallel()

	var mu sync.Mutex
	var told []events.RecorderPanicked
	heard := 0
	g := &guarded{
		to: events.RecorderFunc(func(e events.Event) {
			mu.Lock()
			defer mu.Unlock()
			if heard++; heard%2 == 0 {
				panic(e.EventName() + " is too much")
			}
		}),
		own: events.RecorderFunc(func(e events.Event) {
			mu.Lock()
			defer mu.Unlock()
			if p, ok := e.(events.RecorderPanicked); ok {
				told = append(told, p)
			}
		}),
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { g.Record(events.OrphanKilled{}) })
	}
	wg.Wait()
	require.Equal(t, 10, heard)
	require.Len(t, told, 5)
	stacks := 0
	for _, p := range told {
		require.Equal(t, events.OrphanKilled{}.EventName(), p.Event)
		require.Contains(t, p.Value, "is too much")
		if p.Stack != "" {
			stacks++
			require.Contains(t, p.Stack, "guarded_test.go")
		}
	}
	require.Equal(t, 1, stacks)
}

func TestAwaited(t *testing.T) {
	t.Parallel()

	require.NoError(t, awaited(t.Context(), func() {}))

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	stuck, ended := make(chan struct{}), make(chan struct{})
	err := awaited(ctx, func() {
		<-stuck
		close(ended)
	})
	require.ErrorIs(t, err, context.DeadlineExceeded, "who stops is not kept by what does not end")
	close(stuck)
	<-ended
}
