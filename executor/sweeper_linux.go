package executor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drakkar-go/drakkar/events"
)

const (
	// sweepInterval is the least time between two sweeps.
	sweepInterval = 500 * time.Millisecond

	// lastSweepInterval is that time while the pool stops.
	lastSweepInterval = 20 * time.Millisecond
)

// sweeping is held during a sweep. The orphans of a process are those of all
// its pools, and only sweeps reap them; so what one sweep has looked at cannot
// be reaped, and its pid used again, before it is done with it.
var sweeping sync.Mutex

// sweeper ends and reaps orphans: descendants of programs whose parents have
// ended. The process is their subreaper, so they become its children, beside
// those that the pool and the handler started. It tells them apart:
//
//   - A living child is ended, with SIGTERM, the grace and SIGKILL, only if its
//     environment carries this pool's mark of a run that is over.
//   - A dead child, of which no environment is left, is reaped if it was ended
//     here, or if two sweeps found it, and at the first this process held no
//     handle (pidfd) of it. What Go's os package starts has such a handle until it is waited
//     for, so nobody's Wait is robbed. Wait4(-1) would do that.
//
// Without /proc/<pid>/task/<tid>/children or pidfd, in kernels before 5.4 for
// instance, orphans are left to the system's init.
type sweeper struct {
	events events.Recorder
	runs   *runs
	mark   []byte // what begins the mark of this pool's programs
	grace  time.Duration
	able   bool
	nudges chan struct{}

	ended map[process]*ending // told to end, and not gone yet
	dead  map[process]bool    // what the last sweep found dead, with no handle
}

// process names a process for good: pids are used again.
type process struct {
	pid     int
	started string
}

// ending is how far the end of an orphan is.
type ending struct {
	killAt time.Time
	killed bool
}

func newSweeper(p *Pool, r *runs) *sweeper {
	s := &sweeper{
		events: p.events, runs: r, grace: p.cfg.KillGrace,
		mark:   []byte(TaskEnv + "=" + p.token + ":"),
		nudges: make(chan struct{}, 1),
		ended:  make(map[process]*ending), dead: make(map[process]bool),
	}
	s.able = canSweep() && unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == nil
	return s
}

// canSweep reports whether the system has what a sweep needs.
func canSweep() bool {
	if _, err := adopted(); err != nil {
		return false
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return false
	}
	defer func() { _ = self.Release() }()

	return self.WithHandle(func(uintptr) {}) == nil
}

// nudge asks for a sweep soon.
func (s *sweeper) nudge() {
	select {
	case s.nudges <- struct{}{}:
	default:
	}
}

// run sweeps after each nudge, and once more an interval later: an orphan's own
// children appear only when it is gone. At stop it sweeps until nothing is left
// to do.
func (s *sweeper) run(stop <-chan struct{}) {
	if !s.able {
		<-stop
		return
	}
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()

	again := false
	for {
		if !again {
			select {
			case <-s.nudges:
			case <-stop:
				s.last()
				return
			}
		}
		again = s.sweep() || !again
		select {
		case <-ticker.C:
		case <-stop:
			s.last()
			return
		}
	}
}

// last sweeps until nothing is left to do, bounded by the grace.
func (s *sweeper) last() {
	deadline := time.Now().Add(s.grace + stopSlack)
	for s.sweep() && time.Now().Before(deadline) {
		<-time.After(lastSweepInterval)
	}
}

// sweep does one round and reports whether there is more to do. A process that
// cannot be read is gone, or not ours.
func (s *sweeper) sweep() (more bool) {
	sweeping.Lock()
	defer sweeping.Unlock()

	children, err := adopted()
	if err != nil {
		return false
	}
	self := os.Getpid()
	found, dead := make(map[process]bool), make(map[process]bool)
	for _, pid := range children {
		st, err := readStat(pid)
		if err != nil || st.parent != self {
			continue
		}
		child := process{pid: pid, started: st.started}
		found[child] = true
		if st.dead() {
			dead[child] = true
		} else if s.ended[child] != nil || s.isOrphan(pid) {
			s.end(child, st.group == pid)
		}
	}
	// What is gone may have left children that the list does not have yet.
	reaped := s.reapDead(dead)
	gone := s.reportGone(found)
	return reaped || gone || len(s.ended) > 0 || len(s.dead) > 0
}

// isOrphan reports whether a child came of a run of this pool that is over.
func (s *sweeper) isOrphan(pid int) bool {
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		rest, ok := bytes.CutPrefix(entry, s.mark)
		if !ok {
			continue
		}
		number, _, _ := bytes.Cut(rest, []byte{':'})
		run, err := strconv.ParseUint(string(number), 10, 64)
		return err == nil && !s.runs.isOpen(run)
	}
	return false
}

// end takes the next step to end an orphan, and its group if it leads one.
func (s *sweeper) end(child process, leads bool) {
	target := child.pid
	if leads {
		target = -target
	}
	e := s.ended[child]
	if e == nil {
		e = &ending{killAt: time.Now().Add(s.grace)}
		s.ended[child] = e
		_ = syscall.Kill(target, syscall.SIGTERM)
	}
	if !e.killed && !time.Now().Before(e.killAt) {
		e.killed = true
		_ = syscall.Kill(target, syscall.SIGKILL)
	}
}

// reapDead reaps the dead children that are nobody else's, and keeps in mind
// those which the next sweep may reap. It reports whether it reaped any.
func (s *sweeper) reapDead(dead map[process]bool) (reaped bool) {
	before := s.dead
	s.dead = make(map[process]bool)
	if len(dead) == 0 {
		return false
	}
	// Read after the dead were found: what has been waited for in between has
	// no handle, and is no child any more.
	held, err := heldPIDs()
	for child := range dead {
		switch {
		case s.ended[child] != nil, before[child]:
			_, _ = syscall.Wait4(child.pid, nil, syscall.WNOHANG, nil)
			reaped = true
		case err == nil && !held[child.pid]:
			s.dead[child] = true
		}
	}
	return reaped
}

// reportGone reports orphans that were ended and are no children any more, and
// whether there are any. What was found dead is reaped by now.
func (s *sweeper) reportGone(found map[process]bool) (gone bool) {
	for child := range s.ended {
		if found[child] {
			if st, err := readStat(child.pid); err == nil && st.started == child.started {
				continue
			}
		}
		delete(s.ended, child)
		s.events.Record(events.OrphanKilled{PID: child.pid})
		gone = true
	}
	return gone
}

// adopted lists the children that this process was given, and those its main
// thread started: orphans become children of the main thread, which lives as
// long as the process.
func adopted() ([]int, error) {
	pid := strconv.Itoa(os.Getpid())
	raw, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	if err != nil {
		return nil, fmt.Errorf("reading adopted processes: %w", err)
	}
	var pids []int
	for field := range bytes.FieldsSeq(raw) {
		child, err := strconv.Atoi(string(field))
		if err != nil {
			return nil, fmt.Errorf("reading adopted processes: %w", err)
		}
		pids = append(pids, child)
	}
	return pids, nil
}

// heldPIDs returns the processes of which this one holds a handle.
func heldPIDs() (map[int]bool, error) {
	entries, err := os.ReadDir("/proc/self/fdinfo")
	if err != nil {
		return nil, fmt.Errorf("reading handles of processes: %w", err)
	}
	held := make(map[int]bool)
	for _, entry := range entries {
		info, err := os.ReadFile("/proc/self/fdinfo/" + entry.Name())
		if errors.Is(err, os.ErrNotExist) {
			continue // closed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("reading handles of processes: %w", err)
		}
		_, rest, ok := bytes.Cut(info, []byte("\nPid:"))
		if !ok {
			continue
		}
		line, _, _ := bytes.Cut(rest, []byte{'\n'})
		if pid, err := strconv.Atoi(string(bytes.TrimSpace(line))); err == nil {
			held[pid] = true
		}
	}
	return held, nil
}
