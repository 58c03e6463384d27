package executor

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

// alive reports whether a process runs, and is not merely unreaped.
func alive(pid int) bool {
	st, err := readStat(pid)
	return err == nil && !st.dead()
}

// exists reports whether a process is there, reaped or not.
func exists(pid int) bool { return syscall.Kill(pid, 0) == nil }

// pidIn reads a pid from a line of output.
func pidIn(t *testing.T, line string) int {
	t.Helper()

	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	return pid
}

// awaitFile waits for a file with something in it.
func awaitFile(t *testing.T, path string) string {
	t.Helper()

	var data []byte
	eventually(t, func() bool {
		data, _ = os.ReadFile(path)
		return len(data) > 0
	}, path)
	return string(data)
}

func TestGroup(t *testing.T) {
	t.Parallel()

	t.Run("IsKilledAfterSuccess", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.KillGrace = time.Hour })
		res := b.run(t, sh(`trap "" TERM; sleep 600 & echo $!`)) // keeps the pipes and ignores SIGTERM
		pid := pidIn(t, res.Stdout.String())
		require.Less(t, res.Duration, soon)
		eventually(t, func() bool { return !alive(pid) }, "it is killed")
		eventually(t, func() bool { return !exists(pid) }, "it is reaped")
		require.Empty(t, of[events.OrphanKilled](b.events), "it had not left its group")
	})
	t.Run("IsKilledAfterFailure", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		failed := b.fail(t, drakkar.TaskExit, Job{Task: sh(`sleep 600 & echo $!; exit 1`)})
		pid := pidIn(t, failed.Result.Stdout.String())
		eventually(t, func() bool { return !alive(pid) }, "it is killed")
	})
	t.Run("HasItsGraceAfterItsLeader", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.KillGrace = time.Minute })
		dir := t.TempDir()
		ready, cleaned := filepath.Join(dir, "ready"), filepath.Join(dir, "cleaned")
		// The outer shell dies of SIGTERM at once, the inner one cleans up.
		task := sh(`sh -c 'trap "sleep 0.2; echo yes >$2; exit" TERM; echo yes >$1; while :; do sleep 0.01; done' sh "$1" "$2" & wait`, ready, cleaned)
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() {
			_, err := b.pool.Run(ctx, Job{Task: task})
			done <- err
		}()
		awaitFile(t, ready)
		cancel(errAway)
		require.Equal(t, errAway, <-done)
		require.FileExists(t, cleaned)
	})
	t.Run("IsKilledWithTheGrace", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		task := sh(`sh -c 'trap "" TERM; while :; do sleep 0.01; done' & echo $!; wait`)
		task.Timeout = 200 * time.Millisecond
		failed := b.fail(t, drakkar.TaskTimeout, Job{Task: task})
		pid := pidIn(t, failed.Result.Stdout.String())
		require.GreaterOrEqual(t, failed.Result.Duration, 500*time.Millisecond)
		require.Less(t, failed.Result.Duration, soon)
		eventually(t, func() bool { return !alive(pid) }, "it is killed")
	})
}

// The leader stays a zombie until its group is dealt with, so no other process
// can have its number meanwhile; and nothing is signalled afterwards.
func TestLeash_SignalsNothingOnceDetached(t *testing.T) {
	t.Parallel()

	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	l := &leash{group: cmd.Process.Pid, detached: true}
	l.end()
	l.kill()
	l.detach()
	require.True(t, alive(cmd.Process.Pid))
}

func TestReap_CallsBeforeThePidIsFree(t *testing.T) {
	t.Parallel()

	cmd := exec.Command("true")
	require.NoError(t, cmd.Start())
	var st stat
	var err error
	require.NoError(t, reap(cmd, func() { st, err = readStat(cmd.Process.Pid) }))
	require.NoError(t, err)
	require.True(t, st.dead())
	require.Equal(t, os.Getpid(), st.parent)
}

func TestOrphan(t *testing.T) {
	t.Parallel()

	t.Run("NeitherHoldsTheSlotNorSurvives", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		res := b.run(t, helperTask(t, "daemon", "sleep", "600")) // keeps the pipes
		require.True(t, res.StdoutTruncated && res.StderrTruncated, "nobody knows what else it would have printed")
		pid := pidIn(t, res.Stdout.String())
		require.Less(t, res.Duration, soon)
		eventually(t, func() bool { return !exists(pid) }, "it is ended and reaped")
		eventually(t, func() bool { return len(of[events.OrphanKilled](b.events)) == 1 }, "it is told")
		require.Equal(t, pid, of[events.OrphanKilled](b.events)[0].PID)
	})
	t.Run("ThatIgnoresSIGTERM", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		res := b.run(t, helperTask(t, "daemon", "sh", "-c", `trap "" TERM; while :; do sleep 0.01; done`))
		pid := pidIn(t, res.Stdout.String())
		eventually(t, func() bool { return !exists(pid) }, "it is killed and reaped")
	})
	t.Run("IsEndedByStop", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		// Its own child appears among the orphans only when it is gone.
		pidFile := filepath.Join(t.TempDir(), "pid")
		res := b.run(t, helperTask(t, "daemon", "sh", "-c", `setsid sleep 600 & echo $! >"$0"; wait`, pidFile))
		orphan, own := pidIn(t, res.Stdout.String()), pidIn(t, awaitFile(t, pidFile))
		eventually(t, func() bool {
			st, err := readStat(own)
			return err == nil && st.group == own
		}, "it leads its own group")
		require.NoError(t, b.pool.Stop(t.Context()))
		require.False(t, alive(orphan))
		require.False(t, alive(own))
		require.Len(t, of[events.OrphanKilled](b.events), 2)
	})
	t.Run("MayHaveLeftItsOwn", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		s := newSweeper(b.pool, b.pool.life.sweeper.runs)
		// It went after the children were listed, and so did not see its own.
		s.ended[process{pid: os.Getpid(), started: "before"}] = &ending{}
		require.True(t, s.sweep())
		eventually(t, func() bool { return !s.sweep() }, "there is an end")
	})
	t.Run("LivesAsLongAsItsRun", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		dir := t.TempDir()
		pidFile, end := filepath.Join(dir, "pid"), filepath.Join(dir, "end")
		self := helperTask(t, "daemon")
		task := sh(`"$1" sleep 600 >"$2"; while [ ! -e "$3" ]; do sleep 0.01; done`, self.Binary, pidFile, end)
		task.Env = self.Env
		done := make(chan error)
		go func() {
			_, err := b.pool.Run(t.Context(), Job{Task: task})
			done <- err
		}()
		pid := pidIn(t, awaitFile(t, pidFile))
		eventually(t, func() bool {
			st, err := readStat(pid)
			return err == nil && st.parent == os.Getpid()
		}, "it is adopted")
		b.run(t, sh("exit 0"))
		for range 3 {
			b.pool.life.sweeper.sweep()
		}
		require.True(t, alive(pid), "its task still runs")
		require.False(t, b.pool.life.sweeper.isOrphan(pid))
		require.NoError(t, os.WriteFile(end, nil, 0o600))
		require.NoError(t, <-done)
		eventually(t, func() bool { return !alive(pid) }, "its task is over")
	})
}

// What the handler starts with os/exec is neither ended nor reaped, alive or
// dead.
func TestSweeper_LeavesOthersAlone(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	s := b.pool.life.sweeper
	require.True(t, s.able)

	t.Run("Living", func(t *testing.T) {
		t.Parallel()

		// Started by a program that is no task: an orphan without the mark.
		out, err := exec.Command("sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!").Output()
		require.NoError(t, err)
		pid := pidIn(t, string(out))
		eventually(t, func() bool {
			st, err := readStat(pid)
			return err == nil && st.parent == os.Getpid()
		}, "it is adopted")
		for range 3 {
			s.sweep()
		}
		require.True(t, alive(pid))
		require.False(t, s.isOrphan(pid))

		// Nobody waits for it, so it is reaped when it is dead.
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		eventually(t, func() bool {
			s.sweep()
			return !exists(pid)
		}, "it is reaped")
	})
	t.Run("Dead", func(t *testing.T) {
		t.Parallel()

		cmd := exec.Command("sh", "-c", "exit 7")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		require.NoError(t, cmd.Start())
		var st stat
		eventually(t, func() bool {
			var err error
			st, err = readStat(cmd.Process.Pid)
			return err == nil && st.dead()
		}, "it has ended")

		own := newSweeper(b.pool, &b.pool.life.runs)
		child := process{pid: cmd.Process.Pid, started: st.started}
		for range 3 {
			own.reapDead(map[process]bool{child: true})
		}
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Wait(), &exit)
		require.Equal(t, 7, exit.ExitCode())
	})
	t.Run("OfAnotherPool", func(t *testing.T) {
		t.Parallel()

		other := setup(t, nil)
		cmd := exec.Command("sleep", "600")
		cmd.Env = other.pool.taskEnviron(drakkar.Task{ID: "t"}, 99)
		require.NoError(t, cmd.Start())
		defer func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}()
		// Start returns a moment before the new environment can be read.
		eventually(t, func() bool { return other.pool.life.sweeper.isOrphan(cmd.Process.Pid) }, "it is theirs")
		require.False(t, s.isOrphan(cmd.Process.Pid))
	})
}

// When the process is killed, its programs do not outlive it.
func TestProgram_EndsWithItsExecutor(t *testing.T) {
	t.Parallel()

	file := filepath.Join(t.TempDir(), "pid")
	task := helperTask(t, "pool", "/bin/sh", "-c", `echo $$ >"$1"; exec sleep 600`, "sh", file)
	cmd := exec.Command(task.Binary, task.Args...)
	cmd.Env = append(os.Environ(), helperEnv+"="+task.Env[helperEnv])
	require.NoError(t, cmd.Start())
	pid := pidIn(t, awaitFile(t, file))
	require.True(t, alive(pid))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	eventually(t, func() bool { return !alive(pid) }, "it ends with its executor")
}

// A program ends with the thread that started it, so all are started by threads
// that live as long as the pool.
func TestSpawner_KeepsItsThread(t *testing.T) {
	t.Parallel()

	b := setup(t, func(c *Config) { c.Slots = 1 })
	threads := make(map[int]bool)
	for range 20 {
		require.NoError(t, b.pool.life.spawn(func() error {
			threads[unix.Gettid()] = true
			return nil
		}))
		endIdleThreads()
	}
	require.Len(t, threads, 1)
}

// endIdleThreads ends threads: goroutines that end while they are locked take
// theirs along, and many at once need every thread that is idle.
func endIdleThreads() {
	const threads = 20
	var locked, ended sync.WaitGroup
	locked.Add(threads)
	for range threads {
		ended.Go(func() {
			runtime.LockOSThread()
			locked.Done()
			locked.Wait()
		})
	}
	ended.Wait()
}

func TestParseStat(t *testing.T) {
	t.Parallel()

	st, err := parseStat([]byte("12 (a) b (c) Z 3 -4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 777 22"))
	require.NoError(t, err)
	require.Equal(t, stat{state: 'Z', parent: 3, group: -4, started: "777"}, st)
	require.True(t, st.dead())
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("1 (x) S 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"))
	f.Add([]byte("1 (x"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, raw []byte) {
		st, err := parseStat(raw)
		if err == nil {
			require.NotEmpty(t, st.started)
			require.NotZero(t, st.state)
		}
	})
}
