package executor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

// What authors and operators are promised about how a program runs, one test
// for each promise. What becomes of descendants is in leftovers_linux_test.go.

func TestContract_NoShell(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	args := []string{"$HOME", "`id`", "*", "a b", "", "'\"", "; exit 3", ">x", "\n", "\\n", "-n", "é\xff"}
	task := drakkar.Task{ID: "t", Binary: "/usr/bin/printf", Args: append([]string{"[%s]"}, args...)}
	require.Equal(t, "["+strings.Join(args, "][")+"]", b.run(t, task).Stdout.String())
}

func TestContract_OwnProcessGroup(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	// Fields of stat behind the name: state, parent, group.
	res := b.run(t, sh(`read -r stat </proc/$$/stat; set -- ${stat##*) }; echo "$2 $3"`))
	require.Equal(t, fmt.Sprintf("%d %d\n", os.Getpid(), res.PID), res.Stdout.String())
}

func TestContract_StdinIsNullUnlessGiven(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	require.Equal(t, "/dev/null\n", b.run(t, sh("readlink /proc/self/fd/0")).Stdout.String())
	given := sh("readlink /proc/self/fd/0; cat")
	given.Stdin = drakkar.Bytes("given")
	require.Regexp(t, `^pipe:.*\ngiven$`, b.run(t, given).Stdout.String())
}

// A program gets its streams, and nothing else that this process has open.
func TestContract_NoFilesLeakIn(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	secret := filepath.Join(t.TempDir(), "secret")
	f, err := os.Create(secret)
	require.NoError(t, err)
	defer f.Close()
	out := b.run(t, sh(`for f in /proc/$$/fd/*; do readlink "$f"; done; :`)).Stdout.String()
	require.Contains(t, out, "pipe:")
	require.NotContains(t, out, secret)
	require.NotContains(t, out, "socket:")
}

func TestContract_TermThenGraceThenKill(t *testing.T) {
	t.Parallel()

	t.Run("TermIsHeard", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.KillGrace = time.Minute })
		task := sh(`trap 'echo cleaned up; exit 0' TERM; echo ready; while :; do sleep 0.01; done`)
		task.Timeout = 500 * time.Millisecond
		failed := b.fail(t, drakkar.TaskTimeout, Job{Task: task})
		require.Equal(t, "ready\ncleaned up\n", failed.Result.Stdout.String(), "it had the time to")
	})
	t.Run("NoGrace", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.KillGrace = 0 })
		task := sh(`trap '' TERM; echo ready; while :; do sleep 0.01; done`)
		task.Timeout = 500 * time.Millisecond
		failed := b.fail(t, drakkar.TaskTimeout, Job{Task: task})
		require.Equal(t, "ready\n", failed.Result.Stdout.String())
	})
	t.Run("EvenWhileItsInputIsWritten", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		task := sh("sleep 600")
		task.Stdin, task.Timeout = make(drakkar.Bytes, 1<<20), 200*time.Millisecond
		b.fail(t, drakkar.TaskTimeout, Job{Task: task})
		require.Zero(t, b.pool.Stats().Active)
	})
}

func TestContract_OutputIsBounded(t *testing.T) {
	t.Parallel()

	b := setup(t, func(c *Config) { c.MaxOutputBytes = 100 })
	for size, truncated := range map[int]bool{0: false, 99: false, 100: false, 101: true, 1 << 20: true} {
		// Both streams at once: neither waits for the other to be read.
		res := b.run(t, sh(`head -c "$1" /dev/zero & head -c "$1" /dev/zero >&2; wait`, strconv.Itoa(size)))
		require.Len(t, res.Stdout, min(size, 100))
		require.Len(t, res.Stderr, min(size, 100))
		require.Equal(t, truncated, res.StdoutTruncated, size)
		require.Equal(t, truncated, res.StderrTruncated, size)
	}
}

func TestContract_PartialOutputIsKept(t *testing.T) {
	t.Parallel()

	b := setup(t, func(c *Config) { c.MaxOutputBytes = 8 })
	task := sh(`echo one; echo two >&2; printf '0123456789' >&2; sleep 600`)
	task.Timeout = 500 * time.Millisecond
	failed := b.fail(t, drakkar.TaskTimeout, Job{Task: task})
	require.Equal(t, "one\n", failed.Result.Stdout.String())
	require.Equal(t, "two\n0123", failed.Result.Stderr.String())
	require.False(t, failed.Result.StdoutTruncated)
	require.True(t, failed.Result.StderrTruncated)
}

// Timeout, directory, environment and program are of the task where it has
// them.
func TestContract_TasksDiffer(t *testing.T) {
	t.Parallel()

	b := setup(t, func(c *Config) {
		c.BinaryPath, c.TaskTimeout, c.Env = "/no/such/program", time.Millisecond, map[string]string{"WHO": "pool"}
	})
	var all sync.WaitGroup
	for i := range 8 {
		task := sh(`sleep 0.05; echo "$WHO $(pwd)"`)
		task.Timeout, task.Dir, task.Env = time.Minute, t.TempDir(), map[string]string{"WHO": strconv.Itoa(i)}
		all.Go(func() {
			res, err := b.pool.Run(t.Context(), Job{Task: task})
			if want := fmt.Sprintf("%d %s\n", i, task.Dir); err != nil || res.Stdout.String() != want {
				t.Errorf("want %q, got %q, %v", want, res.Stdout, err)
			}
		})
	}
	all.Wait()
}

func TestContract_NeverMoreThanItsSlots(t *testing.T) {
	t.Parallel()

	b := setup(t, func(c *Config) { c.Slots = 3 })
	var running, most, after atomic.Int32
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			_, err := b.pool.Run(t.Context(), Job{
				Started: func() { after.Add(1) },
				Execute: func(context.Context, drakkar.Task) (drakkar.Result, error) {
					n := running.Add(1)
					defer running.Add(-1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					<-time.After(5 * time.Millisecond)
					return drakkar.Result{}, nil
				},
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 3, most.Load())
	require.EqualValues(t, 30, after.Load(), "each is told once that it holds its slot")
	for _, e := range of[events.TaskStarted](b.events) {
		require.Less(t, e.Slot, 3)
		require.LessOrEqual(t, e.Active, 3)
	}
}

// While all slots are taken, what waits is ordered: by priority, then fairly
// across partitions, then oldest first.
func TestContract_WhoIsNext(t *testing.T) {
	t.Parallel()

	b := setup(t, func(c *Config) { c.Slots = 1 })
	release := b.hold(t)
	var mu sync.Mutex
	var order []string
	var all sync.WaitGroup
	for _, j := range []struct {
		name      string
		partition int32
		offset    int64
		priority  float64
	}{
		{"p0@30", 0, 30, 0}, {"p0@10", 0, 10, 0}, {"p0@20", 0, 20, 0}, {"p1@500", 1, 500, 0}, {"p1@400", 1, 400, 0},
		{"urgent", 0, 99, -1}, {"later", 2, 1, 1},
	} {
		waiting := b.pool.Stats().Waiting
		all.Go(func() {
			_, err := b.pool.Run(t.Context(), Job{
				At: events.At{Topic: "in", Partition: j.partition, Offset: j.offset}, Priority: j.priority,
				Execute: func(context.Context, drakkar.Task) (drakkar.Result, error) {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, j.name)
					return drakkar.Result{}, nil
				},
			})
			if err != nil {
				t.Error(err)
			}
		})
		eventually(t, func() bool { return b.pool.Stats().Waiting == waiting+1 }, j.name)
	}
	release()
	all.Wait()
	require.Equal(t, []string{"urgent", "p1@400", "p0@10", "p1@500", "p0@20", "p0@30", "later"}, order)
}

// A hundred programs of every kind leave nothing behind: no process, no open
// file, no goroutine (which the package's leak test sees), no slot.
func TestContract_LeavesNothing(t *testing.T) {
	t.Parallel()

	b := setup(t, func(c *Config) { c.Slots = 8 })
	marks := filepath.Join(t.TempDir(), "pids")
	scripts := []string{
		"exit 0", "exit 3", "kill -9 $$", "sleep 600 & exit 0", "sleep 600 & exit 1", "trap '' TERM; sleep 0.5",
		"cat; head -c 100000 /dev/zero", "setsid sleep 600 & exit 0", "exec >&- 2>&-; exit 0", "sleep 600",
	}
	var all sync.WaitGroup
	for i := range 100 {
		task := sh(`echo $$ >>"$1"; `+scripts[i%len(scripts)], marks)
		task.Timeout = 300 * time.Millisecond
		if i%2 == 0 {
			task.Stdin = make(drakkar.Bytes, 100_000)
		}
		all.Go(func() { _, _ = b.pool.Run(t.Context(), Job{Task: task}) })
	}
	all.Wait()
	require.Equal(t, Stats{Slots: 8}, b.pool.Stats())
	require.NoError(t, b.pool.Stop(t.Context()))
	raw, err := os.ReadFile(marks)
	require.NoError(t, err)
	pids := strings.Fields(string(raw))
	require.NotEmpty(t, pids)
	for _, pid := range pids {
		n, err := strconv.Atoi(pid)
		require.NoError(t, err)
		require.False(t, groupAlive(n), "group %d", n)
	}
}
