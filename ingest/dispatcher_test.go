package ingest

import (
	"cmp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
