package executor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

// helperEnv makes the test binary act as a program of a test.
const helperEnv = "EXECUTOR_TEST_HELPER"

// soon is how long tests wait for what should come at once.
const soon = 20 * time.Second

func TestMain(m *testing.M) {
	if name := os.Getenv(helperEnv); name != "" {
		if err := helper(name, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// helper is what the test binary does as a program.
func helper(name string, args []string) error {
	switch name {
	case "daemon":
		// Starts its arguments in a session of their own, with its own pipes,
		// says their pid and leaves.
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			return err
		}
		fmt.Println(cmd.Process.Pid)
		return nil
	case "resident":
		return residentHelper(args)
	case "residentpool":
		// Runs one task in a resident shell, which gets the arguments, and stays.
		p, err := New(Config{
			Slots: 1, TaskTimeout: time.Hour, KillGrace: time.Hour, BinaryPath: "/bin/sh",
			Mode: drakkar.ModeResident, Resident: Resident{Args: args},
		}, Deps{})
		if err != nil {
			return err
		}
		if err := p.Start(context.Background()); err != nil {
			return err
		}
		if _, err := p.Run(context.Background(), Job{Task: drakkar.Task{ID: "t"}}); err != nil {
			return err
		}
		<-time.After(time.Hour)
		return nil
	case "pool":
		// Runs its arguments in a pool.
		p, err := New(Config{Slots: 1, TaskTimeout: time.Hour, KillGrace: time.Hour}, Deps{})
		if err != nil {
			return err
		}
		if err := p.Start(context.Background()); err != nil {
			return err
		}
		_, err = p.Run(context.Background(), Job{Task: drakkar.Task{Binary: args[0], Args: args[1:]}})
		return err
	default:
		return fmt.Errorf("no helper %q", name)
	}
}

// helperTask runs a helper.
func helperTask(t *testing.T, name string, args ...string) drakkar.Task {
	t.Helper()

	self, err := os.Executable()
	require.NoError(t, err)
	return drakkar.Task{ID: "t", Binary: self, Args: args, Env: map[string]string{helperEnv: name}}
}

// sh runs a script.
func sh(script string, args ...string) drakkar.Task {
	return drakkar.Task{ID: "t", Binary: "/bin/sh", Args: append([]string{"-c", script, "sh"}, args...)}
}

// recording keeps events.
type recording struct {
	mu   sync.Mutex
	list []events.Event
}

// Record implements events.Recorder.
func (r *recording) Record(e events.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.list = append(r.list, e)
}

// of returns the events of one type.
func of[E events.Event](r *recording) []E {
	r.mu.Lock()
	defer r.mu.Unlock()

	var found []E
	for _, e := range r.list {
		if e, ok := e.(E); ok {
			found = append(found, e)
		}
	}
	return found
}

type testBundle struct {
	pool   *Pool
	events *recording
}

// setup returns a started pool that is stopped at the end of the test.
func setup(t *testing.T, change func(*Config)) *testBundle {
	t.Helper()

	cfg := Config{
		Slots: 2, TaskTimeout: time.Minute, KillGrace: 300 * time.Millisecond,
		MaxOutputBytes: 1 << 20, EnvInheritParent: true,
	}
	if change != nil {
		change(&cfg)
	}
	rec := &recording{}
	p, err := New(cfg, Deps{Events: rec})
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context()))
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		require.NoError(t, p.Stop(ended))
	})
	return &testBundle{pool: p, events: rec}
}

// run runs a task that should succeed.
func (b *testBundle) run(t *testing.T, task drakkar.Task) drakkar.Result {
	t.Helper()

	res, err := b.pool.Run(t.Context(), Job{Task: task, Attempt: 1})
	require.NoError(t, err)
	return res
}

// fail runs a task that should fail in one way.
func (b *testBundle) fail(t *testing.T, kind drakkar.TaskErrorKind, j Job) drakkar.TaskError {
	t.Helper()

	res, err := b.pool.Run(t.Context(), j)
	var failed drakkar.TaskError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, kind, failed.Kind, failed.Message)
	require.Equal(t, res, failed.Result)
	require.Equal(t, j.Task.ID, failed.Result.Task.ID)
	require.NotContains(t, failed.Message, "\n")
	require.Empty(t, of[events.TaskFailed](b.events), "that is for the caller to tell")
	return failed
}

// hold takes a slot until the returned function is called.
func (b *testBundle) hold(t *testing.T) (release func()) {
	t.Helper()

	began, end, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_, _ = b.pool.Run(context.Background(), Job{Execute: func(context.Context, drakkar.Task) (drakkar.Result, error) {
			close(began)
			<-end
			return drakkar.Result{}, nil
		}})
	}()
	<-began
	return sync.OnceFunc(func() {
		close(end)
		<-done
	})
}

// eventually waits for a condition.
func eventually(t *testing.T, condition func() bool, message string) {
	t.Helper()

	require.Eventually(t, condition, soon, 5*time.Millisecond, message)
}

// lines splits output.
func lines(output drakkar.Bytes) []string {
	return slices.Collect(strings.FieldsFuncSeq(output.String(), func(r rune) bool { return r == '\n' }))
}
