package executor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

// residentKind names the kind of resident program a task needs: tasks of one
// kind may share a program. It is empty for tasks that start one of their own.
func (p *Pool) residentKind(t drakkar.Task) string {
	mode := p.cfg.Mode
	if t.Mode != "" {
		mode = t.Mode
	}
	if mode != drakkar.ModeResident {
		return ""
	}
	parts := []string{p.binary(t), t.Dir}
	for _, name := range slices.Sorted(maps.Keys(t.Env)) {
		parts = append(parts, name, t.Env[name])
	}
	// What holds a NUL byte itself cannot be started.
	return strings.Join(parts, "\x00")
}

// attendance is one try to have a task done by a resident program.
type attendance struct {
	pool     *Pool
	life     *lifetime
	resident *resident
	fresh    bool // the task is the program's first
	res      drakkar.Result
	stderr   *capture
}

// runResident has a task done by a resident program: r, or when that is nil one
// that it starts. A program may be gone, or have broken the protocol, because of
// what was before; then another one gets the task, which was not begun.
func (p *Pool) runResident(ctx context.Context, life *lifetime, j Job, r *resident) (drakkar.Result, error) {
	started := time.Now()
	if err := checkTask(j.Task, p.binary(j.Task)); err != nil {
		if r == nil {
			life.places.leave()
		} else {
			life.places.put(r, "")
		}
		res := drakkar.Result{Task: j.Task, Attempt: j.Attempt, ExitCode: -1, StartedAt: started}
		return res, startFailed(res, err)
	}
	for {
		a := &attendance{
			pool: p, life: life, resident: r, fresh: r == nil, stderr: &capture{max: p.cfg.MaxOutputBytes},
			res: drakkar.Result{Task: j.Task, Attempt: j.Attempt, ExitCode: -1, StartedAt: started},
		}
		again, err := a.run(ctx)
		if !again {
			return a.res, err
		}
		if r, err = life.places.claim(ctx, p.residentKind(j.Task)); err != nil {
			return p.interrupted(err, a.res)
		}
	}
}

// run makes the try. Again says that it has to be made with another program.
func (a *attendance) run(ctx context.Context) (again bool, err error) {
	switch {
	case ctx.Err() != nil:
		a.unused()
		return false, context.Cause(ctx)
	case a.fresh:
		if err := a.start(ctx); err != nil {
			return false, err
		}
		cause, err := a.resident.during(ctx, a.pool.cfg.Resident.StartTimeout, errNotReady, a.resident.hello)
		if cause != nil || err != nil {
			return a.failed(cause, err, answer{})
		}
		a.resident.ready = true
		a.pool.events.Record(events.ResidentStarted{
			PID: a.resident.cmd.Process.Pid, Binary: a.resident.cmd.Path, Took: time.Since(a.resident.started),
		})
	default:
		a.resident.stderr.begin(a.stderr)
	}
	var got answer
	cause, err := a.resident.during(ctx, a.pool.timeout(a.res.Task), errTimedOut, func() (err error) {
		got, err = a.resident.ask(a.res.Task, a.pool.cfg.Resident.Framing, answerFactor*a.pool.cfg.MaxOutputBytes+answerSpare)
		return err
	})
	if cause != nil || err != nil {
		return a.failed(cause, err, got)
	}
	return false, a.answered(got)
}

// unused gives back what the task has claimed.
func (a *attendance) unused() {
	if a.fresh {
		a.life.places.leave()
	} else {
		a.life.places.put(a.resident, "")
	}
}

// start starts a program. When it cannot, the error is that of the attempt.
func (a *attendance) start(ctx context.Context) error {
	r, err := a.pool.startResident(ctx, a.life, a.res.Task, a.stderr)
	if err == nil {
		a.resident = r
		return nil
	}
	a.life.places.leave()
	a.res.Duration = time.Since(a.res.StartedAt)
	if passing(err) && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return startFailed(a.res, err)
}

// answered takes an answer and gives the program back.
func (a *attendance) answered(got answer) error {
	r := a.resident
	r.served++
	r.stderr.end()
	a.stderr.keep(got.Stderr)
	a.fill(got.Stdout)
	a.res.ExitCode = *got.ExitCode
	a.life.places.put(r, a.pool.worn(r))
	a.life.sweeper.nudge() // the program may live for days, and what its tasks leave would pile up
	if a.res.ExitCode != 0 {
		return exitError(a.res)
	}
	return nil
}

// worn says why a program has to be replaced by a fresh one, if it has to.
func (p *Pool) worn(r *resident) string {
	c := p.cfg.Resident
	switch {
	case c.MaxTasks > 0 && r.served >= c.MaxTasks:
		return reasonMaxTasks
	case c.MaxMemoryBytes > 0 && memoryOf(r.cmd.Process.Pid) >= c.MaxMemoryBytes:
		return reasonMaxMemory
	default:
		return ""
	}
}

// failed ends a program that was interrupted, for that cause, or has failed,
// and judges what this means for the task.
func (a *attendance) failed(cause, err error, got answer) (again bool, _ error) {
	r := a.resident
	defer r.users.Done()

	a.life.places.lost(r)
	how := r.over(err)
	if cause != nil && err == nil { // it has answered when it was told to end
		a.stderr.keep(got.Stderr)
		a.fill(got.Stdout)
	} else {
		a.fill(r.answers.held())
	}
	if cause != nil {
		a.res, err = a.pool.interrupted(cause, a.res)
		return false, err
	}
	if !a.fresh && r.innocent(err) {
		return true, nil
	}
	message := "resident program: " + how
	if line := firstLine(a.res.Stderr); line != "" {
		message += ": " + line
	}
	return false, drakkar.TaskError{Kind: drakkar.TaskExit, Message: message, Result: a.res}
}

// innocent reports whether the task that a program failed at has nothing to do
// with it: it was not begun. A program that has read a part of the request has
// begun: what is too large for one would otherwise end them all.
func (r *resident) innocent(err error) bool {
	broken, is := errors.AsType[*protocolError](err)
	switch {
	case is:
		return broken.stale
	case errors.Is(err, errUnread):
		left := unread(r.rawIn)
		return left == r.sent || left == cannotTell
	default:
		return len(r.answers.held()) == 0 && unread(r.rawIn) == r.sent
	}
}

// fill adds to the result what there is of any attempt.
func (a *attendance) fill(stdout []byte) {
	c := capture{max: a.pool.cfg.MaxOutputBytes}
	c.keep(stdout)
	a.res.Stdout, a.res.StdoutTruncated = c.kept, c.truncated
	a.res.Stderr, a.res.StderrTruncated = a.stderr.kept, a.stderr.truncated
	a.res.Duration = time.Since(a.res.StartedAt)
	a.res.PID = a.resident.cmd.Process.Pid
}

// startResident starts a program for tasks like t. What it writes to stderr
// goes to the task that waits for it.
func (p *Pool) startResident(ctx context.Context, life *lifetime, t drakkar.Task, stderr *capture) (*resident, error) {
	pipes, err := newPipes()
	if err != nil {
		return nil, fmt.Errorf("starting %s: making its pipes: %w", p.binary(t), err)
	}
	defer pipes.closeTheirs()

	run := life.runs.begin()
	environ, started := p.residentEnviron(t, run), time.Now()
	cmd, err := p.launch(ctx, life, t, func(binary string) (*exec.Cmd, error) {
		//nolint:noctx // see program.command
		cmd := exec.Command(binary, p.cfg.Resident.Args...)
		cmd.Env, cmd.Dir, cmd.SysProcAttr = environ, t.Dir, procAttr()
		cmd.Stdin, cmd.Stdout, cmd.Stderr = pipes.theirs[0], pipes.theirs[1], pipes.theirs[2]
		return cmd, nil
	})
	if err != nil {
		life.runs.end(run)
		pipes.closeOurs()
		return nil, err
	}
	r := &resident{
		kind: p.residentKind(t), cmd: cmd, leash: leash{group: cmd.Process.Pid, grace: p.cfg.KillGrace},
		killed: life.ctx.Done(), started: started,
		stdin: pipes.ours[0], rawIn: pipes.raw[0], stdout: pipes.ours[1], rawOut: pipes.raw[1],
		answers: frames{src: pipes.ours[1], framing: p.cfg.Resident.Framing},
		stderr:  errorPipe{file: pipes.ours[2], raw: pipes.raw[2], task: stderr, last: capture{max: 4 * maxErrorLine}},
		exited:  make(chan struct{}), silent: make(chan struct{}),
	}
	r.users.Add(1)
	life.places.all.Go(func() {
		r.stderr.pump()
		close(r.silent)
	})
	life.places.all.Go(func() { p.watch(life, r, run) })
	return r, nil
}

// pipes are the standard streams of a program: both ends of each.
type pipes struct {
	ours, theirs [3]*os.File
	raw          [3]syscall.RawConn // of ours
}

func newPipes() (*pipes, error) {
	p := &pipes{}
	for i := range p.ours {
		read, write, err := os.Pipe()
		if err != nil {
			p.closeOurs()
			p.closeTheirs()
			return nil, err
		}
		p.ours[i], p.theirs[i] = read, write
		if i == 0 {
			p.ours[i], p.theirs[i] = write, read
		}
		if p.raw[i], err = p.ours[i].SyscallConn(); err != nil {
			p.closeOurs()
			p.closeTheirs()
			return nil, err
		}
	}
	return p, nil
}

func (p *pipes) closeOurs() { closeAll(p.ours[:]) }

func (p *pipes) closeTheirs() { closeAll(p.theirs[:]) }

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // of nil, too
	}
}
