package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

// started starts periodics; what they record is kept.
func started(t *testing.T, all ...drakkar.Periodic) (p *periodics, runs func() []events.PeriodicRun) {
	t.Helper()
	var mu sync.Mutex
	var list []events.PeriodicRun
	p, err := newPeriodics(drakkar.NewPipeline(&handler{periodics: all}), events.RecorderFunc(func(e events.Event) {
		if run, ok := e.(events.PeriodicRun); ok {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, run)
		}
	}), zap.NewNop())
	require.NoError(t, err)
	p.start()
	return p, func() []events.PeriodicRun {
		mu.Lock()
		defer mu.Unlock()
		return append([]events.PeriodicRun{}, list...)
	}
}

// The first run comes one interval after the start, and each further one an
// interval after the end of the one before: runs never overlap.
func TestPeriodics_Interval(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		var begun []time.Duration
		origin := time.Now()
		p, runs := started(t, drakkar.Periodic{Name: "slow", Every: 10 * time.Second, Run: func(context.Context) error {
			begun = append(begun, time.Since(origin))
			<-time.After(25 * time.Second)
			return nil
		}})
		<-time.After(100 * time.Second)
		require.NoError(t, p.stop(context.Background()))
		require.Equal(t, []time.Duration{10 * time.Second, 45 * time.Second, 80 * time.Second}, begun)
		for _, run := range runs() {
			require.Equal(t, events.PeriodicRun{Task: "slow", Took: 25 * time.Second}, run)
		}
		require.Len(t, runs(), 2, "a run that was cut short is not counted")
	})
}

// One that fails does not disturb its neighbours, and each failure is told.
func TestPeriodics_OnError(t *testing.T) {
	t.Parallel()

	broken := errors.New("broken")
	for _, tt := range []struct {
		name    string
		onError drakkar.PeriodicOnError
		run     func(context.Context) error
		runs    int
		stopped bool
		want    string
	}{
		{"GoesOn", drakkar.PeriodicContinue, func(context.Context) error { return broken }, 3, false, "broken"},
		{"Stops", drakkar.PeriodicStop, func(context.Context) error { return broken }, 1, true, "broken"},
		{"PanicGoesOn", drakkar.PeriodicContinue, func(context.Context) error { panic("no") }, 3, false, `periodic "p" panicked: no`},
		{"PanicStops", drakkar.PeriodicStop, func(context.Context) error { panic(broken) }, 1, true, `periodic "p" panicked: broken`},
		{"WellWithStop", drakkar.PeriodicStop, func(context.Context) error { return nil }, 3, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, runs := started(t,
					drakkar.Periodic{Name: "p", Every: time.Second, OnError: tt.onError, Run: tt.run},
					drakkar.Periodic{Name: "neighbour", Every: time.Second, Run: func(context.Context) error { return nil }})
				<-time.After(3*time.Second + time.Millisecond)
				require.NoError(t, p.stop(t.Context()))
				count := map[string]int{}
				for _, run := range runs() {
					count[run.Task]++
					if run.Task != "p" {
						require.NoError(t, run.Err)
						continue
					}
					require.Equal(t, tt.stopped, run.Stopped)
					if tt.want == "" {
						require.NoError(t, run.Err)
					} else {
						require.EqualError(t, run.Err, tt.want)
					}
				}
				require.Equal(t, map[string]int{"p": tt.runs, "neighbour": 3}, count)
			})
		})
	}
}

// Stop ends the context of a run, waits for it, and tells nothing of what it
// was cut off from.
func TestPeriodics_Stop(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		returned := false
		p, runs := started(t, drakkar.Periodic{Name: "p", Every: time.Second, Run: func(ctx context.Context) error {
			<-ctx.Done()
			<-time.After(5 * time.Second) // it tidies up
			returned = true
			return ctx.Err()
		}})
		<-time.After(2 * time.Second)
		require.NoError(t, p.stop(t.Context()))
		require.True(t, returned)
		require.Empty(t, runs())
		require.NoError(t, p.stop(t.Context()), "twice does nothing")
	})
}

func TestPeriodics_NeverStarted(t *testing.T) {
	t.Parallel()

	p, err := newPeriodics(drakkar.NewPipeline(&bare{}), events.Discard, zap.NewNop())
	require.NoError(t, err)
	require.Empty(t, p.all, "a handler without periodics has none")
	require.NoError(t, p.stop(t.Context()))
}

// bare has nothing but Arrange.
type bare struct{}

func (*bare) Arrange(context.Context, drakkar.Window[string]) ([]drakkar.Task, error) {
	return nil, nil
}

// A periodic speaks with the logger of the process, under its own name.
func TestPeriodics_Scope(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		logged := false
		p, runs := started(t, drakkar.Periodic{Name: "p", Every: time.Second, Run: func(ctx context.Context) error {
			logged = drakkar.Logger(ctx) != nil
			drakkar.Logger(ctx).Info("hello")
			return fmt.Errorf("once: %w", context.Canceled) // an error of its own, not of the stop
		}})
		<-time.After(1500 * time.Millisecond)
		require.NoError(t, p.stop(t.Context()))
		require.True(t, logged)
		require.Len(t, runs(), 1)
		require.ErrorIs(t, runs()[0].Err, context.Canceled)
	})
}
