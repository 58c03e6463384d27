package executor

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Admission decides whether a worker may ask for another batch of tasks. It may
// while the tasks it holds and has not started, together with the batches it
// has asked for, are fewer than its slots: so it always has the next task at
// hand, and never more than it can begin soon while other workers are idle.
//
// A batch goes through Reserve, Used, Arrived, Batch.Started for each task,
// Batch.Close and Release(true); a poll that brought nothing through Reserve
// and Release(false); a batch that needed no poll through Expect, Joined,
// Batch.Started and Batch.Close. Between Used and Arrived a batch counts as one task. It is
// safe for concurrent use.
type Admission struct {
	slots, maxPolling int

	mu      sync.Mutex
	polling int // polls under way
	taken   int // batches used which have not arrived
	closed  int // batches closed whose slot is not released
	tasks   int // unstarted tasks of batches that arrived
	waiters []chan struct{}

	expected time.Time // until when a batch is expected without a poll
}

// NewAdmission returns an Admission for a pool with that many slots, of which
// at most maxPolling polls are under way at the same time. Both are at least 1;
// less counts as 1.
func NewAdmission(slots, maxPolling int) *Admission {
	return &Admission{slots: max(1, slots), maxPolling: max(1, maxPolling)}
}

// Reserve waits until a poll is allowed and counts it. First come, first
// served. The error is the cause of ctx.
func (a *Admission) Reserve(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	admitted := make(chan struct{})
	a.change(func() { a.waiters = append(a.waiters, admitted) })
	select {
	case <-admitted:
		return nil
	case <-ctx.Done():
		a.giveUp(admitted)
		return context.Cause(ctx)
	}
}

// TryReserve counts a poll if it is allowed at once. It never is while somebody
// waits: whoever waits is let in first.
func (a *Admission) TryReserve() bool {
	a.mu.Lock()
	defer a.mu.Unlock()

	if !a.allowed() {
		return false
	}
	a.polling++
	return true
}

// Used says that a poll brought a batch.
func (a *Admission) Used() {
	a.change(func() {
		a.polling--
		a.taken++
	})
}

// Release says that a slot was given back: with used false that a poll brought
// nothing, with used true that a batch is done with, arrived or not.
func (a *Admission) Release(used bool) {
	a.change(func() {
		switch {
		case !used:
			a.polling--
		case a.closed == 0 && a.taken > 0:
			// Its activity never began: its input could not be decoded.
			a.taken--
		default:
			// Releases do not say whose they are. Should this one be of a batch
			// that never arrived, while another is closed and not released yet,
			// then that other's release corrects the count in a moment.
			a.closed--
		}
	})
}

// Arrived says that the activity of a batch began and how many tasks it has.
// The caller closes the Batch before its slot is released.
func (a *Admission) Arrived(tasks int) *Batch {
	b := &Batch{admission: a, unstarted: max(0, tasks)}
	a.change(func() {
		a.taken--
		a.tasks += b.unstarted
	})
	return b
}

// expectation is how long a batch is expected that needs no poll. It comes with
// the server's next answer, or goes elsewhere.
const expectation = time.Second

// Expect reports whether a batch may come without a poll, and expects it: when
// no task is at hand that has not started, and no other such batch is expected.
func (a *Admission) Expect() bool {
	a.mu.Lock()
	defer a.mu.Unlock()

	now := time.Now()
	if a.tasks > 0 || a.taken > 0 || now.Before(a.expected) {
		return false
	}
	a.expected = now.Add(expectation)
	return true
}

// Joined counts a batch that came without a poll, of that many tasks. Nothing is
// released for it: it is only closed.
func (a *Admission) Joined(tasks int) *Batch {
	b := &Batch{admission: a, unstarted: max(0, tasks), joined: true}
	a.change(func() {
		a.tasks += b.unstarted
		a.expected = time.Time{}
	})
	return b
}

// Unstarted is the number of tasks at hand that have not started. A batch that
// has not arrived counts as one.
func (a *Admission) Unstarted() int {
	a.mu.Lock()
	defer a.mu.Unlock()

	return max(0, a.taken) + a.tasks
}

// allowed reports whether another poll may begin.
func (a *Admission) allowed() bool {
	return a.polling < a.maxPolling && max(0, a.taken)+a.tasks+a.polling < a.slots
}

// change makes a change and admits those whom it lets in.
func (a *Admission) change(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()

	f()
	for len(a.waiters) > 0 && a.allowed() {
		a.polling++
		close(a.waiters[0])
		a.waiters = slices.Delete(a.waiters, 0, 1)
	}
}

// giveUp takes back a waiter. It may have been admitted between its context's
// end and this lock: then its poll goes on to the next.
func (a *Admission) giveUp(admitted chan struct{}) {
	a.change(func() {
		i := slices.Index(a.waiters, admitted)
		if i < 0 {
			a.polling--
			return
		}
		a.waiters = slices.Delete(a.waiters, i, i+1)
	})
}

// Batch is a batch of tasks that has arrived. It is safe for concurrent use.
type Batch struct {
	admission *Admission
	joined    bool // without a poll
	unstarted int  // under the admission's mu
	closed    bool // under the admission's mu
}

// Started says that one task took its slot, or needs none. Called more often
// than there are tasks, or after Close, it does nothing.
func (b *Batch) Started() {
	b.admission.change(func() {
		if b.unstarted > 0 {
			b.unstarted--
			b.admission.tasks--
		}
	})
}

// Close says that no task of the batch will start any more. Closing it twice
// is fine.
func (b *Batch) Close() {
	b.admission.change(func() {
		if b.closed {
			return
		}
		b.closed = true
		if !b.joined {
			b.admission.closed++
		}
		b.admission.tasks -= b.unstarted
		b.unstarted = 0
	})
}
