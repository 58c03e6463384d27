package services

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCommand(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"Empty", nil, "usage:"},
		{"InstallUnknown", []string{"install", "zookeeper"}, `no service "zookeeper"`},
		{"RunUnknown", []string{"run", "zookeeper", "--", "true"}, `no service "zookeeper"`},
		{"RunWithoutCommand", []string{"run", "kafka", "--"}, "no command"},
		{"RunWithoutDashes", []string{"run", "kafka"}, "usage:"},
		{"Unknown", []string{"down"}, "usage:"},
		{"UpFlag", []string{"up", "-port", "1"}, "reading the flags"},
		{"UpUnknown", []string{"up", "zookeeper"}, `no service "zookeeper"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			require.ErrorContains(t, Command(t.Context(), Home{Dir: t.TempDir()}, tt.args), tt.want)
		})
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()

	both := []string{NameKafka, NameTemporal}
	require.Equal(t, both, expand(nil))
	require.Equal(t, both, expand([]string{NameTemporal, NameKafka, NameTemporal}))
	require.Equal(t, both, expand([]string{"temporal,kafka", NameKafka}))
	require.Equal(t, every, expand([]string{"all"}))
	require.Equal(t, every, expand([]string{"redis,all"}))
	require.Equal(t, []string{NameKafka}, expand([]string{NameKafka}))
}

func TestFreePorts(t *testing.T) {
	t.Parallel()

	ports, err := freePorts(50)
	require.NoError(t, err)
	seen := map[int]bool{}
	for _, p := range ports {
		require.Positive(t, p)
		require.False(t, seen[p])
		seen[p] = true
	}
}

func TestHome(t *testing.T) {
	t.Parallel()

	t.Run("LockedOneAfterTheOther", func(t *testing.T) {
		t.Parallel()

		h := Home{Dir: filepath.Join(t.TempDir(), "cache")}
		var inside sync.Mutex
		var all sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			all.Go(func() {
				errs[i] = h.locked(func() error {
					if !inside.TryLock() {
						return errors.New("another one is inside")
					}
					defer inside.Unlock()
					for range 1000 { // time for the others to come in
						runtime.Gosched()
					}
					return nil
				})
			})
		}
		all.Wait()
		require.NoError(t, errors.Join(errs...))
	})

	t.Run("RunSaysWhatItDoes", func(t *testing.T) {
		t.Parallel()

		var told []string
		h := Home{Dir: t.TempDir(), Progress: func(m string) { told = append(told, m) }}
		dir := t.TempDir()
		require.NoError(t, h.run(t.Context(), tool{
			doing: "writing", dir: dir, env: []string{"TEXT=hello"}, name: "sh", args: []string{"-c", `printf %s "$TEXT" > out`},
		}))
		require.Equal(t, []string{"writing"}, told)
		text, err := os.ReadFile(filepath.Join(dir, "out"))
		require.NoError(t, err)
		require.Equal(t, "hello", string(text))
	})

	t.Run("RunShowsTheEndOfTheOutput", func(t *testing.T) {
		t.Parallel()

		h := Home{Dir: t.TempDir()}
		err := h.run(t.Context(), tool{doing: "counting", name: "sh", args: []string{"-c", "seq 1000 1099; echo broken >&2; exit 3"}})
		require.ErrorContains(t, err, "counting: sh: exit status 3")
		require.ErrorContains(t, err, "1099\nbroken")
		require.NotContains(t, err.Error(), "1050")
	})

	t.Run("RunEndsWithItsContext", func(t *testing.T) {
		t.Parallel()

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, Home{}.run(ctx, tool{doing: "sleeping", name: "sleep", args: []string{"60"}}), context.Canceled)
	})
}

func TestGoProgram(t *testing.T) {
	t.Parallel()

	h := Home{Dir: t.TempDir()}
	p := goProgram{name: "hello", title: "hello", main: "package main\n\nfunc main() { println(\"hello\") }\n", pkg: "."}
	require.False(t, p.built(filepath.Join(h.Dir, "bin", "hello")))
	binary, err := p.install(t.Context(), h)
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), binary).CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(out))

	require.NoError(t, os.RemoveAll(filepath.Join(h.Dir, "build-hello")))
	_, err = p.install(t.Context(), h)
	require.NoError(t, err)
	require.NoDirExists(t, filepath.Join(h.Dir, "build-hello"), "it was there already")

	p.require = map[string]string{"example.com/other": "v1.0.0"}
	require.False(t, p.built(binary), "it is built with something else")
	p.main = "nonsense"
	require.ErrorContains(t, p.build(t.Context(), h, binary), "building hello")

	p.main, p.require = "package main\n\nfunc main() {}\n", map[string]string{"github.com/google/uuid": "v1.6.0"}
	require.ErrorContains(t, p.build(t.Context(), h, binary), "other modules", "it does not use the one it requires")
	out, err = exec.CommandContext(t.Context(), binary).CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(out), "what was built before stays")
}

// Logs of a run that failed outlive it.
func TestGroup_KeepLogs(t *testing.T) {
	t.Parallel()

	s := &Temporal{cfg: TemporalConfig{Dir: t.TempDir()}}
	require.NoError(t, os.WriteFile(s.Log(), []byte("what happened"), 0o644))
	g := &Group{Temporal: s}
	h := Home{Dir: t.TempDir()}
	for range 2 {
		require.NoError(t, g.keepLogs(h))
		text, err := os.ReadFile(filepath.Join(h.Dir, "logs", "temporal.log"))
		require.NoError(t, err)
		require.Equal(t, "what happened", string(text))
	}
}

func TestKafka_Properties(t *testing.T) {
	t.Parallel()

	k := &Kafka{ports: []int{1234, 1235}, cfg: KafkaConfig{Dir: "/d", Properties: map[string]string{"num.partitions": "9"}}}
	lines := strings.Split(strings.TrimSpace(k.properties()), "\n")
	require.Contains(t, lines, "advertised.listeners=PLAINTEXT://127.0.0.1:1234")
	require.Contains(t, lines, "controller.quorum.voters=1@127.0.0.1:1235")
	require.Contains(t, lines, "num.partitions=9")
	require.NotContains(t, lines, "num.partitions=4")
}

func TestMissing(t *testing.T) {
	t.Parallel()

	require.Empty(t, missing("sh"))
	require.Equal(t, []string{"no-such-program"}, missing("sh", "no-such-program"))
}

func TestModuleRoot(t *testing.T) {
	t.Parallel()

	root, err := moduleRoot()
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(root, "go.mod"))
	require.DirExists(t, filepath.Join(root, "integration", "services"))
}

func TestProcess(t *testing.T) {
	t.Parallel()

	type testBundle struct {
		dir string
		p   *process
	}

	setup := func(t *testing.T, script string) *testBundle {
		t.Helper()

		dir := t.TempDir()
		p, err := start("script", filepath.Join(dir, "log"), "sh", "-c", "cd "+dir+"\n"+script)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.kill()) })
		return &testBundle{dir: dir, p: p}
	}

	// exists is ready once the script has made the file.
	exists := func(b *testBundle, name string) func(context.Context) error {
		return func(context.Context) error {
			_, err := os.Stat(filepath.Join(b.dir, name))
			return err
		}
	}

	const forever = "touch ready; while :; do sleep 0.05; done"

	t.Run("EndsBeforeItIsReady", func(t *testing.T) {
		t.Parallel()

		b := setup(t, "echo no memory; exit 1")
		err := b.p.wait(t.Context(), exists(b, "ready"))
		require.ErrorIs(t, err, errEnded)
		require.ErrorContains(t, err, "no memory")
		require.ErrorContains(t, b.p.alive(), "no memory")
	})

	t.Run("Kill", func(t *testing.T) {
		t.Parallel()

		b := setup(t, `trap "touch ended" TERM; `+forever)
		require.NoError(t, b.p.wait(t.Context(), exists(b, "ready")))
		require.NoError(t, b.p.alive())
		require.NoError(t, b.p.kill())
		require.NoFileExists(t, filepath.Join(b.dir, "ended"))
		require.NoError(t, b.p.kill())
	})

	t.Run("Missing", func(t *testing.T) {
		t.Parallel()

		_, err := start("script", filepath.Join(t.TempDir(), "log"), "no-such-program")
		require.ErrorContains(t, err, "starting script")
	})

	t.Run("NotReady", func(t *testing.T) {
		t.Parallel()

		b := setup(t, "echo busy; "+forever)
		require.NoError(t, b.p.wait(t.Context(), exists(b, "ready")))
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("enough"))
		err := b.p.wait(ctx, exists(b, "never"))
		require.ErrorContains(t, err, "enough")
		require.ErrorContains(t, err, "busy")
	})

	t.Run("Stop", func(t *testing.T) {
		t.Parallel()

		b := setup(t, `trap "touch ended; exit" TERM; `+forever)
		require.NoError(t, b.p.wait(t.Context(), exists(b, "ready")))
		require.NoError(t, b.p.stop())
		require.FileExists(t, filepath.Join(b.dir, "ended"))
		require.NoError(t, b.p.stop())
	})
}

// What a shell has set for a pipeline of its own does not reach ours.
func TestStartProgram_Environment(t *testing.T) {
	t.Setenv("DRAKKAR_KAFKA__CONSUMER_GROUP", "somebody's")
	t.Setenv("DRAKKARTEST_OF_OURS", "kept")
	log := filepath.Join(t.TempDir(), "log")
	p, err := StartProgram(ProgramConfig{Name: "env", Binary: "/usr/bin/env", Env: []string{"DRAKKAR_METRICS__PORT=1"}, Log: log})
	require.NoError(t, err)
	<-p.exited
	out, err := os.ReadFile(log)
	require.NoError(t, err)
	require.NotContains(t, string(out), "CONSUMER_GROUP")
	require.Contains(t, string(out), "DRAKKAR_METRICS__PORT=1\n")
	require.Contains(t, string(out), "DRAKKARTEST_OF_OURS=kept\n")
}
