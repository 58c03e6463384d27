package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

const (
	// readyTimeout is how long a service may take to answer. The broker needs
	// 5 s on an idle machine.
	readyTimeout = 90 * time.Second
	readyPause   = 100 * time.Millisecond
	// stopTimeout is how long a service may take to end after SIGTERM.
	stopTimeout = 20 * time.Second
	// logLines is how much of a service's log an error shows.
	logLines = 20
)

var (
	errNotReady = fmt.Errorf("it did not answer within %s", readyTimeout)
	errEnded    = errors.New("it ended")
)

// process is a running program whose output goes to a file. It is killed when
// this process dies.
type process struct {
	name    string
	logPath string
	cmd     *exec.Cmd
	exited  chan struct{} // closed when it has ended
	ending  os.Signal     // asks for an orderly end; nil means SIGTERM
}

// start runs a program, with its output appended to logPath.
func start(name, logPath, binary string, args ...string) (*process, error) {
	//nolint:noctx // it ends by stop and kill, not with the context of its start
	return startCommand(name, logPath, exec.Command(binary, args...))
}

// startCommand runs cmd, with its output appended to logPath. Of attributes it
// keeps the credential.
func startCommand(name, logPath string, cmd *exec.Cmd) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", name, err)
	}
	defer log.Close() // the program has a descriptor of its own

	p := &process{name: name, logPath: logPath, cmd: cmd, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	attr := attributes()
	if cmd.SysProcAttr != nil {
		attr.Credential = cmd.SysProcAttr.Credential
	}
	p.cmd.SysProcAttr = attr
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

// run keeps its thread until the program has ended: the signal that ends the
// program with this process is bound to the thread which started it.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_ = p.cmd.Wait() // how it ended is in the log
	close(p.exited)
}

// wait returns once ready does without an error.
func (p *process) wait(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, errNotReady)
	defer cancel()

	pause := time.NewTicker(readyPause)
	defer pause.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return p.failed("starting", errEnded)
		case <-ctx.Done():
			return p.failed("starting", fmt.Errorf("%w: %w", context.Cause(ctx), err))
		case <-pause.C:
		}
	}
}

// failed is err with the end of the log.
func (p *process) failed(doing string, err error) error {
	return fmt.Errorf("%s %s: %w; %s ends with:\n%s", doing, p.name, err, p.logPath, tail(p.logPath, logLines))
}

// stop ends the program with SIGTERM, or the signal that it wants instead, and
// with SIGKILL when that takes too long. One that has ended already is fine.
func (p *process) stop() error {
	ending := p.ending
	if ending == nil {
		ending = syscall.SIGTERM
	}
	if err := p.signal(ending); err != nil {
		return err
	}
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.exited:
		return nil
	case <-timeout.C:
		return errors.Join(p.failed("stopping", fmt.Errorf("it did not end within %s", stopTimeout)), p.kill())
	}
}

// kill ends the program with SIGKILL.
func (p *process) kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.exited
	return nil
}

func (p *process) signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %s to %s: %w", s, p.name, err)
	}
	return nil
}

// PID is the number of the process.
func (p *process) PID() int { return p.cmd.Process.Pid }

// alive returns an error with the end of the log when the program has ended.
func (p *process) alive() error {
	select {
	case <-p.exited:
		return p.failed("running", errEnded)
	default:
		return nil
	}
}

// tail returns the last lines of a file, or why there are none.
func tail(path string, n int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return lastLines(string(text), n)
}
