package executor

import (
	"sync"
	"syscall"
	"time"
)

// leash holds the process group of a running program and never signals another
// one: the group's number is the program's pid, which belongs to it until it is
// reaped. So detach comes before that, and nothing is sent after it.
type leash struct {
	group int
	grace time.Duration

	mu       sync.Mutex
	exited   bool        // the program ended; others of its group may live
	detached bool        // the group may be gone
	deadline time.Time   // when the group is killed; zero unless it has to end
	killer   *time.Timer // set with deadline
}

// end tells the group to end, and kills it after the grace. It does nothing
// when the program has ended by itself, or was told before.
func (l *leash) end() {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.exited || !l.deadline.IsZero() {
		return
	}
	l.deadline = time.Now().Add(l.grace)
	l.signal(syscall.SIGTERM)
	l.killer = time.AfterFunc(l.grace, l.kill)
}

// kill ends the group at once.
func (l *leash) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.signal(syscall.SIGKILL)
}

// signal ignores errors: a group that is gone needs none, and one that changed
// its user cannot be helped.
func (l *leash) signal(sig syscall.Signal) {
	if !l.detached {
		_ = syscall.Kill(-l.group, sig)
	}
}

// detach is called when the program has ended and is not reaped. It kills what
// is left of the group. If the group was told to end, the others of it get
// what is left of the grace first: a shell dies of SIGTERM at once, and the
// program it has started may need a moment.
func (l *leash) detach() {
	l.mu.Lock()
	l.exited = true
	deadline := l.deadline
	l.mu.Unlock()

	if !deadline.IsZero() {
		awaitGroup(l.group, deadline)
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	l.signal(syscall.SIGKILL)
	l.detached = true
	if l.killer != nil {
		l.killer.Stop()
	}
}

// ended reports whether the program was told to end before it did.
func (l *leash) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	return !l.deadline.IsZero()
}
