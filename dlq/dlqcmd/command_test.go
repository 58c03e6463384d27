package dlqcmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/app"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/dlq/dlqcmd"
	"github.com/drakkar-go/drakkar/sinks"
)

// bundle is a queue of files, and settings with a filesystem sink.
type bundle struct {
	dir, out string
	environ  []string
}

func setup(t *testing.T, letters ...dlq.Envelope) *bundle {
	t.Helper()

	b := &bundle{dir: t.TempDir(), out: t.TempDir()}
	settings := filepath.Join(t.TempDir(), "drakkar.yaml")
	text := fmt.Sprintf("kafka: {source_topic: orders, consumer_group: g}\ndlq: {dir: %s}\nsinks: {filesystem: {files: {base_path: %s, id_field: id}}}\n", b.dir, b.out)
	require.NoError(t, os.WriteFile(settings, []byte(text), 0o600))
	b.environ = []string{"DRAKKAR_CONFIG=" + settings, "XDG_STATE_HOME=" + t.TempDir()}
	w, err := dlq.NewFileWriter(b.dir, "w", 1<<20)
	require.NoError(t, err)
	require.NoError(t, w.Write(t.Context(), letters))
	require.NoError(t, w.Close(t.Context()))
	return b
}

func (b *bundle) run(args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = dlqcmd.Command(args, dlqcmd.Env{
		Environ: b.environ, Out: &o, ErrOut: &e,
		OpenSink: func(ctx context.Context, cfg *config.Config, ref sinks.Ref) (*sinks.Set, error) {
			return app.OpenSink(ctx, cfg, nil, ref)
		},
	})
	return code, o.String(), e.String()
}

func letters() []dlq.Envelope {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	source := func(offset int64) dlq.Source {
		return dlq.Source{Topic: "orders", Partition: 3, Offset: offset, Value: drakkar.Bytes("v"), Headers: []drakkar.Header{{Key: "drakkar-replay-hops", Value: drakkar.Bytes("2")}}}
	}
	return []dlq.Envelope{
		{
			ID: "orders/3/1/t0/0", Kind: dlq.KindPayload, Class: "permanent", Error: "no such \x1b[31mdirectory\nsecond line", Written: at, Source: source(1),
			Payload: &sinks.Payload{ID: "orders/3/1/t0/0", To: sinks.Ref{Type: sinks.Filesystem, Name: "files"}, Value: drakkar.Bytes(`{"a":1}`), Target: "out.jsonl"},
		},
		{ID: "orders/3/2/dlq/0", Kind: dlq.KindMessage, Class: "parse", Error: strings.Repeat("x", 200), Written: at.Add(time.Hour), Source: source(2)},
	}
}

func TestList(t *testing.T) {
	t.Parallel()

	b := setup(t, letters()...)
	code, out, errOut := b.run("list")
	require.Zero(t, code, errOut)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 3)
	require.Regexp(t, `^POSITION +WRITTEN +KIND +CLASS +SINK +SOURCE +HOPS +ERROR$`, lines[0])
	require.Regexp(t, `-w-1.jsonl@0 +2026-01-02T03:04:05Z +payload +permanent +filesystem:files +orders/3@1 +2 +no such .\[31mdirectory …$`, lines[1])
	require.NotContains(t, out, "\x1b")
	require.Regexp(t, `message +parse +- +orders/3@2 +2 +x{100}…$`, lines[2])
	require.Equal(t, "2 of 2 dead letters, 0 records that are none\n", errOut)

	for _, test := range []struct {
		args []string
		n    int
	}{
		{[]string{"-kind", "task,message"}, 1},
		{[]string{"-kind", "task"}, 0},
		{[]string{"-class", "parse", "-class", "permanent"}, 2},
		{[]string{"-sink", "files"}, 1},
		{[]string{"-topic", "orders", "-partition", "0, 3"}, 2},
		{[]string{"-since", "2026-01-02T03:30:00Z"}, 1},
		{[]string{"-until", "2026-01-02"}, 0},
		{[]string{"-since", "1h"}, 0},
		{[]string{"-text", "directory"}, 1},
		{[]string{"-id", "orders/3/2/dlq/0"}, 1},
		{[]string{"-limit", "1"}, 1},
		{[]string{"-dir", b.dir, "-config", strings.TrimPrefix(b.environ[0], "DRAKKAR_CONFIG=")}, 2},
	} {
		code, out, errOut := b.run(append([]string{"list", "-format", "json"}, test.args...)...)
		require.Zero(t, code, errOut)
		require.Equal(t, test.n, strings.Count(out, "\n"), test.args)
		for line := range strings.Lines(out) {
			var got struct {
				Hops   int             `json:"hops"`
				Letter json.RawMessage `json:"letter"`
			}
			require.NoError(t, json.Unmarshal([]byte(line), &got))
			_, err := dlq.Decode(got.Letter)
			require.NoError(t, err)
			require.Equal(t, 2, got.Hops)
		}
	}

	require.NoError(t, os.WriteFile(filepath.Join(b.dir, "x.jsonl"), []byte("{}\n"), 0o600))
	code, _, errOut = b.run("list")
	require.Equal(t, dlqcmd.ExitLeft, code)
	require.Contains(t, errOut, "warning: reading x.jsonl@0: decoding dead letter: it is not one")
	require.Contains(t, errOut, "2 of 2 dead letters, 1 records that are none")
}

func TestShow(t *testing.T) {
	t.Parallel()

	b := setup(t, letters()...)
	_, list, _ := b.run("list", "-format", "json", "-kind", "message")
	var second struct {
		At string `json:"at"`
	}
	require.NoError(t, json.Unmarshal([]byte(list), &second))
	for _, name := range []string{second.At, "orders/3/2/dlq/0"} {
		code, out, errOut := b.run("show", name)
		require.Zero(t, code, errOut)
		require.Contains(t, out, "\n  \"letter\": {\n")
		require.Contains(t, out, `"id": "orders/3/2/dlq/0"`)
		require.NotContains(t, out, "permanent")
	}
	log, _, _ := strings.Cut(second.At, "@")
	code, out, errOut := b.run("show", "orders/3/2/dlq/0", "nope", log+"@99999", "other@0")
	require.Equal(t, dlqcmd.ExitFailed, code)
	require.Contains(t, out, "orders/3/2/dlq/0", "what is there is shown")
	require.Contains(t, errOut, "the queue holds no dead letter nope, "+log+"@99999, other@0")
	code, _, errOut = b.run("show", log+"@3")
	require.Equal(t, dlqcmd.ExitFailed, code)
	require.Contains(t, errOut, "decoding dead letter")
}

func TestReplay(t *testing.T) {
	t.Parallel()

	b := setup(t, letters()...)
	target := filepath.Join(b.out, "out.jsonl")
	code, out, errOut := b.run("replay", "-to", "sink", "-dry-run", "-since", "999999h")
	require.Equal(t, dlqcmd.ExitLeft, code)
	require.Contains(t, out, "@0 orders/3/1/t0/0 to sink filesystem:files\nwould replay 1 of 2 selected dead letters to sink: ")
	require.Regexp(t, `refused \S+-w-1.jsonl@\d+ orders/3/2/dlq/0 to sink: it is a message and failed at no sink`, errOut)
	require.NoFileExists(t, target)

	code, out, errOut = b.run("replay", "-to", "sink", "-sink", "filesystem:files", "-rate", "10", "-limit", "5")
	require.Zero(t, code, errOut)
	require.Empty(t, errOut, "there is no bar without a terminal")
	state := strings.TrimPrefix(b.environ[1], "XDG_STATE_HOME=")
	audit := filepath.Join(state, "drakkar", "dlq", "audit.jsonl")
	require.Equal(t, "replayed 1 of 1 selected dead letters to sink: 0 of them in earlier runs, 0 refused, 0 failed, 0 doubles; 0 records are no dead letters\naudit: "+audit+"\n", out)
	data, err := os.ReadFile(target)
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"orders/3/1/t0/0","a":1}`, string(data))
	require.FileExists(t, audit)

	code, out, _ = b.run("replay", "-to", "sink", "-sink", "filesystem:files", "-format", "json")
	require.Zero(t, code)
	require.JSONEq(t, `{"selected":0,"replayed":0,"refused":0,"failed":0,"doubles":0,"unreadable":0,"earlier":0,"complete":true}`, out)
}

func TestCommand_Usage(t *testing.T) {
	t.Parallel()

	b := setup(t, letters()...)
	for _, args := range [][]string{{"help"}, {"-h"}, {"list", "-help"}, {"show", "--help"}, {"replay", "-h"}} {
		code, out, errOut := b.run(args...)
		require.Zero(t, code)
		require.Contains(t, out, "exit codes:")
		require.Empty(t, errOut)
	}
	for want, args := range map[string]string{
		"say what to do":                                 "",
		`there is no command "lst"`:                      "lst",
		`list takes no argument "x"`:                     "list x",
		"flag provided but not defined: -nope":           "list -nope",
		"want message, task or payload":                  "list -kind letter",
		"want a number of a partition":                   "list -partition -1",
		"want 2006-01-02T15:04:05Z":                      "list -since yesterday",
		"want one of table, json":                        "list -format xml",
		"name positions or ids":                          "show",
		`-to is "", want sink, source or topic:NAME`:     "replay",
		`-to is "topic:", want sink`:                     "replay -to topic:",
		`replay takes no argument "id"`:                  "replay -to sink id",
		"-rate and -limit cannot be negative":            "replay -to sink -rate -1",
		"-rate is NaN, want a number":                    "replay -to sink -rate NaN",
		"-rate is +Inf, want a number":                   "replay -to sink -rate Inf",
		"-since 1h is another time in each run":          "replay -to sink -since 1h",
		"and -patience must be more than 0s":             "replay -to sink -patience 0s",
		`invalid value "x" for flag -limit: parse error`: "list -limit x",
	} {
		code, out, errOut := b.run(strings.Fields(args)...)
		require.Equal(t, dlqcmd.ExitUsage, code, args)
		require.Empty(t, out)
		require.Contains(t, errOut, want, args)
	}
}

func TestCommand_CannotBeDone(t *testing.T) {
	t.Parallel()

	b := setup(t, letters()...)
	for want, args := range map[string]string{
		"reading the configuration: open /no/such/file": "list -config /no/such/file",
		"opening the dead letter queue, dlq.dir: ":      "list -dir /no/such/dir",
	} {
		code, _, errOut := b.run(strings.Fields(args)...)
		require.Equal(t, dlqcmd.ExitFailed, code)
		require.Contains(t, errOut, "drakkar dlq: "+want)
	}
	b.environ = b.environ[:1]
	code, _, errOut := b.run("replay", "-to", "sink")
	require.Equal(t, dlqcmd.ExitFailed, code)
	require.Contains(t, errOut, "pass -state DIR")
	code, _, _ = b.run("replay", "-to", "sink", "-state", t.TempDir(), "-kind", "payload")
	require.Zero(t, code)

	b.environ = []string{"DRAKKAR_KAFKA__SOURCE_TOPIC=orders", "DRAKKAR_KAFKA__BROKERS=127.0.0.1:1"}
	code, _, errOut = b.run("list", "-timeout", "200ms")
	require.Equal(t, dlqcmd.ExitFailed, code)
	require.Contains(t, errOut, "opening the dead letter queue on 127.0.0.1:1")
}
