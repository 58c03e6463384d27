package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

// Why a resident program ended: events.ResidentEnded.Reason.
const (
	reasonMaxTasks    = "max_tasks"
	reasonMaxMemory   = "max_memory"
	reasonEvicted     = "evicted"
	reasonStopped     = "stopped"
	reasonInterrupted = "interrupted"
	reasonProtocol    = "protocol"
	reasonExited      = "exited"
)

// exitGrace is how long a program that has closed a pipe may take to be gone,
// before it is taken for one that lives on.
const exitGrace = 2 * time.Second

// resident is a program that takes task after task. It is used by one task at
// a time, and watched by a goroutine of its own from its start to its end.
type resident struct {
	kind   string // which tasks it may take, see residentKind
	cmd    *exec.Cmd
	leash  leash
	killed <-chan struct{} // closed when the pool ends its tasks

	stdin   *os.File
	stdout  *os.File
	rawIn   syscall.RawConn
	rawOut  syscall.RawConn
	answers frames
	stderr  errorPipe

	started time.Time
	exited  chan struct{}  // closed when the process is reaped
	silent  chan struct{}  // closed when stderr has ended
	users   sync.WaitGroup // the task that uses it

	ready  bool   // these five belong to the task that uses it
	asked  uint64 // requests
	sent   int    // bytes of the last one, -1 before it is sent
	served int    // answers

	ending bool // under the mu of places: it gives room soon

	mu     sync.Mutex
	reason string
	detail string
}

// blame notes why the program ends. The first reason counts.
func (r *resident) blame(reason, detail string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.reason == "" {
		r.reason, r.detail = reason, detail
	}
}

// blamed returns why the program ended.
func (r *resident) blamed() (reason, detail string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	return r.reason, r.detail
}

// retire ends a program that waits for a task: it sees the end of its input,
// and is told to end when it has not done so after the grace, or when the pool
// does not wait any longer.
func (r *resident) retire() {
	_ = r.stdin.Close()
	timer := time.NewTimer(r.leash.grace)
	defer timer.Stop()

	select {
	case <-r.exited:
		return
	case <-timer.C:
	case <-r.killed:
	}
	r.leash.end()
}

// hello waits until the program says that it is ready.
func (r *resident) hello() error {
	r.answers.max = maxReady
	frame, err := r.answers.next()
	if err != nil {
		return err
	}
	if err := decodeReady(frame); err != nil {
		return err
	}
	if r.more() {
		return &protocolError{what: "it wrote more to stdout than that it is ready"}
	}
	return nil
}

// ask hands a task to the program and returns its answer, which may be at most
// max bytes long.
func (r *resident) ask(t drakkar.Task, framing string, max int) (answer, error) {
	if r.more() {
		return answer{}, &protocolError{what: "it wrote to stdout when it was not asked", stale: r.asked > 0}
	}
	r.answers.forget() // what held returns from now on is not the last task's
	r.asked++
	r.sent = -1
	frame, err := encodeRequest(framing, r.asked, t)
	if err != nil {
		return answer{}, err
	}
	if r.sent, err = r.stdin.Write(frame); err != nil {
		return answer{}, fmt.Errorf("%w: %w", errUnread, err)
	}
	r.answers.max = max
	said, err := r.answers.next()
	if err != nil {
		return answer{}, err
	}
	a, err := decodeAnswer(said, r.asked)
	if err == nil && r.more() {
		err = &protocolError{what: "it wrote more to stdout than its answer"}
	}
	return a, err
}

// errUnread says that the program did not take the request.
var errUnread = errors.New("it did not read the request")

// more reports whether there is something on stdout behind the last frame, and
// reads it.
func (r *resident) more() bool {
	if r.answers.beyond() {
		return true
	}
	var buf [firstRead]byte
	n, _ := readNow(r.rawOut, buf[:]) // what is wrong with the pipe, the next read says
	r.answers.buf = append(r.answers.buf, buf[:n]...)
	return n > 0
}

// during runs a conversation with the program, for at most limit; over is the
// cause when that has passed. When ctx or the limit ends first, the program is
// told to end, and what it says until it has ended is listened to; the cause is
// returned, and the program must not be used again.
func (r *resident) during(ctx context.Context, limit time.Duration, over error, talk func() error) (cause, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, over)
	defer cancel()

	stop := context.AfterFunc(ctx, func() {
		r.blame(reasonInterrupted, "")
		r.leash.end()
	})
	err = talk()
	if stop() {
		return nil, err
	}
	return context.Cause(ctx), err
}

// over waits for the end of a program that failed, or brings it about, and
// returns how it came, in words, for people.
func (r *resident) over(err error) string {
	broken, is := errors.AsType[*protocolError](err)
	switch {
	case is:
		r.blame(reasonProtocol, broken.what)
		r.leash.end()
	case errors.Is(err, errFrameTooLong):
		r.blame(reasonProtocol, err.Error())
		r.leash.end()
	default: // its pipes have ended, which is a moment before it has
		timer := time.NewTimer(exitGrace)
		defer timer.Stop()

		select {
		case <-r.exited:
		case <-timer.C:
			r.blame(reasonProtocol, "it closed its stdin or stdout and lived on")
			r.leash.end()
		}
	}
	<-r.exited
	<-r.silent
	reason, detail := r.blamed()
	if reason == "" || reason == reasonExited {
		return exitText(r.cmd.ProcessState)
	}
	return detail
}

// exitText says how a program ended by itself.
func exitText(state *os.ProcessState) string {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return fmt.Sprintf("it was ended by signal %s", status.Signal())
	}
	return fmt.Sprintf("it ended with exit code %d", state.ExitCode())
}

// watch waits for the program's end and clears up behind it.
func (p *Pool) watch(life *lifetime, r *resident, run uint64) {
	_ = reap(r.cmd, r.leash.detach)
	close(r.exited)
	life.places.lost(r)

	// Descendants that left its group may keep its pipes open.
	until := time.Now().Add(max(p.cfg.KillGrace, minPipeGrace))
	_ = r.stdin.SetWriteDeadline(until)
	_ = r.stdout.SetReadDeadline(until)
	_ = r.stderr.file.SetReadDeadline(until)
	<-r.silent
	r.users.Wait()
	closeAll([]*os.File{r.stdin, r.stdout, r.stderr.file})
	life.runs.end(run)
	life.sweeper.nudge()
	p.residentEnded(r)
	life.places.gone()
}

// residentEnded tells of the end of a program.
func (p *Pool) residentEnded(r *resident) {
	unclaimed, line := r.stderr.rest()
	reason, detail := r.blamed()
	if reason == "" {
		reason, detail = reasonExited, exitText(r.cmd.ProcessState)
		if line != "" {
			detail += ": " + line
		}
	}
	p.events.Record(events.ResidentEnded{
		PID: r.cmd.Process.Pid, Binary: r.cmd.Path, Reason: reason, Detail: detail,
		Ready: r.ready, Tasks: r.served, Lived: time.Since(r.started), Unclaimed: unclaimed,
	})
}
