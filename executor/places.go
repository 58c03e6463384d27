package executor

import (
	"context"
	"slices"
	"sync"
)

// places keeps the processes of a pool to as many as it has slots, and the
// resident programs that wait for their next task.
//
// Each process has a place, from before its start until it is gone. A task that
// needs one takes a resident program of its kind, or else a free place; when
// there is none, the resident program that has waited longest is ended to make
// room. That one exists: of n places, the other tasks hold at most n-1, so one
// is held by a program that waits or that is ending.
type places struct {
	room chan struct{} // holds one for each process
	all  sync.WaitGroup

	mu      sync.Mutex
	idle    []*resident // the one that worked last is last
	waiting int         // tasks that wait for room
	ending  int         // programs that give room soon
	closed  bool        // no program waits any more
}

func newPlaces(slots int) *places { return &places{room: make(chan struct{}, slots)} }

// claim returns a resident program that waits for a task of that kind, or nil
// and room for a process. An empty kind is that of spawned programs. The error
// is the cause of ctx.
func (pl *places) claim(ctx context.Context, kind string) (*resident, error) {
	r, ok := pl.claimNow(kind)
	if ok {
		return r, nil
	}
	defer pl.waited()

	select {
	case pl.room <- struct{}{}:
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// claimNow claims without waiting. When that is not possible, it counts the
// caller among those who wait, and sees to it that room comes.
func (pl *places) claimNow(kind string) (r *resident, ok bool) {
	pl.mu.Lock()
	defer pl.mu.Unlock()

	for i, r := range slices.Backward(pl.idle) {
		if kind != "" && r.kind == kind {
			pl.idle = slices.Delete(pl.idle, i, i+1)
			r.users.Add(1)
			return r, true
		}
	}
	if pl.waiting == 0 { // else it would take what another one waits for
		select {
		case pl.room <- struct{}{}:
			return nil, true
		default:
		}
	}
	pl.waiting++
	if pl.waiting > pl.ending && len(pl.idle) > 0 {
		pl.retireIdle(0, reasonEvicted)
	}
	return nil, false
}

func (pl *places) waited() {
	pl.mu.Lock()
	defer pl.mu.Unlock()

	pl.waiting--
}

// leave gives room back.
func (pl *places) leave() { <-pl.room }

// put takes back a program that has answered. It waits for its next task,
// unless it is gone, its place is needed, or why says that it has to end.
func (pl *places) put(r *resident, why string) {
	pl.mu.Lock()
	defer pl.mu.Unlock()

	pl.idle = append(pl.idle, r)
	last := len(pl.idle) - 1
	switch {
	case r.ending: // it ended by itself
		pl.idle = pl.idle[:last]
	case why != "":
		pl.retireIdle(last, why)
	case pl.closed:
		pl.retireIdle(last, reasonStopped)
	case pl.waiting > pl.ending:
		pl.retireIdle(last, reasonEvicted)
	}
	r.users.Done()
}

// retireIdle lets a program that waits end in order.
func (pl *places) retireIdle(i int, why string) {
	r := pl.idle[i]
	pl.idle = slices.Delete(pl.idle, i, i+1)
	r.ending = true
	pl.ending++
	r.blame(why, "")
	pl.all.Go(r.retire)
}

// lost says that a program will not take another task: it is told to end, or
// has ended.
func (pl *places) lost(r *resident) {
	pl.mu.Lock()
	defer pl.mu.Unlock()

	if r.ending {
		return
	}
	r.ending = true
	pl.ending++
	if i := slices.Index(pl.idle, r); i >= 0 {
		pl.idle = slices.Delete(pl.idle, i, i+1)
	}
}

// gone gives the room of a program back.
func (pl *places) gone() {
	pl.mu.Lock()
	defer pl.mu.Unlock()

	pl.ending--
	pl.leave()
}

// close ends the programs that wait, and from now on those that would.
func (pl *places) close() {
	pl.mu.Lock()
	defer pl.mu.Unlock()

	pl.closed = true
	for len(pl.idle) > 0 {
		pl.retireIdle(len(pl.idle)-1, reasonStopped)
	}
}
