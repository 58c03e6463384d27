package executor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

var errAway = errors.New("the caller went away")

func TestNew_NamesEverySetting(t *testing.T) {
	t.Parallel()

	_, err := New(Config{KillGrace: -1, MaxOutputBytes: -1}, Deps{})
	for _, key := range []string{
		"executor.max_executors", "executor.task_timeout", "executor.kill_grace", "executor.max_output_bytes",
	} {
		require.ErrorContains(t, err, key)
	}
}

func TestRun_Result(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	at := events.At{Topic: "in", Partition: 3, Offset: 7}
	task := sh(`echo out; echo err >&2; echo $$`)
	before := time.Now()
	res, err := b.pool.Run(t.Context(), Job{Task: task, Attempt: 2, At: at})
	require.NoError(t, err)

	require.Equal(t, task, res.Task)
	require.Equal(t, 2, res.Attempt)
	require.Zero(t, res.ExitCode)
	require.Equal(t, "err\n", res.Stderr.String())
	require.Equal(t, "out", lines(res.Stdout)[0])
	require.Positive(t, res.PID)
	require.False(t, res.StartedAt.Before(before))
	require.Positive(t, res.Duration)
	require.False(t, res.StdoutTruncated || res.StderrTruncated)

	started := of[events.TaskStarted](b.events)
	require.Len(t, started, 1)
	require.Equal(t, events.TaskStarted{
		At: at, Task: task, Attempt: 2, Slot: 0, Waited: started[0].Waited, Active: 1,
	}, started[0])
	require.Equal(t, []events.TaskCompleted{{At: at, Result: res}}, of[events.TaskCompleted](b.events))
}

func TestRun_Precomputed(t *testing.T) {
	t.Parallel()

	b := setup(t, func(c *Config) { c.Slots = 1 })
	defer b.hold(t)() // no slot is needed

	known := &drakkar.Precomputed{Stdout: drakkar.Bytes("known"), Duration: time.Second}
	res := b.run(t, drakkar.Task{ID: "t", Precomputed: known})
	require.Equal(t, "known", res.Stdout.String())
	require.Equal(t, time.Second, res.Duration)
	require.Zero(t, res.PID)
	require.Equal(t, 1, res.Attempt)

	started := of[events.TaskStarted](b.events)
	last := started[len(started)-1]
	require.True(t, last.Precomputed)
	require.Equal(t, -1, last.Slot)
	completed := of[events.TaskCompleted](b.events)
	require.Len(t, completed, 1)
	require.True(t, completed[0].Precomputed)

	failed := b.fail(t, drakkar.TaskExit, Job{Task: drakkar.Task{
		ID: "t", Precomputed: &drakkar.Precomputed{ExitCode: 4, Stderr: drakkar.Bytes("bad\nworse")},
	}})
	require.Equal(t, "exit code 4: bad", failed.Message)
	require.Len(t, of[events.TaskCompleted](b.events), 1)
}

func TestRun_CannotStart(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	require.NoError(t, os.WriteFile(plain, []byte("text"), 0o600))
	noInterpreter := filepath.Join(dir, "script")
	require.NoError(t, os.WriteFile(noInterpreter, []byte("#!/no/such/interpreter\n"), 0o700))
	noFormat := filepath.Join(dir, "noformat")
	require.NoError(t, os.WriteFile(noFormat, []byte("echo x\n"), 0o700))

	missing := map[string]bool{"Missing": true, "NotInPath": true, "NoInterpreter": true, "MissingDir": true}
	for _, tt := range []struct {
		name string
		task drakkar.Task
		says string
	}{
		{"NoBinary", drakkar.Task{}, "executor.binary_path"},
		{"Missing", drakkar.Task{Binary: "/no/such/program"}, "executor.binary_path"},
		{"NotInPath", drakkar.Task{Binary: "no-such-program"}, "executor.binary_path"},
		{"NotExecutable", drakkar.Task{Binary: plain}, "may execute"},
		{"Directory", drakkar.Task{Binary: dir}, "may execute"},
		{"NoInterpreter", drakkar.Task{Binary: noInterpreter}, "interpreter"},
		{"NoFormat", drakkar.Task{Binary: noFormat}, "#!"},
		{"NULInBinary", drakkar.Task{Binary: "/bin/s\x00h"}, "NUL"},
		{"NULInArgument", drakkar.Task{Binary: "/bin/sh", Args: []string{"a", "b\x00"}}, "argument 1"},
		{"NULInEnv", drakkar.Task{Binary: "/bin/sh", Env: map[string]string{"A": "\x00"}}, "variable A"},
		{"NULInEnvName", drakkar.Task{Binary: "/bin/sh", Env: map[string]string{"A\x00": ""}}, "NUL"},
		{"EqualsInEnvName", drakkar.Task{Binary: "/bin/sh", Env: map[string]string{"A=B": "C"}}, "A=B"},
		{"NULInDir", drakkar.Task{Binary: "/bin/sh", Dir: "\x00"}, "working directory"},
		{"MissingDir", drakkar.Task{Binary: "/bin/sh", Dir: "/no/such/dir"}, "working directory"},
		{"FileAsDir", drakkar.Task{Binary: "/bin/sh", Dir: plain}, "not a directory"},
		{"TooLong", drakkar.Task{Binary: "/bin/sh", Args: []string{strings.Repeat("x", 4<<20)}}, "Stdin"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			tt.task.ID = "t"
			failed := b.fail(t, drakkar.TaskStart, Job{Task: tt.task, Attempt: 1})
			_, err := b.pool.Run(t.Context(), Job{Task: tt.task, Attempt: 1})
			host, elsewhere := errors.AsType[*HostError](err)
			require.Equal(t, missing[tt.name], elsewhere, "what another host would refuse too is the task's failure")
			require.Equal(t, elsewhere, elsewhere && host.Missing)
			require.Contains(t, failed.Message, tt.says)
			require.Equal(t, -1, failed.Result.ExitCode)
			require.Zero(t, failed.Result.PID)
			require.Equal(t, 1, failed.Result.Attempt)
			require.False(t, failed.Result.StartedAt.IsZero())
		})
	}
}

// A program that is still open for writing is tried again.
func TestRun_TextFileBusy(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	path := filepath.Join(t.TempDir(), "prog")
	data, err := os.ReadFile("/bin/true")
	require.NoError(t, err)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
	require.NoError(t, err)
	_, err = f.Write(data)
	require.NoError(t, err)

	time.AfterFunc(50*time.Millisecond, func() { _ = f.Close() })
	b.run(t, drakkar.Task{ID: "t", Binary: path})
}

// busyProgram is a program that cannot be started, since it is open for writing.
func busyProgram(t *testing.T) (path string) {
	t.Helper()

	path = filepath.Join(t.TempDir(), "prog")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return path
}

// A program that stays open for writing is not the task's fault: the attempt
// was not made.
func TestRun_TextFileStaysBusy(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	path := busyProgram(t)
	res, err := b.pool.Run(t.Context(), Job{Task: drakkar.Task{ID: "t", Binary: path}, Attempt: 1})
	host, ok := errors.AsType[*HostError](err)
	require.True(t, ok, "%v", err)
	require.False(t, host.Missing)
	require.Equal(t, drakkar.TaskStart, host.Kind)
	require.ErrorContains(t, err, "text file busy")
	require.Equal(t, res, host.Result)
	require.GreaterOrEqual(t, res.Duration, 600*time.Millisecond, "it was tried again first")

	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(errAway) })
	_, err = b.pool.Run(ctx, Job{Task: drakkar.Task{ID: "t", Binary: path}})
	require.Equal(t, errAway, err, "who stops is not kept waiting")
}

// A host that is short of something fails no task, however little time it has.
func TestRun_TimeoutWhileItCannotStart(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	path := busyProgram(t)
	_, err := b.pool.Run(t.Context(), Job{Task: drakkar.Task{ID: "t", Binary: path, Timeout: 50 * time.Millisecond}, Attempt: 1})
	host, ok := errors.AsType[*HostError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, drakkar.TaskStart, host.Kind)
}

// What a start's error says about whose fault it is.
func TestStartFailed(t *testing.T) {
	t.Parallel()

	const task, short, missing = "task", "short", "missing"
	for cause, want := range map[error]string{
		syscall.EAGAIN: short, syscall.ENOMEM: short, syscall.EMFILE: short, syscall.ENFILE: short, syscall.ETXTBSY: short,
		syscall.EIO: short, syscall.ESTALE: short,
		syscall.ENOENT: missing, exec.ErrNotFound: missing,
		syscall.E2BIG: task, syscall.ENOEXEC: task, syscall.EACCES: task, syscall.EPERM: task, syscall.EINVAL: task,
		syscall.ENAMETOOLONG: task, syscall.ELOOP: task, syscall.ENOTDIR: task,
	} {
		cause = explainStart(&fs.PathError{Op: "fork/exec", Path: "prog", Err: cause}, drakkar.Task{}, "prog")
		err := startFailed(drakkar.Result{Attempt: 3}, cause)
		got := task
		if host, ok := errors.AsType[*HostError](err); ok && host.Missing {
			got = missing
		} else if ok {
			got = short
		}
		require.Equal(t, want, got, "%v", cause)
		failed, ok := errors.AsType[drakkar.TaskError](err)
		require.True(t, ok, "a failure to those who do not tell apart")
		require.Equal(t, drakkar.TaskError{Kind: drakkar.TaskStart, Message: cause.Error(), Result: drakkar.Result{Attempt: 3}}, failed)
	}
}

func TestRun_BinaryOfTaskWins(t *testing.T) {
	t.Parallel()

	b := setup(t, func(c *Config) { c.BinaryPath = "/bin/false" })
	b.run(t, drakkar.Task{ID: "t", Binary: "true"}) // found in PATH
	b.fail(t, drakkar.TaskExit, Job{Task: drakkar.Task{ID: "t"}})
}

func TestRun_Stdin(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	for _, tt := range []struct {
		name  string
		stdin drakkar.Bytes
		want  string
	}{
		{"None", nil, ""},
		{"Empty", drakkar.Bytes{}, ""},
		{"Text", drakkar.Bytes("a\x00b"), "a\x00b"},
		{"Large", drakkar.Bytes(strings.Repeat("x", 1<<20)), strings.Repeat("x", 1<<20)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			task := sh("cat")
			task.Stdin = tt.stdin
			require.Equal(t, tt.want, b.run(t, task).Stdout.String())
		})
	}
	t.Run("NotRead", func(t *testing.T) {
		t.Parallel()

		task := sh("exit 0")
		task.Stdin = drakkar.Bytes(strings.Repeat("x", 1<<20))
		b.run(t, task)
	})
}

func TestRun_Surroundings(t *testing.T) {
	t.Parallel()

	b := setup(t, func(c *Config) {
		c.Environ = []string{"KEPT=1", "db_password=2", "SECRET_X=3", "OVER=parent", "ALSO=parent", "broken", "=x", TaskEnv + "=outer"}
		c.EnvInheritDeny = []string{"*PASSWORD*", "secret_*"}
		c.Env = map[string]string{"OVER": "config", "ALSO": "config"}
	})
	task := drakkar.Task{ID: "t", Binary: "/usr/bin/env", Env: map[string]string{"ALSO": "task"}, Dir: t.TempDir()}
	mark := TaskEnv + "=" + b.pool.token + ":1:t"
	require.ElementsMatch(t, []string{"KEPT=1", "OVER=config", "ALSO=task", mark}, lines(b.run(t, task).Stdout))

	task.Binary, task.Args = "/bin/pwd", nil
	require.Equal(t, task.Dir, lines(b.run(t, task).Stdout)[0])

	alone := setup(t, func(c *Config) {
		c.Environ = []string{"KEPT=1"}
		c.EnvInheritParent = false
		c.Env = map[string]string{"MINE": "1"}
	})
	got := lines(alone.run(t, drakkar.Task{ID: "t", Binary: "/usr/bin/env"}).Stdout)
	require.Len(t, got, 2)
	require.Contains(t, got, "MINE=1")
}

func TestRun_Ends(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	for _, tt := range []struct {
		name, script, message string
		code                  int
	}{
		{"Code", "exit 3", "exit code 3", 3},
		{"Stderr", `printf '\n  first\nsecond\n' >&2; exit 1`, "exit code 1: first", 1},
		{"Signal", "kill -9 $$", "ended by signal killed", -1},
		{"Segfault", "kill -SEGV $$", "ended by signal segmentation fault", -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			failed := b.fail(t, drakkar.TaskExit, Job{Task: sh("echo out; " + tt.script)})
			require.Equal(t, tt.message, failed.Message)
			require.Equal(t, tt.code, failed.Result.ExitCode)
			require.Equal(t, "out\n", failed.Result.Stdout.String())
			require.Positive(t, failed.Result.PID)
		})
	}
}

func TestRun_Output(t *testing.T) {
	t.Parallel()

	t.Run("Huge", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.MaxOutputBytes = 1 << 16 })
		res := b.run(t, sh("head -c 200000000 /dev/zero; echo end >&2"))
		require.Len(t, res.Stdout, 1<<16)
		require.LessOrEqual(t, cap(res.Stdout), 1<<17)
		require.True(t, res.StdoutTruncated)
		require.Equal(t, "end\n", res.Stderr.String())
		require.False(t, res.StderrTruncated)
	})
	t.Run("None", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.MaxOutputBytes = 0 })
		res := b.run(t, sh("echo out"))
		require.Empty(t, res.Stdout)
		require.True(t, res.StdoutTruncated)
		require.False(t, res.StderrTruncated)
	})
}

func TestRun_Timeout(t *testing.T) {
	t.Parallel()

	t.Run("KeepsOutput", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.KillGrace = time.Minute })
		task := sh("echo partial; sleep 60")
		task.Timeout = 300 * time.Millisecond
		failed := b.fail(t, drakkar.TaskTimeout, Job{Task: task})
		require.Equal(t, "timed out after 300ms", failed.Message)
		require.Equal(t, -1, failed.Result.ExitCode)
		require.Equal(t, "partial\n", failed.Result.Stdout.String())
		require.Less(t, failed.Result.Duration, soon)
	})
	t.Run("KillsAfterGrace", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.TaskTimeout = 200 * time.Millisecond })
		failed := b.fail(t, drakkar.TaskTimeout, Job{Task: sh(`trap "" TERM; while :; do sleep 0.01; done`)})
		require.GreaterOrEqual(t, failed.Result.Duration, 500*time.Millisecond)
		require.Less(t, failed.Result.Duration, soon)
	})
	t.Run("EvenIfItEndsWell", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.TaskTimeout = 200 * time.Millisecond })
		failed := b.fail(t, drakkar.TaskTimeout, Job{Task: sh(`trap "exit 0" TERM; while :; do sleep 0.01; done`)})
		require.Equal(t, -1, failed.Result.ExitCode)
	})
	t.Run("WaitForSlotDoesNotCount", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.Slots, c.TaskTimeout = 1, time.Second })
		release := b.hold(t)
		time.AfterFunc(1500*time.Millisecond, release)
		b.run(t, sh("exit 0"))
		started := of[events.TaskStarted](b.events)
		require.Greater(t, started[1].Waited, time.Second)
	})
}

func TestRun_Cancel(t *testing.T) {
	t.Parallel()

	t.Run("Running", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		ready := filepath.Join(t.TempDir(), "ready")
		go func() {
			for {
				if _, err := os.Stat(ready); err == nil || t.Context().Err() != nil {
					break
				}
				runtime.Gosched()
			}
			cancel(errAway)
		}()
		res, err := b.pool.Run(ctx, Job{Task: sh(`echo partial; touch "$1"; sleep 60`, ready)})
		require.Equal(t, errAway, err)
		require.Equal(t, "partial\n", res.Stdout.String())
		require.Equal(t, -1, res.ExitCode)
		require.Zero(t, b.pool.Stats().Active)
		require.Empty(t, of[events.TaskCompleted](b.events))
	})
	t.Run("Waiting", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.Slots = 1 })
		defer b.hold(t)()
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() {
			_, err := b.pool.Run(ctx, Job{Task: sh("exit 0")})
			done <- err
		}()
		eventually(t, func() bool { return b.pool.Stats().Waiting == 1 }, "it waits")
		cancel(errAway)
		require.Equal(t, errAway, <-done)
		require.Equal(t, Stats{Slots: 1, Active: 1}, b.pool.Stats())
	})
	t.Run("Before", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errAway)
		_, err := b.pool.Run(ctx, Job{Task: sh("exit 0")})
		require.Equal(t, errAway, err)
		require.Empty(t, of[events.TaskStarted](b.events))
	})
	t.Run("ParentDeadlineIsNoTimeout", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := b.pool.Run(ctx, Job{Task: sh("sleep 60")})
		require.Equal(t, context.DeadlineExceeded, err)
	})
}

func TestRun_Execute(t *testing.T) {
	t.Parallel()

	job := func(f func(context.Context, drakkar.Task) (drakkar.Result, error)) Job {
		return Job{Task: drakkar.Task{ID: "t", Timeout: 50 * time.Millisecond}, Attempt: 1, Execute: f}
	}
	t.Run("Result", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.MaxOutputBytes = 1 })
		j := job(func(_ context.Context, task drakkar.Task) (drakkar.Result, error) {
			return drakkar.Result{Stdout: drakkar.Bytes(task.ID + " done"), Attempt: 99}, nil
		})
		j.Task.Timeout = time.Minute
		res, err := b.pool.Run(t.Context(), j)
		require.NoError(t, err)
		require.Equal(t, "t done", res.Stdout.String())
		require.Equal(t, 1, res.Attempt)
		require.Equal(t, j.Task, res.Task)
		require.False(t, res.StartedAt.IsZero())
		require.Len(t, of[events.TaskCompleted](b.events), 1)
	})
	t.Run("Fails", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		for _, tt := range []struct {
			name    string
			kind    drakkar.TaskErrorKind
			message string
			execute func(context.Context, drakkar.Task) (drakkar.Result, error)
		}{
			{"Error", drakkar.TaskExecute, "no luck", func(context.Context, drakkar.Task) (drakkar.Result, error) {
				return drakkar.Result{}, errors.New("no luck")
			}},
			{"Panic", drakkar.TaskExecute, "Execute panicked: oh", func(context.Context, drakkar.Task) (drakkar.Result, error) {
				panic("oh")
			}},
			{"ExitCode", drakkar.TaskExit, "exit code 2: why", func(context.Context, drakkar.Task) (drakkar.Result, error) {
				return drakkar.Result{ExitCode: 2, Stderr: drakkar.Bytes("why")}, nil
			}},
			{"Timeout", drakkar.TaskTimeout, "timed out after 50ms", func(ctx context.Context, _ drakkar.Task) (drakkar.Result, error) {
				<-ctx.Done()
				return drakkar.Result{}, context.Cause(ctx)
			}},
			{"LateSuccess", drakkar.TaskTimeout, "timed out after 50ms", func(ctx context.Context, _ drakkar.Task) (drakkar.Result, error) {
				<-ctx.Done()
				return drakkar.Result{Stdout: drakkar.Bytes("late")}, nil
			}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()

				j := job(tt.execute)
				if tt.kind != drakkar.TaskTimeout {
					j.Task.Timeout = time.Minute
				}
				failed := b.fail(t, tt.kind, j)
				require.Equal(t, tt.message, failed.Message)
				if tt.kind != drakkar.TaskExit {
					require.Equal(t, -1, failed.Result.ExitCode)
				}
				if tt.name == "Panic" {
					require.Contains(t, failed.Result.Stderr.String(), "goroutine")
				}
			})
		}
	})
	t.Run("Cancelled", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		j := job(func(ctx context.Context, _ drakkar.Task) (drakkar.Result, error) {
			cancel(errAway)
			<-ctx.Done()
			return drakkar.Result{}, ctx.Err()
		})
		j.Task.Timeout = time.Minute
		_, err := b.pool.Run(ctx, j)
		require.Equal(t, errAway, err)
	})
	t.Run("GoexitGivesSlotBack", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		var ended sync.WaitGroup
		ended.Go(func() {
			_, _ = b.pool.Run(t.Context(), job(func(context.Context, drakkar.Task) (drakkar.Result, error) {
				runtime.Goexit()
				return drakkar.Result{}, nil
			}))
		})
		ended.Wait()
		require.Zero(t, b.pool.Stats().Active)
	})
}

func TestStart_ReportsReadings(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	defer b.hold(t)()
	eventually(t, func() bool { return len(of[events.PoolState](b.events)) > 0 }, "a reading")
	require.Equal(t, events.PoolState{Slots: 2, Active: 1}, of[events.PoolState](b.events)[0])
}

func TestStop(t *testing.T) {
	t.Parallel()

	ended, cancel := context.WithCancel(context.Background())
	cancel()

	t.Run("NeverStarted", func(t *testing.T) {
		t.Parallel()

		p, err := New(Config{Slots: 1, TaskTimeout: time.Second}, Deps{})
		require.NoError(t, err)
		require.NoError(t, p.Stop(t.Context()))
		_, err = p.Run(t.Context(), Job{Task: sh("exit 0")})
		require.ErrorIs(t, err, ErrStopped)
		require.ErrorIs(t, p.Start(ended), context.Canceled)
	})
	t.Run("LetsRunningTasksEnd", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.Slots = 1 })
		release := b.hold(t)
		waiting := make(chan error)
		go func() {
			_, err := b.pool.Run(t.Context(), Job{Task: sh("exit 0")})
			waiting <- err
		}()
		eventually(t, func() bool { return b.pool.Stats().Waiting == 1 }, "it waits")

		stopped := make(chan error)
		go func() { stopped <- b.pool.Stop(t.Context()) }()
		require.ErrorIs(t, <-waiting, ErrStopped)
		_, err := b.pool.Run(t.Context(), Job{Task: sh("exit 0")})
		require.ErrorIs(t, err, ErrStopped)
		select {
		case <-stopped:
			require.Fail(t, "stopped although a task runs")
		default:
		}
		release()
		require.NoError(t, <-stopped)
		require.NoError(t, b.pool.Stop(t.Context()))
		require.Len(t, of[events.TaskCompleted](b.events), 1)
	})
	t.Run("EndsThemWithItsContext", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		running := make(chan error)
		go func() {
			_, err := b.pool.Run(t.Context(), Job{Task: sh(`trap "" TERM; while :; do sleep 0.01; done`)})
			running <- err
		}()
		eventually(t, func() bool { return b.pool.Stats().Active == 1 }, "it runs")
		patient := make(chan error)
		go func() { patient <- b.pool.Stop(t.Context()) }()
		eventually(t, func() bool {
			_, err := b.pool.Run(t.Context(), Job{Task: drakkar.Task{Binary: "true"}})
			return errors.Is(err, ErrStopped)
		}, "it drains")
		require.NoError(t, b.pool.Stop(ended)) // a second, less patient call
		require.NoError(t, <-patient)
		require.ErrorIs(t, <-running, ErrStopped)
	})
	t.Run("TellsOfFunctionsThatGoOn", func(t *testing.T) {
		t.Parallel()

		p, err := New(Config{Slots: 1, TaskTimeout: time.Minute}, Deps{})
		require.NoError(t, err)
		require.NoError(t, p.Start(t.Context()))
		b := &testBundle{pool: p}
		release := b.hold(t)
		require.ErrorContains(t, p.Stop(ended), "1 tasks still run")
		release()
		require.Zero(t, p.Stats().Active)
	})
	t.Run("StartWaitsForTheEnd", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		release := b.hold(t)
		stopped := make(chan error)
		go func() { stopped <- b.pool.Stop(t.Context()) }()
		eventually(t, func() bool {
			_, err := b.pool.Run(t.Context(), Job{Task: drakkar.Task{Binary: "true"}})
			return errors.Is(err, ErrStopped)
		}, "it drains")
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.ErrorIs(t, b.pool.Start(short), context.DeadlineExceeded)
		release()
		require.NoError(t, b.pool.Start(t.Context()))
		require.NoError(t, <-stopped)
		b.run(t, sh("exit 0"))
	})
	t.Run("StartsAgain", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		require.NoError(t, b.pool.Stop(t.Context()))
		require.NoError(t, b.pool.Start(t.Context()))
		b.run(t, sh("exit 0"))
	})
	t.Run("Stress", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				for range 50 {
					if err := b.pool.Start(t.Context()); err != nil {
						t.Error(err)
					}
					_, _ = b.pool.Run(t.Context(), Job{Execute: func(context.Context, drakkar.Task) (drakkar.Result, error) {
						return drakkar.Result{}, nil
					}})
					if err := b.pool.Stop(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		require.Equal(t, Stats{Slots: 2}, b.pool.Stats())
	})
}
