package dlqcmd

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/drakkar-go/drakkar/dlq/replay"
)

// bar shows the progress on a terminal, and nothing anywhere else.
type bar struct {
	out   io.Writer // nil where there is no terminal
	begun time.Time
	drawn time.Time
	shown bool
}

func newBar(out io.Writer) *bar {
	b := &bar{begun: time.Now()}
	if f, ok := out.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		b.out = out
	}
	return b
}

// show draws the bar, not too often.
func (b *bar) show(p replay.Progress) {
	const (
		pause = 100 * time.Millisecond
		width = 30
	)
	now := time.Now()
	if b.out == nil || now.Sub(b.drawn) < pause && p.Read < p.Total {
		return
	}
	part := 1.0
	if p.Total > 0 {
		part = min(1, float64(p.Read)/float64(p.Total))
	}
	full := int(part * width)
	fmt.Fprintf(b.out, "\r\033[K[%s%s] %3.0f%%  %d replayed, %d refused, %d failed, %.0f/s",
		strings.Repeat("=", full), strings.Repeat(" ", width-full), 100*part,
		p.Replayed, p.Refused, p.Failed, float64(p.Replayed-p.Earlier)/max(1, now.Sub(b.begun).Seconds()))
	b.drawn, b.shown = now, true
}

// clear takes the bar away, so that a line can be printed.
func (b *bar) clear() {
	if b.shown {
		fmt.Fprint(b.out, "\r\033[K")
		b.shown, b.drawn = false, time.Time{}
	}
}
