package ingest

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

// openWindow produces n messages and returns the one window they are in.
func (b *testBundle) openWindow(t *testing.T, p *process, n int) workflows.WindowInput {
	t.Helper()

	b.produce(t, 0, 1) // holds the only slot while the others gather
	first := b.awaitWindows(t, 1)[0].in
	b.produce(t, 0, n)
	require.Eventually(t, func() bool { return p.State().Messages == n }, eventually, soon)
	b.windows.end("completed", first.WorkflowID())
	in := b.awaitWindows(t, 2)[1].in
	require.Len(t, in.Messages, n)
	return in
}

func oneOpen(o *Options) { o.Ingest.MaxOpenWindows = 1 }

func inputOffsets(in workflows.WindowInput) (out []int64) {
	for _, m := range in.Messages {
		out = append(out, m.Offset)
	}
	return out
}

func TestDeadLetter(t *testing.T) {
	t.Parallel()

	t.Run("WhatIsFinishedStaysFinished", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", oneOpen, func(o *Options) { o.Windows.MaxReruns = 0 })
		in := b.openWindow(t, p, 6) // 1 to 6
		id := in.WorkflowID()
		b.windows.setFinished(id, finishedRange(1, 2), finishedRange(5, 5))
		b.windows.end("terminated", id)
		require.Eventually(t, func() bool { return len(eventsOf[events.WindowDeadLettered](p.events)) == 1 }, eventually, soon)
		dead := b.windows.all()[1].in
		require.Equal(t, []int64{3, 4, 6}, inputOffsets(dead))
		require.Equal(t, in.Last, dead.Last)
		require.Equal(t, id, dead.WorkflowID())
		require.Equal(t, []workflows.Range{finishedRange(1, 2), finishedRange(5, 5)}, dead.Finished)

		// The next owner follows it as any other.
		p.stop(t)
		b.start(t, "w2").ready(t, 1)
		b.windows.end("completed", id)
		b.awaitCommitted(t, 0, 7)
	})

	t.Run("IsTriedAgain", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		var away atomic.Bool
		away.Store(true)
		b.windows.deadErr = func() error {
			if away.Load() {
				return errors.New("Temporal is away")
			}
			return nil
		}
		p := b.start(t, "w1", func(o *Options) { o.Windows.MaxReruns = 0 })
		b.produce(t, 0, 1)
		id := b.awaitWindows(t, 1)[0].in.WorkflowID()
		b.windows.end("failed", id)
		require.Eventually(t, func() bool { return len(eventsOf[events.IngestFailed](p.events)) > 0 }, eventually, soon)
		require.Contains(t, p.Ready(t.Context())[0], "dead-lettering the window's rest: Temporal is away")
		away.Store(false)
		require.Eventually(t, func() bool { return len(eventsOf[events.WindowDeadLettered](p.events)) == 1 }, eventually, soon)
		p.ready(t, 1)
	})
}

func TestMaxAge(t *testing.T) {
	t.Parallel()

	t.Run("AlarmOnce", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", func(o *Options) { o.Windows.MaxAge, o.Windows.OnMaxAge = time.Millisecond, "wait" })
		b.produce(t, 0, 1)
		id := b.awaitWindows(t, 1)[0].in.WorkflowID()
		require.Eventually(t, func() bool { return len(eventsOf[events.WindowOverdue](p.events)) == 1 }, eventually, soon)
		b.awaitLooks(t, id, 3)
		require.Len(t, eventsOf[events.WindowOverdue](p.events), 1)
		b.produce(t, 0, 1)
		b.awaitWindows(t, 2)
		require.Eventually(t, func() bool { return len(eventsOf[events.WindowOverdue](p.events)) == 2 }, eventually, soon)
		require.Equal(t, id, eventsOf[events.WindowOverdue](p.events)[0].Workflow)
		require.Empty(t, eventsOf[events.WindowDeadLettered](p.events))
		require.False(t, b.windows.all()[0].in.DeadLetter)
		b.windows.completeAll()
		b.awaitCommitted(t, 0, 2)
		require.Len(t, eventsOf[events.WindowOverdue](p.events), 2)
	})

	t.Run("DeadLetter", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", oneOpen, func(o *Options) {
			o.Windows.MaxAge, o.Windows.OnMaxAge = 10*time.Millisecond, "dead_letter"
			o.WindowSize = 1
		})
		b.produce(t, 0, 1)
		require.Eventually(t, func() bool { return len(eventsOf[events.WindowDeadLettered](p.events)) == 1 }, eventually, soon)
		w := b.windows.all()[0]
		require.Contains(t, w.in.Because, "windows.max_age (10ms)")
		require.Equal(t, []int64{0}, inputOffsets(w.in))
		b.windows.end("completed", w.in.WorkflowID())
		b.awaitCommitted(t, 0, 1)
		require.Len(t, eventsOf[events.WindowDeadLettered](p.events), 1, "the dead letters' own run is left alone")
	})

	// Its steps would run again, and what heartbeats held would be lost.
	t.Run("IsNotRunAgainWhenItsRestWasNotStarted", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		failed := false
		b.windows.deadErr = func() error {
			if failed {
				return nil
			}
			failed = true
			for _, w := range b.windows.byID {
				w.status = "terminated"
			}
			return errors.New("Temporal is away")
		}
		p := b.start(t, "w1", func(o *Options) {
			o.Windows.MaxAge, o.Windows.OnMaxAge = 10*time.Millisecond, "dead_letter"
		})
		b.produce(t, 0, 1)
		require.Eventually(t, func() bool { return len(eventsOf[events.WindowDeadLettered](p.events)) == 1 }, eventually, soon)
		require.Empty(t, eventsOf[events.WindowRerun](p.events))
		b.windows.completeAll()
		b.awaitCommitted(t, 0, 1)
	})

	t.Run("Off", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", func(o *Options) { o.Windows.OnMaxAge = "dead_letter" })
		b.produce(t, 0, 1)
		id := b.awaitWindows(t, 1)[0].in.WorkflowID()
		b.windows.mu.Lock()
		b.windows.byID[id].started = time.Now().Add(-time.Hour)
		b.windows.mu.Unlock()
		p.stop(t)
		again := b.start(t, "w2", func(o *Options) { o.Windows.OnMaxAge = "dead_letter" })
		again.ready(t, 1)
		b.awaitLooks(t, id, 3)
		b.windows.end("completed", id)
		b.awaitCommitted(t, 0, 1)
		require.Empty(t, eventsOf[events.WindowOverdue](again.events))
	})
}
