package executor

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/drakkar-go/drakkar/events"
)

// stopSlack is how much longer than the grace Stop waits for tasks that it has
// ended: a killed program needs a moment to go.
const stopSlack = time.Second

// lifetime is what a pool has between Start and Stop.
type lifetime struct {
	devNull *os.File // stdin of programs that get none
	spawns  chan spawn
	runs    runs
	places  *places
	sweeper *sweeper

	ctx      context.Context // ends running tasks, with ErrStopped
	kill     context.CancelCauseFunc
	draining chan struct{} // closed when no slot is given any more

	stopping bool           // under the pool's mu
	tasks    sync.WaitGroup // counted up under the pool's mu, never once stopping

	stop       chan struct{}  // closed when no task is left
	background sync.WaitGroup // what ends at stop
	spawners   sync.WaitGroup // they too, unless the system holds up a start
	done       chan struct{}  // closed when nothing is left
	err        error          // readable once done is closed
}

func newLifetime(p *Pool) (*lifetime, error) {
	devNull, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("opening the programs' standard input: %w", err)
	}
	l := &lifetime{
		devNull: devNull, spawns: make(chan spawn), places: newPlaces(p.cfg.Slots),
		draining: make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{}),
	}
	l.ctx, l.kill = context.WithCancelCause(context.Background())
	l.sweeper = newSweeper(p, &l.runs)
	for range spawnerCount(p.cfg.Slots) {
		l.spawners.Go(l.spawner)
	}
	l.background.Go(func() { l.sweeper.run(l.stop) })
	l.background.Go(func() { p.report(l.stop) })
	return l, nil
}

// drain begins the end of the lifetime, once.
func (l *lifetime) drain(p *Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if l.stopping {
		return
	}
	l.stopping = true
	close(l.draining)
	go l.finish(p)
}

// finish waits for the tasks and ends the lifetime. Resident programs end with
// their tasks, and at once when they have none.
func (l *lifetime) finish(p *Pool) {
	l.places.close()
	idle := make(chan struct{})
	go func() {
		l.tasks.Wait()
		l.places.all.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-l.ctx.Done():
		l.err = l.awaitKilled(p, idle)
	}
	l.kill(ErrStopped)
	close(l.stop)
	l.background.Wait()
	if l.err == nil {
		l.spawners.Wait()
	}
	_ = l.devNull.Close()

	p.mu.Lock()
	p.life = nil
	p.mu.Unlock()
	close(l.done)
}

// awaitKilled waits for tasks that were told to end. Nothing can end a Go
// function that does not want to.
func (l *lifetime) awaitKilled(p *Pool, idle <-chan struct{}) error {
	// A program gets the grace to end, and its pipes get it once more.
	timer := time.NewTimer(2*max(p.cfg.KillGrace, minPipeGrace) + stopSlack)
	defer timer.Stop()

	select {
	case <-idle:
		return nil
	case <-timer.C:
		return fmt.Errorf("stopping the subprocess pool: %d tasks still run after their context was cancelled", p.Stats().Active)
	}
}

// report tells how full the pool is until stop is closed.
func (p *Pool) report(stop <-chan struct{}) {
	ticker := time.NewTicker(readingInterval)
	defer ticker.Stop()

	for {
		select {
		case <-ticker.C:
			s := p.Stats()
			p.events.Record(events.PoolState{Slots: s.Slots, Active: s.Active, Waiting: s.Waiting})
		case <-stop:
			return
		}
	}
}

// runs knows which runs of programs are not over. Its zero value is empty.
type runs struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]struct{}
}

// begin returns the number of a new run.
func (r *runs) begin() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.open == nil {
		r.open = make(map[uint64]struct{})
	}
	r.last++
	r.open[r.last] = struct{}{}
	return r.last
}

// end says that a run is over: its process is reaped.
func (r *runs) end(n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()

	delete(r.open, n)
}

// isOpen reports whether a run is not over.
func (r *runs) isOpen(n uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()

	_, ok := r.open[n]
	return ok
}
