package executor

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

// What a task of a resident program leaves behind lives as long as the program,
// and no longer, also when it has left the process group and has the pipes.
func TestResident_Leftovers(t *testing.T) {
	t.Parallel()

	b := setup(t, one)
	res := b.run(t, ask(t, "daemon"))
	pid := pidIn(t, res.Stdout.String())
	for range 3 {
		b.pool.life.sweeper.sweep()
	}
	require.Equal(t, res.PID, b.run(t, ask(t, "count")).PID)
	require.True(t, alive(res.PID))
	require.True(t, alive(pid))
	require.False(t, b.pool.life.sweeper.isOrphan(pid))

	require.NoError(t, b.pool.Stop(t.Context()))
	require.False(t, exists(res.PID))
	require.False(t, alive(pid))
	require.Equal(t, reasonStopped, b.ended(t, 1)[0].Reason)
	require.Equal(t, []events.OrphanKilled{{PID: pid}}, of[events.OrphanKilled](b.events))
}

// What a task has left, and is gone, is no zombie for as long as the program
// lives. It runs alone: every sweep of the process reaps.
func TestResident_LeavesNoZombies(t *testing.T) { //nolint:paralleltest // see above
	b := setup(t, func(c *Config) {
		c.Slots, c.BinaryPath = 1, "/bin/sh"
		c.Resident.Args = []string{"-c", `echo '{"ready":1}'
			while read -r line; do
				n=$((n+1))
				sh -c 'sleep 0.1 & echo $! >"$0"' "$0"
				printf '{"id":%s,"exit_code":0}\n' $n
			done`, filepath.Join(t.TempDir(), "pid")}
	})
	task := drakkar.Task{ID: "t", Mode: drakkar.ModeResident}
	b.run(t, task)
	pid := pidIn(t, awaitFile(t, b.pool.cfg.Resident.Args[2]))
	eventually(t, func() bool { return !alive(pid) }, "it ends")
	b.run(t, task)
	eventually(t, func() bool { return !exists(pid) }, "it is reaped")
	require.Empty(t, of[events.ResidentEnded](b.events))
}

// A program that does not leave when its input ends is told to, and killed in
// the end.
func TestResident_DoesNotLeave(t *testing.T) {
	t.Parallel()

	b := setup(t, one)
	file := filepath.Join(t.TempDir(), "pid")
	b.pool.cfg.Resident.Args = []string{"-c", `trap "" TERM; echo '{"ready":1}'; read -r l; (while :; do sleep 0.05; done) & echo $! >"$0"; echo '{"id":1,"exit_code":0}'; while :; do sleep 0.05; done`, file}
	task := ask(t)
	task.Binary = "/bin/sh"
	res := b.run(t, task)
	child := pidIn(t, awaitFile(t, file))
	require.NoError(t, b.pool.Stop(t.Context()))
	require.False(t, alive(res.PID))
	require.False(t, alive(child), "nor does its group")
}

// When the process is killed, its resident programs do not outlive it.
func TestResident_EndsWithItsExecutor(t *testing.T) {
	t.Parallel()

	file := filepath.Join(t.TempDir(), "pid")
	task := helperTask(t, "residentpool", "-c", `echo '{"ready":1}'; read -r l; echo '{"id":1,"exit_code":0}'; echo $$ >"$0"; exec sleep 600`, file)
	cmd := exec.Command(task.Binary, task.Args...)
	cmd.Env = append(os.Environ(), helperEnv+"="+task.Env[helperEnv])
	require.NoError(t, cmd.Start())
	pid := pidIn(t, awaitFile(t, file))
	require.True(t, alive(pid))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	eventually(t, func() bool { return !alive(pid) }, "it ends with its executor")
}

func TestMemoryOf(t *testing.T) {
	t.Parallel()

	require.Greater(t, memoryOf(os.Getpid()), 1<<20)
	require.Zero(t, memoryOf(-1))
	for raw, pages := range map[string]int{"100 7 3 1 0 2 0\n": 7, "": 0, "100": 0, "a b": 0} {
		require.Equal(t, pages, parseStatm([]byte(raw)), raw)
	}
}

// What is in a pipe is known to its writer, also when no reader is left.
func TestUnread(t *testing.T) {
	t.Parallel()

	p, err := newPipes()
	require.NoError(t, err)
	defer p.closeOurs()
	_, err = p.ours[0].WriteString("0123456789")
	require.NoError(t, err)
	_, err = p.theirs[0].Read(make([]byte, 4))
	require.NoError(t, err)
	require.Equal(t, 6, unread(p.raw[0]))
	p.closeTheirs()
	require.Equal(t, 6, unread(p.raw[0]))
}
