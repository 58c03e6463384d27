// Package resident_test runs the resident programs in the folders below it.
package resident_test

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/drakkartest"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/exechandler"
	"github.com/drakkar-go/drakkar/executor"
)

// client is a program of this folder.
type client struct {
	path     string
	framings []string
}

// clients returns the programs, with what they need on this machine.
func clients(t *testing.T) map[string]client {
	t.Helper()

	both := []string{executor.FramingLines, executor.FramingLength}
	goProgram := filepath.Join(t.TempDir(), "digest")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", goProgram, "./go").CombinedOutput()
	require.NoError(t, err, "%s", out)
	here, err := os.Getwd()
	require.NoError(t, err)
	return map[string]client{
		"go":     {goProgram, both},
		"python": {filepath.Join(here, "python", "digest.py"), both},
		"shell":  {filepath.Join(here, "shell", "digest.sh"), []string{executor.FramingLines}},
	}
}

// needs skips the test where something is missing that the machine may lack.
func needs(t *testing.T, client string) {
	t.Helper()

	tool := map[string]string{"python": "python3", "shell": "jq"}[client]
	if tool == "" {
		return
	}
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("%s is not installed, and the %s client needs it", tool, client)
	}
}

// started counts the processes of a pool.
type started struct{ ch chan int }

// Record implements events.Recorder.
func (s started) Record(e events.Event) {
	if e, ok := e.(events.ResidentStarted); ok {
		s.ch <- e.PID
	}
}

func pool(t *testing.T, c client, mode drakkar.TaskMode, framing string) (*executor.Pool, started) {
	t.Helper()

	rec := started{ch: make(chan int, 100)}
	p, err := executor.New(executor.Config{
		Slots: 1, BinaryPath: c.path, EnvInheritParent: true, TaskTimeout: time.Minute, KillGrace: 5 * time.Second,
		MaxOutputBytes: 1 << 20, Mode: mode, Resident: executor.Resident{Framing: framing},
	}, executor.Deps{Events: rec})
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, p.Stop(context.Background())) })
	return p, rec
}

// Each program does the same, spawned or resident, and as a resident one it is
// one process for all of its tasks.
func TestClients(t *testing.T) {
	t.Parallel()

	for name, c := range clients(t) {
		for _, framing := range c.framings {
			t.Run(name+"/"+framing, func(t *testing.T) {
				t.Parallel()
				needs(t, name)

				spawned, _ := pool(t, c, drakkar.ModeSpawn, framing)
				resident, rec := pool(t, c, drakkar.ModeResident, framing)
				for _, task := range tasks() {
					want, wantErr := attempt(t, spawned, task)
					got, gotErr := attempt(t, resident, task)
					require.Equal(t, want.Stdout.String(), got.Stdout.String())
					require.Equal(t, want.ExitCode, got.ExitCode)
					require.Equal(t, wantErr, gotErr)
					if len(task.Args) == 0 || task.Args[0] != "none" {
						require.NotEmpty(t, got.Stderr)
					}
				}
				require.Len(t, rec.ch, 1, "one process for all")
			})
		}
	}
}

// tasks are those that every program is given.
func tasks() []drakkar.Task {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	var tasks []drakkar.Task
	for _, stdin := range []string{"", "a\nb\n\n", "ä€\u2028", string(all), strings.Repeat("line\n", 50_000)} {
		tasks = append(tasks, drakkar.Task{ID: "t", Args: []string{"none"}, Stdin: drakkar.Bytes(stdin)})
	}
	for _, args := range [][]string{nil, {"md5"}, {"un'known\nthing $HOME `ls` \\"}, {"not text \xff"}} {
		tasks = append(tasks, drakkar.Task{ID: "t", Args: args, Stdin: drakkar.Bytes("text")})
	}
	return append(tasks, drakkar.Task{ID: "t"})
}

// attempt runs a task; of its error it returns the message.
func attempt(t *testing.T, p *executor.Pool, task drakkar.Task) (drakkar.Result, string) {
	t.Helper()

	res, err := p.Run(t.Context(), executor.Job{Task: task})
	if err == nil {
		return res, ""
	}
	failed, ok := errors.AsType[drakkar.TaskError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, drakkar.TaskExit, failed.Kind)
	return res, failed.Message
}

// The pipeline in YAML does what it says.
func TestPipeline(t *testing.T) {
	t.Parallel()
	needs(t, "python")

	cfg, _, err := config.Load(config.LoadOptions{Path: "drakkar.yaml"})
	require.NoError(t, err)
	require.Equal(t, "resident", cfg.Executor.Mode)
	binary, err := filepath.Abs(filepath.Join("..", "..", cfg.Executor.BinaryPath))
	require.NoError(t, err)
	p, err := exechandler.New(*cfg.Handler.Exec, binary)
	require.NoError(t, err)
	rep := drakkartest.RunPipeline(t, p, drakkartest.Binary(binary), drakkartest.Slots(1),
		drakkartest.Resident(cfg.Executor.Resident.Framing, cfg.Executor.Resident.Args...),
		drakkartest.Message("text"), drakkartest.Message("other text"))
	rep.RequireNoErrors(t)
	require.Len(t, rep.Outputs.Kafka, 2)
	require.Equal(t, rep.Results[0].PID, rep.Results[1].PID)
	sum := sha256.Sum256([]byte("text"))
	require.Equal(t, drakkar.Bytes(hex.EncodeToString(sum[:])), rep.Outputs.Kafka[0].Data)
}

// What they print is right, too.
func TestClients_Digest(t *testing.T) {
	t.Parallel()

	for name, c := range clients(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needs(t, name)

			p, _ := pool(t, c, drakkar.ModeResident, executor.FramingLines)
			res, _ := attempt(t, p, drakkar.Task{ID: "t", Args: []string{"md5"}, Stdin: drakkar.Bytes("some data")})
			sum := md5.Sum([]byte("some data"))
			require.Equal(t, hex.EncodeToString(sum[:])+"\n", res.Stdout.String())
			require.Equal(t, "computing md5\n", res.Stderr.String())
		})
	}
}

// odd are programs of the clients whose tasks end in all sorts of ways.
var odd = map[string]string{
	"odd.py": `#!/usr/bin/env python3
import sys
sys.path.insert(0, "HERE/python")
from drakkar_resident import serve

def handle(args, stdin, stdout, stderr):
    if args[0] == "exit":
        sys.exit(int(args[1]))
    if args[0] == "text":
        sys.exit("bad " + args[1])
    if args[0] == "return":
        return int(args[1])
    if args[0] == "raise":
        raise ValueError("bad " + args[1])
    stdout.write(b"fine")

serve(handle)
`,
	"odd.sh":   "#!/bin/sh\n" + oddShell,
	"odd-e.sh": "#!/bin/sh\nset -eu\n" + oddShell,
	"odd.bash": "#!/bin/bash\nset -euo pipefail\n" + oddShell,
}

const oddShell = `. "HERE/shell/drakkar_resident.sh"

handle() {
	case $1 in
	exit) exit "$2" ;;
	return) return $(($2 & 255)) ;;
	raise) false; echo "behind what failed" ;;
	*) echo fine ;;
	esac
}

serve handle "$@"
`

// However a task ends, the program goes on, and tells what a spawned one would.
func TestClients_OddEnds(t *testing.T) {
	t.Parallel()

	here, err := os.Getwd()
	require.NoError(t, err)
	dir := t.TempDir()
	for name, text := range odd {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			path := filepath.Join(dir, name)
			require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(text, "HERE", here)), 0o700))
			needs(t, map[bool]string{true: "python", false: "shell"}[name == "odd.py"])
			c := client{path: path}
			spawned, _ := pool(t, c, drakkar.ModeSpawn, executor.FramingLines)
			resident, rec := pool(t, c, drakkar.ModeResident, executor.FramingLines)
			for _, args := range [][]string{
				{"exit", "3"}, {"exit", "0"}, {"text", "\xff"}, {"return", "2"}, {"return", "-1"}, {"return", "256"}, {"raise", "\xff"}, {"fine"},
			} {
				task := drakkar.Task{ID: "t", Args: args, Stdin: drakkar.Bytes(strings.Repeat("unread\n", 50_000))}
				want, wantErr := attempt(t, spawned, task)
				got, gotErr := attempt(t, resident, task)
				require.Equal(t, want.ExitCode, got.ExitCode, "%q", args)
				require.Equal(t, want.Stdout.String(), got.Stdout.String(), "%q", args)
				require.Equal(t, wantErr, gotErr, "%q", args)
			}
			require.Len(t, rec.ch, 1, "one process for all")
		})
	}
}
