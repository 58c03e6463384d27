package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/drakkar-go/drakkar"
)

// minPipeGrace is the least time for which a descendant may hold the pipes of a
// program that has ended. What the program itself wrote is read in any case.
const minPipeGrace = 250 * time.Millisecond

// program is one run of an external program.
type program struct {
	cmd            *exec.Cmd
	stdout, stderr outputPipe
	pumps          sync.WaitGroup // those of both
	leash          leash
}

// runProgram runs the task's program once.
func (p *Pool) runProgram(ctx context.Context, life *lifetime, j Job) (drakkar.Result, error) {
	res := drakkar.Result{Task: j.Task, Attempt: j.Attempt, ExitCode: -1, StartedAt: time.Now()}
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout(j.Task), errTimedOut)
	defer cancel()
	if ctx.Err() != nil {
		return p.interrupted(context.Cause(ctx), res)
	}
	run := life.runs.begin()
	defer func() {
		life.runs.end(run)
		life.sweeper.nudge()
	}()

	prog, err := p.start(ctx, life, j.Task, run)
	if err != nil {
		res.Duration = time.Since(res.StartedAt)
		// A host that is short of something for longer than the task may take is
		// no timeout of the task's: it has not begun.
		if cause := context.Cause(ctx); passing(err) && cause != nil && !errors.Is(cause, errTimedOut) {
			return p.interrupted(cause, res)
		}
		return res, startFailed(res, err)
	}
	err = prog.wait(ctx)
	prog.fill(&res)
	if prog.leash.ended() {
		res.ExitCode = -1
		return p.interrupted(context.Cause(ctx), res)
	}
	return outcome(prog, res, err)
}

// startFailed is the error of a program that could not be started.
func startFailed(res drakkar.Result, err error) error {
	failed := drakkar.TaskError{Kind: drakkar.TaskStart, Message: err.Error(), Result: res}
	missing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound)
	if missing || passing(err) {
		return &HostError{TaskError: failed, Missing: missing}
	}
	return failed
}

// interrupted is the end of an attempt whose context has ended.
func (p *Pool) interrupted(cause error, res drakkar.Result) (drakkar.Result, error) {
	switch {
	case errors.Is(cause, errTimedOut):
		return res, p.timedOut(res)
	case errors.Is(cause, errNotReady):
		message := fmt.Sprintf("not ready within executor.resident.start_timeout, %s", p.cfg.Resident.StartTimeout)
		return res, drakkar.TaskError{Kind: drakkar.TaskTimeout, Message: message, Result: res}
	default:
		return res, cause
	}
}

// outcome judges a program that ended by itself. err is what waiting for it
// returned.
func outcome(prog *program, res drakkar.Result, err error) (drakkar.Result, error) {
	status, _ := prog.cmd.ProcessState.Sys().(syscall.WaitStatus)
	var exit *exec.ExitError
	switch {
	case status.Signaled():
		message := fmt.Sprintf("ended by signal %s", status.Signal())
		return res, drakkar.TaskError{Kind: drakkar.TaskExit, Message: message, Result: res}
	case res.ExitCode != 0:
		return res, exitError(res)
	case err == nil, errors.As(err, &exit):
		return res, nil
	default:
		message := fmt.Sprintf("passing the program's input or output: %s", err)
		return res, drakkar.TaskError{Kind: drakkar.TaskExit, Message: message, Result: res}
	}
}

// begin is called once the program runs.
func (g *program) begin(cmd *exec.Cmd) {
	g.cmd, g.leash.group = cmd, cmd.Process.Pid
	for _, o := range []*outputPipe{&g.stdout, &g.stderr} {
		o.started()
		g.pumps.Go(o.pump)
	}
}

// wait waits for the program's end, or brings it about when ctx ends, and
// leaves nothing of its group behind.
func (g *program) wait(ctx context.Context) error {
	unhook := context.AfterFunc(ctx, g.leash.end)
	defer unhook()

	err := reap(g.cmd, func() {
		g.leash.detach()
		at := time.Now().Add(g.pipeGrace())
		g.stdout.letGo(at)
		g.stderr.letGo(at)
	})
	g.pumps.Wait()
	// The delay is that of stdin, which a descendant holds: it has no part in
	// what the program came to.
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return errors.Join(g.stdout.err, g.stderr.err)
	}
	return err
}

// pipeGrace is how long others may hold the program's pipes after its end.
func (g *program) pipeGrace() time.Duration { return max(g.leash.grace, minPipeGrace) }

// fill adds what the program left to the result.
func (g *program) fill(res *drakkar.Result) {
	res.Duration = time.Since(res.StartedAt)
	res.PID = g.cmd.Process.Pid
	if g.cmd.ProcessState != nil {
		res.ExitCode = g.cmd.ProcessState.ExitCode()
	}
	// Of a pipe that a descendant kept open nobody knows what was still to come.
	res.Stdout, res.StdoutTruncated = g.stdout.kept, g.stdout.truncated || g.stdout.held
	res.Stderr, res.StderrTruncated = g.stderr.kept, g.stderr.truncated || g.stderr.held
}

// newProgram prepares a run.
func (p *Pool) newProgram() *program {
	return &program{
		stdout: outputPipe{capture: capture{max: p.cfg.MaxOutputBytes}},
		stderr: outputPipe{capture: capture{max: p.cfg.MaxOutputBytes}},
		leash:  leash{grace: p.cfg.KillGrace},
	}
}

// command returns a command for the run. A Cmd cannot be started again after an
// error, so each try has its own.
func (g *program) command(life *lifetime, t drakkar.Task, binary string, environ []string) (*exec.Cmd, error) {
	if err := errors.Join(g.stdout.open(), g.stderr.open()); err != nil {
		return nil, fmt.Errorf("making its pipes: %w", err)
	}
	//nolint:noctx // the leash ends the whole group, with a grace; a context would kill one process
	cmd := exec.Command(binary, t.Args...)
	cmd.Env, cmd.Dir = environ, t.Dir
	cmd.Stdin = life.devNull
	if t.Stdin != nil {
		cmd.Stdin = bytes.NewReader(t.Stdin)
	}
	cmd.Stdout, cmd.Stderr = g.stdout.theirs, g.stderr.theirs
	cmd.SysProcAttr = procAttr()
	cmd.WaitDelay = g.pipeGrace()
	return cmd, nil
}
