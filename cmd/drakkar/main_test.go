package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/sinks"
)

// asProgram makes the test's binary the program itself.
const asProgram = "DRAKKARTEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// drakkar runs the program in a process of its own.
func drakkar(t *testing.T, environ []string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env, cmd.Dir = append([]string{asProgram + "=1"}, environ...), t.TempDir()
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil {
		require.ErrorAs(t, err, &exit)
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "drakkar.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// What was asked for is on stdout with exit code 0, what is wrong with the
// command line on stderr with exit code 2.
func TestCommandLine(t *testing.T) {
	t.Parallel()

	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}} {
		code, out, errOut := drakkar(t, nil, args...)
		require.Zero(t, code)
		require.Equal(t, usage, out)
		require.Empty(t, errOut)
	}
	for _, args := range [][]string{{"version"}, {"-version"}, {"--version"}} {
		code, out, errOut := drakkar(t, nil, args...)
		require.Zero(t, code)
		require.Equal(t, 1, strings.Count(out, "\n"))
		require.NotEmpty(t, strings.TrimSpace(out))
		require.Empty(t, errOut)
	}
	for _, args := range [][]string{nil, {""}, {"nope"}, {"Config"}, {"--nope"}, {"confg", "check"}} {
		code, out, errOut := drakkar(t, nil, args...)
		require.Equal(t, 2, code, args)
		require.Empty(t, out)
		require.Equal(t, usage, errOut)
	}
}

func TestConfigCheck(t *testing.T) {
	t.Parallel()

	good := file(t, "kafka: {source_topic: orders, consumer_group: g}\ndebug: {auth_token: hunter2}\n")
	bad := file(t, "kafka:\n  source_topc: orders\nexecutor:\n  task_timeout: 120\n")
	exec := "handler: {exec: {args: ['{{.Value.id}}', '%s'], deliver: [{type: kafka, data: '{{.Output}}'}]}}\n" +
		"executor: {binary_path: /bin/echo}\nkafka: {source_topic: orders}\nsinks: {kafka: {out: {topic: t}}}\n"
	goodTemplate, badTemplate := file(t, fmt.Sprintf(exec, "{{.Key}}")), file(t, fmt.Sprintf(exec, "{{.Vaule}}"))
	for _, tt := range []struct {
		name    string
		environ []string
		args    []string
		code    int
		out     string
		errOut  string
	}{
		{"Good", nil, []string{good}, 0, "topic=orders group=g", ""},
		{"Variable", []string{"DRAKKAR_KAFKA__SOURCE_TOPIC=other"}, []string{good}, 0, "topic=other group=g", ""},
		{"FileOfTheVariable", []string{"DRAKKAR_CONFIG=" + good}, nil, 0, "topic=orders", ""},
		{"Printed", nil, []string{"--print", good}, 0, "source_topic: orders", ""},
		{"Bad", nil, []string{bad}, 1, "", "kafka.source_topc: is not a setting, the nearest that is one is source_topic (" + bad + ":2)\n" +
			`executor.task_timeout: "120" has no unit, write 120s for seconds (` + bad + ":4)\n"},
		{"GoodTemplate", nil, []string{goodTemplate}, 0, "topic=orders", ""},
		{"BadTemplate", nil, []string{badTemplate}, 1, "", "handler.exec.args[1]: there is no .Vaule here"},
		{"BadVariable", []string{"DRAKKAR_KAFKA_BROKERS=a"}, []string{good}, 1, "", "DRAKKAR_KAFKA_BROKERS: is not a setting, the nearest that is one is DRAKKAR_KAFKA__BROKERS"},
		{"Missing", nil, []string{good + "x"}, 1, "", "reading the configuration: open "},
		{"UnknownFlag", nil, []string{"--strict", good}, 2, "", "usage:"},
		{"TwoFiles", nil, []string{good, bad}, 2, "", "more than one file is named"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, out, errOut := drakkar(t, tt.environ, append([]string{"config", "check"}, tt.args...)...)
			require.Equal(t, tt.code, code, errOut)
			require.Contains(t, out, tt.out)
			require.Contains(t, errOut, tt.errOut)
			require.Equal(t, tt.out == "", out == "")
			require.Equal(t, tt.errOut == "", errOut == "")
			require.NotContains(t, out+errOut, "hunter2")
		})
	}
}

func TestDLQ(t *testing.T) {
	t.Parallel()

	code, out, errOut := drakkar(t, nil, "dlq", "-help")
	require.Zero(t, code)
	require.Contains(t, out, "drakkar dlq replay -to TARGET")
	require.Empty(t, errOut)
	code, _, errOut = drakkar(t, nil, "dlq", "list", "-config", "/no/such/file")
	require.Equal(t, 1, code)
	require.Contains(t, errOut, "drakkar dlq: reading the configuration: open /no/such/file")
	code, _, _ = drakkar(t, nil, "dlq")
	require.Equal(t, 2, code)
}

// Ctrl-C ends a replay between two dead letters, and the same command goes on
// where it was.
func TestDLQ_Interrupted(t *testing.T) {
	t.Parallel()

	queue, out, state := t.TempDir(), t.TempDir(), t.TempDir()
	w, err := dlq.NewFileWriter(queue, "w", 1<<20)
	require.NoError(t, err)
	for _, id := range []string{"a", "b", "c"} {
		require.NoError(t, w.Write(t.Context(), []dlq.Envelope{{ID: id, Kind: dlq.KindPayload, Payload: &sinks.Payload{
			ID: id, To: sinks.Ref{Type: sinks.Filesystem, Name: "f"}, Value: []byte(id), Target: "lines",
		}}}))
	}
	require.NoError(t, w.Close(t.Context()))
	settings := file(t, "kafka: {source_topic: orders, consumer_group: g}\ndlq: {dir: "+queue+"}\nsinks: {filesystem: {f: {base_path: "+out+"}}}\n")
	args := []string{"dlq", "replay", "-config", settings, "-state", state, "-to", "sink"}

	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], append(args, "-rate", "0.001")...)
	cmd.Env, cmd.Stdout, cmd.Stderr = []string{asProgram + "=1"}, &said, &said
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { // the second is a quarter of an hour away
		audit, err := os.ReadFile(filepath.Join(state, "audit.jsonl"))
		return err == nil && len(audit) > 0
	}, 30*time.Second, 5*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Error(t, cmd.Wait())
	require.Equal(t, 3, cmd.ProcessState.ExitCode(), said.String())
	require.Contains(t, said.String(), "the end of the queue is not reached: the same command goes on from here")

	code, report, errOut := drakkar(t, nil, args...)
	require.Zero(t, code, errOut)
	require.Contains(t, report, "replayed 3 of 3 selected dead letters to sink: 1 of them in earlier runs")
	lines, err := os.ReadFile(filepath.Join(out, "lines"))
	require.NoError(t, err)
	require.Equal(t, "a\nb\nc\n", string(lines))
}

func TestConfigReference(t *testing.T) {
	t.Parallel()

	code, out, errOut := drakkar(t, nil, "config", "reference")
	require.Zero(t, code)
	require.Equal(t, config.Reference(), out)
	require.Empty(t, errOut)
	code, _, errOut = drakkar(t, nil, "config", "references")
	require.Equal(t, 2, code)
	require.Contains(t, errOut, "config reference")
}

// The files that the repository shows to users are right.
func TestShownFilesAreRight(t *testing.T) {
	t.Parallel()

	files, err := filepath.Glob("../../examples/*/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		path, err := filepath.Abs(path)
		require.NoError(t, err)
		code, out, errOut := drakkar(t, nil, "config", "check", path)
		require.Zero(t, code, errOut)
		require.Contains(t, out, "ok: [")
		require.Empty(t, errOut, "nothing in them is out of date")
	}
}
