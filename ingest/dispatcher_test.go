package ingest

import (
	"cmp"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/watermark"
	"github.com/drakkar-go/drakkar/workflows"
)

func TestGathers(t *testing.T) {
	t.Parallel()

	const ago = 100 * time.Millisecond
	for name, tt := range map[string]struct {
		open, finished []int // messages of windows, from the oldest on
		waiting        int   // messages
		size           int   // bytes of each
		paused         bool
		since          time.Duration // the last window was opened; 0 is ago
		want           time.Duration
	}{
		"NoneIsOpen":         {waiting: 1},
		"AllAreFinished":     {finished: []int{9, 9}, waiting: 1},
		"FewerThanOpen":      {open: []int{9}, waiting: 8, want: gatherFor - ago},
		"AsManyAsOpen":       {open: []int{9}, waiting: 9},
		"FewerThanAllOpen":   {open: []int{9, 9}, waiting: 17, want: gatherFor - ago},
		"FinishedDoNotCount": {finished: []int{90}, open: []int{9}, waiting: 9},
		"Late":               {open: []int{9}, waiting: 1, since: 2 * gatherFor, want: -gatherFor},
		"Full":               {open: []int{90}, waiting: 20},
		"FullByBytes":        {open: []int{90}, waiting: 10, size: 100},
		"NotFullByBytes":     {open: []int{90}, waiting: 10, size: 99, want: gatherFor - ago},
		"Paused":             {open: []int{90}, waiting: 1, paused: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			p := newPartition(t.Context(), "t", 0, hysteresis{})
			now := time.Now()
			opened := now.Add(-cmp.Or(tt.since, ago))
			for _, n := range tt.finished {
				p.chain = append(p.chain, &openWindow{messages: n, since: opened, finished: true})
			}
			for _, n := range tt.open {
				p.chain = append(p.chain, &openWindow{messages: n, since: opened})
			}
			for i := range tt.waiting {
				require.True(t, p.push(workflows.Message{Offset: int64(i), Value: make([]byte, tt.size)}))
			}
			p.shownPaused = tt.paused
			require.Equal(t, tt.want, p.gathers(cutter{maxMessages: 20, maxBytes: 1000}, now))
		})
	}
}

// A dispatcher that waits for messages to gather wakes up by itself, or when
// they are enough.
func TestAwaitWork(t *testing.T) {
	t.Parallel()

	const soon = 100 * time.Millisecond
	for name, tt := range map[string]struct {
		more int // messages that come soon
		want time.Duration
	}{
		"Late":   {want: gatherFor},
		"Few":    {more: 7, want: gatherFor},
		"Enough": {more: 8, want: soon},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			synctest.Test(t, func(t *testing.T) {
				i := &Ingest{retention: time.Hour, cutter: cutter{maxMessages: 20, maxBytes: 1 << 20}}
				i.opt.Ingest.MaxOpenWindows, i.opt.Ingest.MaxWindowsAhead = 4, 100
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				p := newPartition(ctx, "t", 0, hysteresis{})
				began := time.Now()
				p.tracker = watermark.New(0, 0)
				p.chain = []*openWindow{{messages: 9, since: began, started: began}}
				require.True(t, p.push(workflows.Message{}))
				go func() {
					<-time.After(soon)
					for n := range tt.more {
						p.push(workflows.Message{Offset: int64(n + 1)})
						p.wakeUp()
					}
				}()
				require.NoError(t, i.awaitWork(p))
				require.Equal(t, tt.want, time.Since(began))
			})
		})
	}
}
