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

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/app"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/dlq/dlqcmd"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
)

// toFile is copier into a file, and into the topic of results.
type toFile struct{ copier }

func (f toFile) OnTaskComplete(ctx context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	out, err := f.copier.OnTaskComplete(ctx, r)
	out.Files = []drakkar.FilePayload{{Data: json.RawMessage(r.Stdout), Path: "out.jsonl"}}
	return out, err
}

// toTable is copier into a table, and into the topic of results.
type toTable struct{ copier }

func (p toTable) OnTaskComplete(ctx context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	out, err := p.copier.OnTaskComplete(ctx, r)
	out.Postgres = []drakkar.PostgresPayload{{Data: json.RawMessage(r.Stdout), Table: "results"}}
	return out, err
}

// dlqCommand runs "drakkar dlq" with the settings of the harness.
func (h *harness) dlqCommand(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()

	settings := filepath.Join(t.TempDir(), "drakkar.yaml")
	require.NoError(t, os.WriteFile(settings, []byte(h.cfg.String()), 0o600))
	var o, e bytes.Buffer
	code = dlqcmd.Command(append(args, "-config", settings), dlqcmd.Env{Environ: h.environ, Out: &o, ErrOut: &e,
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

	t.Run("Kafka", func(t *testing.T) {
		t.Parallel()

		h := newHarness(t, 2)
		replayed(t, h, refusingFile(t, h))
	})
	t.Run("Files", func(t *testing.T) {
		t.Parallel()

		h := newHarness(t, 2)
		h.cfg.DLQ = config.DefaultOf[config.DLQ]()
		h.cfg.DLQ.Dir, h.cfg.DLQ.MaxFileBytes = t.TempDir(), 4096
		replayed(t, h, refusingFile(t, h))
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()

		h := newHarness(t, 2)
		replayed(t, h, refusingTable(t, h))
	})
}

// refusing is a sink that takes nothing until it is mended.
type refusing struct {
	pipeline *drakkar.Pipeline // sends to it
	sink     string
	mend     func()
	ids      func() []string // of what it holds
	// once is set when it takes a delivery id only once.
	once bool
}

// refusingFile is a sink whose file is a directory.
func refusingFile(t *testing.T, h *harness) refusing {
	t.Helper()

	files := h.cfg.Sinks.Filesystem["files"]
	files.IDField = "id"
	h.cfg.Sinks.Filesystem["files"] = files
	target := filepath.Join(h.out, "out.jsonl")
	require.NoError(t, os.Mkdir(target, 0o700))
	return refusing{
		pipeline: drakkar.NewPipeline(toFile{}), sink: "files",
		mend: func() { require.NoError(t, os.Remove(target)) },
		ids: func() []string {
			var got []string
			for _, line := range h.lines(t, "out.jsonl") {
				var v struct {
					ID string `json:"id"`
				}
				require.NoError(t, json.Unmarshal([]byte(line), &v))
				got = append(got, v.ID)
			}
			return got
		},
	}
}

// refusingTable is a sink whose table lacks a column.
func refusingTable(t *testing.T, h *harness) refusing {
	t.Helper()

	dsn, _ := servicestest.PostgresSchema(t, servicestest.Postgres(t))
	pool, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	exec := func(sql string) {
		_, err := pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec("CREATE TABLE results (id text PRIMARY KEY)")
	table := config.DefaultOf[config.PostgresSink]()
	table.DSN, table.OnConflict, table.IDColumn = dsn, "nothing", "id"
	h.cfg.Sinks.Postgres = map[string]config.PostgresSink{"table": table}
	h.environ = append(h.environ, "DRAKKAR_SINKS__POSTGRES__TABLE__DSN="+dsn)
	return refusing{
		pipeline: drakkar.NewPipeline(toTable{}), sink: "table", once: true,
		mend: func() { exec("ALTER TABLE results ADD n int NOT NULL") },
		ids: func() []string {
			rows, err := pool.Query(t.Context(), "SELECT id FROM results")
			require.NoError(t, err)
			got, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			return got
		},
	}
}

func replayed(t *testing.T, h *harness, r refusing) {
	t.Helper()

	const messages = 20
	h.send(t, append(numberedValues(t, messages), []byte("no json"))...)
	stopIngest := h.start(t, app.Ingest, nil, "ingest")
	stopExecutor := h.start(t, app.Executor, r.pipeline, "executor")
	h.awaitCommitted(t, messages+1)

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

	r.mend()
	slices.Sort(ids)
	state := t.TempDir()
	replay := func(state, want string) {
		code, out, errOut := h.dlqCommand(t, "replay", "-to", "sink", "-sink", r.sink, "-state", state)
		require.Zero(t, code, errOut)
		require.Contains(t, out, want)
		got := r.ids()
		slices.Sort(got)
		require.Equal(t, ids, got, "each is there once, under the id it had")
	}
	replay(state, "replayed 20 of 20 selected dead letters to sink")
	replay(state, "0 failed")
	if r.once {
		replay(t.TempDir(), "replayed 20 of 20 selected dead letters to sink: 0 of them in earlier runs")
	}
	require.Len(t, h.topic(t, h.results), messages, "what had been delivered is left alone")

	code, out, errOut = h.dlqCommand(t, "replay", "-to", "source", "-class", "parse", "-state", state)
	require.Zero(t, code, errOut)
	require.Contains(t, out, "replayed 1 of 1 selected dead letters to source")
	h.awaitCommitted(t, messages+2)
	stopIngest()
	stopExecutor()
	code, out, errOut = h.dlqCommand(t, "list", "-format", "json", "-class", "parse")
	require.Zero(t, code, errOut)
	require.Equal(t, 1, strings.Count(out, `"hops":1`), "it came back, and says so")
	require.Equal(t, 2, strings.Count(out, "\n"))
}
