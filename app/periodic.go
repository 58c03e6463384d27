package app

import (
	"context"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

// periodics runs the handler's work on a timer, each in a loop of its own.
type periodics struct {
	all    []drakkar.Periodic
	rec    events.Recorder
	log    *zap.Logger
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// newPeriodics checks what the handler offers. A handler without periodics has
// none.
func newPeriodics(p *drakkar.Pipeline, rec events.Recorder, log *zap.Logger) (*periodics, error) {
	out := &periodics{rec: rec, log: log, cancel: func() {}}
	runner, ok := p.Handler().(drakkar.PeriodicRunner)
	if !ok {
		return out, nil
	}
	names := map[string]bool{}
	for _, one := range runner.Periodics() {
		switch {
		case one.Name == "":
			return nil, fmt.Errorf("a periodic of the handler has no name")
		case !utf8.ValidString(one.Name):
			return nil, fmt.Errorf("periodic %q: its name is not valid UTF-8, and metrics are labelled with it", one.Name)
		case names[one.Name]:
			return nil, fmt.Errorf("two periodics of the handler are named %q", one.Name)
		case one.Every <= 0:
			return nil, fmt.Errorf("periodic %q: Every is %s, it must be above 0", one.Name, one.Every)
		case one.Run == nil:
			return nil, fmt.Errorf("periodic %q has no Run", one.Name)
		}
		names[one.Name] = true
		out.all = append(out.all, one)
	}
	return out, nil
}

// start begins the loops.
func (p *periodics) start() {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	for _, one := range p.all {
		p.wg.Go(func() { p.loop(ctx, one) })
	}
}

// stop ends the loops and waits for runs under way, no longer than ctx.
func (p *periodics) stop(ctx context.Context) error {
	p.cancel()
	done := make(chan struct{})
	go func() { p.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("a periodic did not return: %w", context.Cause(ctx))
	}
}

func (p *periodics) loop(ctx context.Context, one drakkar.Periodic) {
	timer := time.NewTimer(one.Every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if stopped := p.once(ctx, one); stopped {
			return
		}
		timer.Reset(one.Every)
	}
}

// once is one run. It reports whether it was the last.
func (p *periodics) once(ctx context.Context, one drakkar.Periodic) (stopped bool) {
	began := time.Now()
	err := p.run(ctx, one)
	if ctx.Err() != nil {
		return true // an error of a run that was cut short says nothing
	}
	stopped = err != nil && one.OnError == drakkar.PeriodicStop
	p.rec.Record(events.PeriodicRun{Task: one.Name, Took: time.Since(began), Err: err, Stopped: stopped})
	return stopped
}

func (p *periodics) run(ctx context.Context, one drakkar.Periodic) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("periodic %q panicked: %v", one.Name, r)
		}
	}()
	ctx = drakkar.WithHookScope(ctx, drakkar.HookScope{Hook: "periodic " + one.Name, Log: p.log})
	return one.Run(ctx)
}
