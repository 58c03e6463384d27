package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
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

// toFile is copier into a file, and into the topic of results.
type toFile struct{ copier }

func (f toFile) OnTaskComplete(ctx context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	out, err := f.copier.OnTaskComplete(ctx, r)
	out.Files = []drakkar.FilePayload{{Data: json.RawMessage(r.Stdout), Path: "out.jsonl"}}
	return out, err
}

// dlqCommand runs "drakkar dlq" with the settings of the harness.
func (h *harness) dlqCommand(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()

	settings := filepath.Join(t.TempDir(), "drakkar.yaml")
	require.NoError(t, os.WriteFile(settings, []byte(h.cfg.String()), 0o600))
	var o, e bytes.Buffer
	code = dlqcmd.Command(append(args, "-config", settings), dlqcmd.Env{Out: &o, ErrOut: &e,
		OpenSink: func(ctx context.Context, cfg *config.Config, ref sinks.Ref) (*sinks.Set, error) {
			return app.OpenSink(ctx, cfg, nil, ref)
		},
	})
	return code, o.String(), e.String()
}

// A payload that its sink refused, and a message that does not parse, are
// dead-lettered. The one is replayed to its sink and is there once, under its
// id; the other is mended by nobody and comes back as the dead letter of a
// replay.
func TestDLQ_Replay(t *testing.T) {
	t.Parallel()

	for _, inFiles := range []bool{false, true} {
		name := "Kafka"
		if inFiles {
			name = "Files"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replayed(t, inFiles)
		})
	}
}

func replayed(t *testing.T, inFiles bool) {
	t.Helper()

	const messages = 20
	h := newHarness(t, 2)
	if inFiles {
		h.cfg.DLQ = config.DefaultOf[config.DLQ]()
		h.cfg.DLQ.Dir, h.cfg.DLQ.MaxFileBytes = t.TempDir(), 4096
	}
	files := h.cfg.Sinks.Filesystem["files"]
	files.IDField = "id"
	h.cfg.Sinks.Filesystem["files"] = files
	target := filepath.Join(h.out, "out.jsonl")
	require.NoError(t, os.Mkdir(target, 0o700)) // no line can be written to it
	h.send(t, append(numberedValues(t, messages), []byte("no json"))...)
	stopIngest := h.start(t, app.Ingest, nil, "ingest")
	stopExecutor := h.start(t, app.Executor, drakkar.NewPipeline(toFile{}), "executor")
	h.awaitCommitted(t, messages+1, 2*time.Minute)

	code, out, errOut := h.dlqCommand(t, "list", "-format", "json")
	require.Zero(t, code, errOut)
	var ids []string
	for line := range bytes.Lines([]byte(out)) {
		var got struct {
			Letter dlq.Envelope `json:"letter"`
		}
		require.NoError(t, json.Unmarshal(line, &got))
		if got.Letter.Kind == dlq.KindPayload {
			ids = append(ids, got.Letter.ID)
		}
	}
	require.Len(t, ids, messages)
	require.Contains(t, errOut, "21 of 21 dead letters")

	require.NoError(t, os.Remove(target)) // the cause is mended
	state := t.TempDir()
	for _, already := range []bool{false, true} {
		code, out, errOut = h.dlqCommand(t, "replay", "-to", "sink", "-sink", "files", "-state", state)
		require.Zero(t, code, errOut)
		if !already {
			require.Contains(t, out, "replayed 20 of 20 selected dead letters to sink")
		}
		var got []string
		for _, line := range h.lines(t, "out.jsonl") {
			var v struct {
				ID string `json:"id"`
			}
			require.NoError(t, json.Unmarshal([]byte(line), &v))
			got = append(got, v.ID)
		}
		slices.Sort(got)
		slices.Sort(ids)
		require.Equal(t, ids, got, "each is there once, under the id it had")
	}
	require.Len(t, h.topic(t, h.results), messages, "what had been delivered is left alone")

	code, out, errOut = h.dlqCommand(t, "replay", "-to", "source", "-class", "parse", "-state", state)
	require.Zero(t, code, errOut)
	require.Contains(t, out, "replayed 1 of 1 selected dead letters to source")
	h.awaitCommitted(t, messages+2, 2*time.Minute)
	stopIngest()
	stopExecutor()
	code, out, errOut = h.dlqCommand(t, "list", "-format", "json", "-class", "parse")
	require.Zero(t, code, errOut)
	require.Equal(t, 1, strings.Count(out, `"hops":1`), "it came back, and says so")
	require.Equal(t, 2, strings.Count(out, "\n"))
}
