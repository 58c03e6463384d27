package executor

import "runtime"

// spawn is a program to be started.
type spawn struct {
	start func() error
	reply chan error
}

// spawnerCount is how many goroutines start programs; 0 where a program may be
// started from any.
func spawnerCount(slots int) int {
	if !diesWithThread {
		return 0
	}
	return min(slots, runtime.GOMAXPROCS(0))
}

// spawner starts programs until the lifetime ends. The parent-death signal
// comes when the creating thread ends, and Go ends and reuses threads as it
// likes; so programs are started from threads that live as long as the pool.
func (l *lifetime) spawner() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // not ended, so that nothing of it is killed

	for {
		select {
		case s := <-l.spawns:
			s.reply <- s.start()
		case <-l.stop:
			return
		}
	}
}

// spawn runs start where programs may be started.
func (l *lifetime) spawn(start func() error) error {
	if !diesWithThread {
		return start()
	}
	s := spawn{start: start, reply: make(chan error, 1)}
	select {
	case l.spawns <- s:
		return <-s.reply
	case <-l.stop: // which goes before the last task only when that does not end
		return ErrStopped
	}
}
