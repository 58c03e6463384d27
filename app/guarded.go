package app

import (
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/drakkar-go/drakkar/events"
)

// guarded is a recorder of the author's, called in the middle of everything: a
// panic of it must not take the process along.
type guarded struct {
	to  events.Recorder
	own events.Recorder // hears of its panics

	told sync.Once
}

// Record implements events.Recorder.
func (g *guarded) Record(e events.Event) {
	defer func() {
		value := recover()
		if value == nil {
			return
		}
		p := events.RecorderPanicked{Event: e.EventName(), Value: fmt.Sprint(value)}
		g.told.Do(func() { p.Stack = string(debug.Stack()) })
		g.own.Record(p)
	}()
	g.to.Record(e)
}
