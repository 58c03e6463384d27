package executor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

// How a program ends is no exit code of a task: a code that a handler takes
// for success must not come from a crash.
func TestResident_Ends(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name, message string
		args          []string
	}{
		{"Code", "resident program: it ended with exit code 3: oh no", []string{"crash", "3"}},
		{"Zero", "resident program: it ended with exit code 0: oh no", []string{"crash", "0"}},
		{"Signal", "resident program: it was ended by signal killed", []string{"killed"}},
		{"KeepsPipes", "resident program: it ended with exit code 3", []string{"dies"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			b := setup(t, one)
			b.run(t, ask(t, "count"))
			failed := b.fail(t, drakkar.TaskExit, Job{Task: ask(t, tt.args...)})
			require.Equal(t, tt.message, failed.Message)
			require.Equal(t, -1, failed.Result.ExitCode)
			require.Less(t, failed.Result.Duration, soon)
			end := b.ended(t, 1)[0]
			require.Equal(t, reasonExited, end.Reason)
			require.Equal(t, 1, end.Tasks)
			require.Equal(t, "0", b.run(t, ask(t, "count")).Stdout.String(), "the next one has a fresh program")
		})
	}
}

// A program that does not become ready is ended, and the task that waited for
// it fails with what it said.
func TestResident_NotReady(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name string
		args []string
		kind drakkar.TaskErrorKind
		says string
	}{
		{"Exits", []string{"exits"}, drakkar.TaskExit, "it ended with exit code 1: no model"},
		{"NotReady", []string{"{}\n"}, drakkar.TaskExit, "its first message has no ready"},
		{"Banner", []string{"Welcome!\n"}, drakkar.TaskExit, `its first message is not {"ready":1}`},
		{"OtherVersion", []string{"{\"ready\":2}\n"}, drakkar.TaskExit, "it speaks version 2 of the protocol, not 1"},
		{"AndMore", []string{"{\"ready\":1}\nHello\n"}, drakkar.TaskExit, "more to stdout than that it is ready"},
		{"TooMuch", []string{strings.Repeat("x", 9000)}, drakkar.TaskExit, "more than 4096 bytes without a line break"},
		{"Silent", []string{"silent"}, drakkar.TaskTimeout, "not ready within executor.resident.start_timeout, 300ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			b := setup(t, func(c *Config) {
				c.Slots, c.Resident.Args = 1, tt.args
				if tt.kind == drakkar.TaskTimeout {
					c.Resident.StartTimeout = 300 * time.Millisecond
				}
			})
			failed := b.fail(t, tt.kind, Job{Task: ask(t, "count")})
			require.Contains(t, failed.Message, tt.says)
			require.Equal(t, -1, failed.Result.ExitCode)
			require.Positive(t, failed.Result.PID)
			if tt.name == "Banner" {
				require.Equal(t, "Welcome!\n", failed.Result.Stdout.String())
			}
			require.False(t, b.ended(t, 1)[0].Ready)
			require.Empty(t, of[events.ResidentStarted](b.events))
			eventually(t, func() bool { return len(b.pool.life.places.room) == 0 }, "its room is free")
		})
	}
	t.Run("ReadyWhenItIsEnded", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) {
			c.Slots, c.BinaryPath, c.Resident.StartTimeout = 1, "/bin/sh", 300*time.Millisecond
			c.Resident.Args = []string{"-c", `trap 'echo "{\"ready\":1}"; exit' TERM; sleep 600 & wait`}
		})
		b.fail(t, drakkar.TaskTimeout, Job{Task: drakkar.Task{ID: "t", Mode: drakkar.ModeResident}})
		require.False(t, b.ended(t, 1)[0].Ready, "it was never told as started")
		require.Empty(t, of[events.ResidentStarted](b.events))
	})
}

// The timeout of a task begins when its program is ready.
func TestResident_StartDoesNotCount(t *testing.T) {
	t.Parallel()

	b := setup(t, func(c *Config) {
		c.Slots, c.BinaryPath = 1, "/bin/sh"
		c.Resident.Args = []string{"-c", `sleep 1; echo '{"ready":1}'; read -r line; echo '{"id":1,"exit_code":0}'`}
	})
	res := b.run(t, drakkar.Task{ID: "t", Mode: drakkar.ModeResident, Timeout: 500 * time.Millisecond})
	require.Greater(t, res.Duration, time.Second)
}

// What cannot be started fails as it does when it is spawned.
func TestResident_CannotStart(t *testing.T) {
	t.Parallel()

	b := setup(t, one)
	for _, task := range []drakkar.Task{
		{}, {Binary: "/no/such/program"}, {Binary: "/"}, {Binary: "/bin/sh", Dir: "/no/such/dir"}, {Binary: "/bin/sh", Args: []string{"\x00"}},
	} {
		task.ID = "t"
		want := b.fail(t, drakkar.TaskStart, Job{Task: task})
		_, err := b.pool.Run(t.Context(), Job{Task: task})
		spawned, isHost := errors.AsType[*HostError](err)

		task.Mode = drakkar.ModeResident
		require.Equal(t, want.Message, b.fail(t, drakkar.TaskStart, Job{Task: task}).Message)
		_, err = b.pool.Run(t.Context(), Job{Task: task})
		resident, also := errors.AsType[*HostError](err)
		require.Equal(t, isHost, also)
		require.Equal(t, isHost && spawned.Missing, also && resident.Missing)
		require.Empty(t, b.pool.life.places.room)
	}
}

func TestResident_Timeout(t *testing.T) {
	t.Parallel()

	limited := func(t *testing.T, args ...string) drakkar.Task {
		task := ask(t, args...)
		task.Timeout = 300 * time.Millisecond
		return task
	}
	t.Run("KeepsOutput", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.Slots, c.KillGrace = 1, time.Minute })
		b.run(t, ask(t, "count"))
		failed := b.fail(t, drakkar.TaskTimeout, Job{Task: limited(t, "never", `{"id":2,"exit_co`)})
		require.Equal(t, "timed out after 300ms", failed.Message)
		require.Equal(t, -1, failed.Result.ExitCode)
		require.Equal(t, `{"id":2,"exit_co`, failed.Result.Stdout.String())
		require.Equal(t, "thinking\n", failed.Result.Stderr.String())
		require.Less(t, failed.Result.Duration, soon)
		require.Equal(t, reasonInterrupted, b.ended(t, 1)[0].Reason)
		require.NotEqual(t, failed.Result.PID, b.run(t, ask(t, "count")).PID)
	})
	t.Run("KillsAfterGrace", func(t *testing.T) {
		t.Parallel()

		b := setup(t, one)
		failed := b.fail(t, drakkar.TaskTimeout, Job{Task: limited(t, "stubborn")})
		require.GreaterOrEqual(t, failed.Result.Duration, 600*time.Millisecond)
		require.Less(t, failed.Result.Duration, soon)
	})
	t.Run("EvenIfItAnswers", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.Slots, c.KillGrace = 1, time.Minute })
		failed := b.fail(t, drakkar.TaskTimeout, Job{Task: limited(t, "hurries")})
		require.Equal(t, -1, failed.Result.ExitCode)
		require.Equal(t, "half", failed.Result.Stdout.String(), "what it has is kept")
		b.ended(t, 1)
	})
	t.Run("RequestIsNotRead", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) {
			c.Slots, c.BinaryPath = 1, "/bin/sh"
			c.Resident.Args = []string{"-c", `echo '{"ready":1}'; exec sleep 600`}
		})
		task := drakkar.Task{ID: "t", Mode: drakkar.ModeResident, Timeout: 300 * time.Millisecond, Stdin: make(drakkar.Bytes, 1<<20)}
		failed := b.fail(t, drakkar.TaskTimeout, Job{Task: task})
		require.Less(t, failed.Result.Duration, soon)
		require.Empty(t, failed.Result.Stdout, "what it said before was not about the task")
	})
}

// What cannot be passed on is refused whether a program waits for a task or not.
func TestResident_NULBytes(t *testing.T) {
	t.Parallel()

	b := setup(t, one)
	task := ask(t, "count")
	task.Env["A"], task.Env["B"] = "x", "y"
	b.run(t, task)
	pid := b.idle(t).cmd.Process.Pid
	for _, spoil := range []func(*drakkar.Task){
		func(t *drakkar.Task) { t.Env["A"] = "x\x00B\x00y" }, // with B, it looks like the other's
		func(t *drakkar.Task) { t.Env["A"], t.Env["B"] = "x", "y"; t.Args = append(t.Args, "\x00") },
	} {
		bad := ask(t, "count")
		spoil(&bad)
		failed := b.fail(t, drakkar.TaskStart, Job{Task: bad})
		require.Contains(t, failed.Message, "NUL byte")
	}
	require.Equal(t, pid, b.run(t, task).PID, "the program was given back")
}

func TestResident_Cancel(t *testing.T) {
	t.Parallel()

	b := setup(t, one)
	b.run(t, ask(t, "count"))
	r := b.idle(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		for ctx.Err() == nil {
			r.stderr.mu.Lock()
			thinking := r.stderr.task != nil && len(r.stderr.task.kept) > 0
			r.stderr.mu.Unlock()
			if thinking {
				cancel(errAway)
			}
		}
	}()
	res, err := b.pool.Run(ctx, Job{Task: ask(t, "never")})
	require.Equal(t, errAway, err)
	require.Equal(t, "thinking\n", res.Stderr.String())
	require.Equal(t, -1, res.ExitCode)
	require.Equal(t, reasonInterrupted, b.ended(t, 1)[0].Reason)
	require.Zero(t, b.pool.Stats().Active)

	_, err = b.pool.Run(ctx, Job{Task: ask(t, "count")})
	require.Equal(t, errAway, err)
	require.Len(t, b.ended(t, 1), 1, "who never began costs no program")
}

// What a program does behind its answer, or to itself while it waits, costs no
// task that comes later.
func TestResident_LaterTasksDoNotSuffer(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name, reason string
		args         []string
	}{
		{"EndsInOrder", reasonExited, []string{"leaves"}},
		{"ClosesItsInput", reasonProtocol, []string{"deaf"}},
		{"AnswersAgain", reasonProtocol, []string{"later"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			b := setup(t, one)
			for i := range 4 {
				res, err := b.pool.Run(t.Context(), Job{Task: ask(t, tt.args...)})
				require.NoError(t, err, "%s", res.Stderr)
				require.Equal(t, "t 1", b.run(t, ask(t, "task")).Stdout.String())
				for _, end := range b.ended(t, i+1) {
					require.Equal(t, tt.reason, end.Reason)
				}
			}
		})
	}
	t.Run("IsKilled", func(t *testing.T) {
		t.Parallel()

		b := setup(t, one)
		for range 10 {
			b.run(t, ask(t, "count"))
			r := b.idle(t)
			require.NoError(t, r.cmd.Process.Kill())
			<-r.exited // before that, nobody can tell whether it has read the next request
		}
		end := b.ended(t, 10)[0]
		require.Equal(t, reasonExited, end.Reason)
		require.Equal(t, "it was ended by signal killed", end.Detail)
	})
	for name, size := range map[string]int{"FitsThePipe": 10_000, "DoesNotFitThePipe": 1 << 20} {
		t.Run("RefusesALargeRequest/"+name, func(t *testing.T) {
			t.Parallel()

			b := setup(t, func(c *Config) {
				c.Slots, c.BinaryPath = 1, "/bin/sh"
				c.Resident.Args = []string{"-c", `echo '{"ready":1}'; read -r line; echo '{"id":1,"exit_code":0}'; head -c 1000 >/dev/null; exit 4`}
			})
			task := drakkar.Task{ID: "t", Mode: drakkar.ModeResident}
			pid := b.run(t, task).PID
			task.Stdin = make(drakkar.Bytes, size)
			failed := b.fail(t, drakkar.TaskExit, Job{Task: task})
			require.Equal(t, pid, failed.Result.PID, "no other program is given what this one could not take")
			require.Equal(t, "resident program: it ended with exit code 4", failed.Message)
			b.ended(t, 1)
		})
	}
	t.Run("SpeaksUnasked", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) {
			c.Slots, c.BinaryPath = 1, "/bin/sh"
			c.Resident.Args = []string{"-c", `echo '{"ready":1}'; read -r line; echo '{"id":1,"exit_code":0}'; sleep 0.1; echo tick; touch "$0"; read -r line`, filepath.Join(t.TempDir(), "said")}
		})
		task := drakkar.Task{ID: "t", Mode: drakkar.ModeResident}
		first := b.run(t, task)
		eventually(t, func() bool {
			_, err := os.Stat(b.pool.cfg.Resident.Args[2])
			return err == nil
		}, "it speaks")
		require.NotEqual(t, first.PID, b.run(t, task).PID)
		end := b.ended(t, 1)[0]
		require.Equal(t, reasonProtocol, end.Reason)
		require.Equal(t, "it wrote to stdout when it was not asked", end.Detail)
	})
}
