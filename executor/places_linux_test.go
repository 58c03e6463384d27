package executor

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

func TestResident_IsReplaced(t *testing.T) {
	t.Parallel()

	t.Run("AfterTasks", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.Slots, c.Resident.MaxTasks = 1, 3 })
		for i := range 9 {
			require.Equal(t, strconv.Itoa(i%3), b.run(t, ask(t, "count")).Stdout.String())
		}
		for _, end := range b.ended(t, 3) {
			require.Equal(t, reasonMaxTasks, end.Reason)
			require.Empty(t, end.Detail)
			require.Equal(t, 3, end.Tasks)
		}
	})
	t.Run("AtItsMemory", func(t *testing.T) {
		t.Parallel()

		const limit = 512 << 20
		b := setup(t, func(c *Config) { c.Slots, c.Resident.MaxMemoryBytes = 1, limit })
		b.run(t, ask(t, "count"))
		require.Equal(t, "1", b.run(t, ask(t, "count")).Stdout.String())
		b.run(t, ask(t, "grow", strconv.Itoa(limit)))
		require.Equal(t, "0", b.run(t, ask(t, "count")).Stdout.String())
		require.Equal(t, reasonMaxMemory, b.ended(t, 1)[0].Reason)
	})
}

func TestResident_Surroundings(t *testing.T) {
	t.Parallel()

	b := setup(t, func(c *Config) {
		c.Slots, c.Mode, c.Resident.Args = 1, drakkar.ModeResident, nil
		c.Environ = []string{"KEPT=1", "DB_PASSWORD=2"}
		c.EnvInheritDeny = []string{"*PASSWORD*"}
	})
	task := ask(t, "where")
	task.Mode = "" // as the pool says
	task.Dir, task.Env["WHO"] = t.TempDir(), "me"
	require.Equal(t, task.Dir+" me ", b.run(t, task).Stdout.String())

	environ, err := os.ReadFile("/proc/" + strconv.Itoa(b.idle(t).cmd.Process.Pid) + "/environ")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"KEPT=1", "WHO=me", "GORACE=atexit_sleep_ms=0", helperEnv + "=resident", ResidentEnv + "=lines", TaskEnv + "=" + b.pool.token + ":1:resident",
	}, strings.FieldsFunc(string(environ), func(r rune) bool { return r == 0 }))

	spawn := sh("echo spawned")
	spawn.Mode = drakkar.ModeSpawn
	require.Equal(t, "spawned\n", b.run(t, spawn).Stdout.String())
}

// Tasks that differ in program, directory or environment share no process, and
// there are never more processes than slots.
func TestResident_Kinds(t *testing.T) {
	t.Parallel()

	kinds := func(t *testing.T) []drakkar.Task {
		dir, env, plain := ask(t, "count"), ask(t, "count"), ask(t, "count")
		dir.Dir, env.Env["WHO"] = t.TempDir(), "me"
		return []drakkar.Task{plain, dir, env}
	}
	t.Run("EachHasItsOwn", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.Slots = 3 })
		for round := range 3 {
			for _, task := range kinds(t)[2:] {
				require.Equal(t, strconv.Itoa(round), b.run(t, task).Stdout.String())
			}
		}
		all := kinds(t)
		for round := range 3 {
			for _, task := range all[:2] {
				require.Equal(t, strconv.Itoa(round), b.run(t, task).Stdout.String())
			}
		}
		require.Len(t, of[events.ResidentStarted](b.events), 3)
		require.Empty(t, of[events.ResidentEnded](b.events))
	})
	t.Run("TheOldestMakesRoom", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.Slots = 2 })
		all := kinds(t)
		first, second := b.run(t, all[0]), b.run(t, all[1])
		third := b.run(t, all[2])
		end := b.ended(t, 1)[0]
		require.Equal(t, reasonEvicted, end.Reason)
		require.Equal(t, first.PID, end.PID)
		require.Equal(t, second.PID, b.run(t, all[1]).PID)
		require.Equal(t, third.PID, b.run(t, all[2]).PID)
	})
	t.Run("SoDoesItForASpawnedOne", func(t *testing.T) {
		t.Parallel()

		b := setup(t, one)
		pid := b.run(t, ask(t, "count")).PID
		b.run(t, sh(`! kill -0 "$1"`, strconv.Itoa(pid)))
		require.Equal(t, reasonEvicted, b.ended(t, 1)[0].Reason)
	})
	t.Run("WaitsForOneThatDoesNotLeave", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) {
			c.Slots = 1
			c.Resident.Args = []string{"-c", `trap "" TERM; echo '{"ready":1}'; read -r line; echo '{"id":1,"exit_code":0}'; while :; do sleep 0.05; done`}
		})
		pid := b.run(t, drakkar.Task{ID: "t", Binary: "/bin/sh", Mode: drakkar.ModeResident}).PID
		task := sh(`! kill -0 "$1"`, strconv.Itoa(pid))
		task.Timeout = 400 * time.Millisecond // the wait does not count: it takes two graces of 300 ms
		b.run(t, task)
		started := of[events.TaskStarted](b.events)
		require.Greater(t, started[1].Waited, 500*time.Millisecond)
	})
}

// Whatever comes together, there are never more processes than slots, and each
// task gets its own answer.
func TestResident_ManyAtOnce(t *testing.T) {
	t.Parallel()

	const slots = 3
	b := setup(t, func(c *Config) { c.Slots, c.Resident.MaxTasks, c.KillGrace = slots, 5, 10*time.Second })
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if n := len(b.pool.life.places.room); n > slots {
				t.Errorf("%d processes", n)
			}
		}
	})
	var all sync.WaitGroup
	for i := range 48 {
		text := strconv.Itoa(i)
		task := ask(t, "echo", text)
		switch i % 6 {
		case 1, 2:
			task.Env["WHO"] = text[:1]
		case 3:
			task = sh(`printf %s "$1"`, text)
		case 4:
			task = ask(t, "crash", "1")
		case 5:
			task = ask(t, "never")
			task.Timeout = 50 * time.Millisecond
		}
		all.Go(func() {
			res, err := b.pool.Run(t.Context(), Job{Task: task})
			if i%6 < 4 && (err != nil || res.Stdout.String() != text) || i%6 >= 4 && err == nil {
				t.Errorf("task %d: %q, %v", i, res.Stdout, err)
			}
		})
	}
	all.Wait()
	close(stop)
	watching.Wait()
	require.NoError(t, b.pool.Stop(t.Context()))
	ready := 0
	for _, end := range of[events.ResidentEnded](b.events) {
		if end.Ready {
			ready++
		}
	}
	require.Len(t, of[events.ResidentStarted](b.events), ready, "each that started has ended")
}

func TestResident_Stop(t *testing.T) {
	t.Parallel()

	t.Run("EndsThoseThatWait", func(t *testing.T) {
		t.Parallel()

		b := setup(t, func(c *Config) { c.KillGrace = time.Hour })
		b.run(t, ask(t, "count"))
		require.NoError(t, b.pool.Stop(t.Context()))
		require.Equal(t, reasonStopped, b.ended(t, 1)[0].Reason)
		require.NoError(t, b.pool.Start(t.Context()))
		require.Equal(t, "0", b.run(t, ask(t, "count")).Stdout.String())
	})
	t.Run("LetsTheOthersAnswer", func(t *testing.T) {
		t.Parallel()

		b := setup(t, one)
		file := filepath.Join(t.TempDir(), "go")
		b.pool.cfg.BinaryPath = "/bin/sh"
		b.pool.cfg.Resident.Args = []string{"-c", `echo '{"ready":1}'; read -r line; echo x >"$0.at"; while [ ! -e "$0" ]; do sleep 0.01; done; echo '{"id":1,"exit_code":0}'; read -r line`, file}
		done := make(chan error)
		go func() {
			_, err := b.pool.Run(t.Context(), Job{Task: drakkar.Task{ID: "t", Mode: drakkar.ModeResident}})
			done <- err
		}()
		awaitFile(t, file+".at")
		stopped := make(chan error)
		go func() { stopped <- b.pool.Stop(t.Context()) }()
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		require.NoError(t, <-done)
		require.NoError(t, <-stopped)
		require.Equal(t, reasonStopped, b.ended(t, 1)[0].Reason)
	})
	t.Run("EndsThemAllInTime", func(t *testing.T) {
		t.Parallel()

		b := setup(t, nil)
		b.run(t, ask(t, "count"))
		done, task := make(chan error), ask(t, "stubborn")
		go func() {
			_, err := b.pool.Run(t.Context(), Job{Task: task})
			done <- err
		}()
		eventually(t, func() bool { return b.pool.Stats().Active == 1 }, "it runs")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, b.pool.Stop(ctx))
		require.Equal(t, ErrStopped, <-done)
		require.Empty(t, b.pool.Stats().Active)
	})
}
