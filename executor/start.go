package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/drakkar-go/drakkar"
)

const (
	// startTries and startPause are for errors that pass by themselves: each
	// pause is twice as long as the one before, 630 ms together.
	startTries = 7
	startPause = 10 * time.Millisecond
)

// HostError is what Run returns for a program that could not be started for a
// reason which lies with this host and this moment, not with the task: the
// attempt was not made. It wraps a drakkar.TaskError of kind TaskStart, for
// those who take it for a failure all the same.
type HostError struct {
	drakkar.TaskError

	// Missing says that the program, its interpreter or the working directory
	// is not there: another host may have it. Otherwise the system was short of
	// something, or the program's file was open for writing, for longer than
	// the pool tries by itself, which is 630 ms.
	Missing bool
}

// Unwrap returns the failure.
func (e *HostError) Unwrap() error { return e.TaskError }

// start starts the task's program. Its error is a message for people, and wraps
// the cause.
func (p *Pool) start(ctx context.Context, life *lifetime, t drakkar.Task, run uint64) (*program, error) {
	prog, environ := p.newProgram(), p.taskEnviron(t, run)
	cmd, err := p.launch(ctx, life, t, func(binary string) (*exec.Cmd, error) {
		return prog.command(life, t, binary, environ)
	})
	if err != nil {
		prog.stdout.closeAll()
		prog.stderr.closeAll()
		return nil, err
	}
	prog.begin(cmd)
	return prog, nil
}

// launch starts the command that prepare returns for the task's program, and
// tries again where that may help.
func (p *Pool) launch(
	ctx context.Context, life *lifetime, t drakkar.Task, prepare func(binary string) (*exec.Cmd, error),
) (*exec.Cmd, error) {
	binary := p.binary(t)
	if err := checkTask(t, binary); err != nil {
		return nil, err
	}
	pause := startPause
	for try := 1; ; try++ {
		cmd, err := prepare(binary)
		if err == nil {
			err = life.spawn(cmd.Start)
		}
		if err == nil {
			return cmd, nil
		}
		if !passing(err) || try == startTries || !pauseFor(ctx, pause) {
			return nil, explainStart(err, t, binary)
		}
		pause *= 2
	}
}

// binary is the program of a task.
func (p *Pool) binary(t drakkar.Task) string { return cmp.Or(t.Binary, p.cfg.BinaryPath) }

// checkTask finds what the system would refuse without saying which part of it.
func checkTask(t drakkar.Task, binary string) error {
	hasNUL := func(s string) bool { return strings.ContainsRune(s, 0) }
	switch i := slices.IndexFunc(t.Args, hasNUL); {
	case binary == "":
		return errors.New("no program to run: set executor.binary_path, or the task's Binary")
	case hasNUL(binary):
		return fmt.Errorf("the program's path %q holds a NUL byte", binary)
	case hasNUL(t.Dir):
		return fmt.Errorf("the working directory %q holds a NUL byte", t.Dir)
	case i >= 0:
		return fmt.Errorf("argument %d holds a NUL byte", i)
	}
	for name, value := range t.Env {
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			return fmt.Errorf("the environment variable %q is empty or holds = or a NUL byte in its name", name)
		case hasNUL(value):
			return fmt.Errorf("the environment variable %s holds a NUL byte", name)
		}
	}
	return nil
}

// passing reports whether a start that failed may succeed in a moment: the
// file is still open for writing, perhaps by a fork of ours that has not called
// exec yet, the system is short of something, or a file system is away.
func passing(err error) bool {
	for _, target := range []error{
		syscall.ETXTBSY, syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.EIO, syscall.ESTALE,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// pauseFor waits, and reports false when ctx ends first.
func pauseFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// explainStart says what to do about a program that could not be started.
func explainStart(err error, t drakkar.Task, binary string) error {
	if t.Dir != "" {
		if info, dirErr := os.Stat(t.Dir); dirErr != nil {
			return fmt.Errorf("starting %s: working directory: %w", binary, dirErr)
		} else if !info.IsDir() {
			return fmt.Errorf("starting %s: the working directory %s is not a directory", binary, t.Dir)
		}
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	return fmt.Errorf("starting %s: %w%s", binary, err, startHint(err, binary))
}

// startHint adds to the system's error what to look at.
func startHint(err error, binary string) string {
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "; give executor.binary_path, or the task's Binary, a path"
	case errors.Is(err, fs.ErrNotExist):
		if _, statErr := os.Stat(binary); statErr == nil {
			return "; the file is there, its interpreter or loader is not"
		}
		return "; check executor.binary_path, or the task's Binary"
	case errors.Is(err, fs.ErrPermission):
		return "; it must be a file that this user may execute"
	case errors.Is(err, syscall.ENOEXEC):
		return "; a script must begin with #! and its interpreter"
	case errors.Is(err, syscall.E2BIG):
		return "; pass large input through Stdin"
	default:
		return ""
	}
}
