package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/integration/services/servicestest"
)

// A tiny run on the services of the tests: what it prints, not how fast it is.
func TestBench(t *testing.T) {
	t.Parallel()

	kafka := servicestest.Kafka(t)
	temporal, namespace := servicestest.Temporal(t)
	results := t.TempDir()
	var out, errOut bytes.Buffer
	code := Command([]string{
		"--only", "spawn,server-cost,idle-latency", "--rounds", "1", "--messages", "300", "--json", "--release", "v0", "--results", results,
		"--kafka", kafka, "--temporal", temporal, "--namespace", namespace, "--dir", t.TempDir(),
	}, &out, &errOut)
	require.Zero(t, code, errOut.String())

	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var rows map[string]map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &rows), out.String())
	require.Len(t, rows, 3)
	for name, want := range map[string][]string{
		"spawn":        {"ours", "against", "ratio", "xargs", "rounds", "bar", "met", "others_cores"},
		"server-cost":  {"history_events", "history_bytes", "window_messages"},
		"idle-latency": {"median_ms", "p99_ms", "against_median_ms", "against_p99_ms", "bar", "met"},
	} {
		for _, figure := range want {
			require.Contains(t, rows[name], figure, "%s: %v", name, rows[name])
		}
		require.Contains(t, out.String(), "\n"+name+" ", "the table has the row")
	}
	require.IsType(t, true, rows["spawn"]["met"])
	require.Positive(t, rows["spawn"]["ratio"])
	require.Greater(t, rows["server-cost"]["history_events"], 0.0)
	require.Greater(t, rows["idle-latency"]["median_ms"], rows["idle-latency"]["against_median_ms"])

	kept, err := os.ReadFile(filepath.Join(results, "results.jsonl"))
	require.NoError(t, err)
	var line struct {
		Release string                    `json:"release"`
		Machine machine                   `json:"machine"`
		Rows    map[string]map[string]any `json:"rows"`
	}
	require.NoError(t, json.Unmarshal(kept, &line))
	require.Equal(t, "v0", line.Release)
	require.Positive(t, line.Machine.Cores)
	require.Equal(t, rows, line.Rows)
}

func TestCommand(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"Help", []string{"-h"}, 0, "-messages"},
		{"NoFlag", []string{"spawn"}, 2, `"spawn" is no flag`},
		{"NoRounds", []string{"-rounds", "0"}, 2, "-rounds is 0"},
		{"NoMessages", []string{"-messages", "0"}, 2, "-messages is 0"},
		{"NoServerSetting", []string{"-server-setting", "system.x"}, 2, `"system.x" is not NAME=VALUE`},
		{"ServerSettingOfAnother", []string{"-temporal", "localhost:7233", "-server-setting", "system.x=1"}, 2, "not for the one at -temporal"},
		{"UnknownRow", []string{"-only", "spawn,swim"}, 2, `there is no row "swim"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			var out, errOut bytes.Buffer
			require.Equal(t, tt.code, Command(tt.args, &out, &errOut))
			require.Contains(t, errOut.String(), tt.want)
			require.Empty(t, out.String())
		})
	}
}

func TestRows(t *testing.T) {
	t.Parallel()

	names := rowNames()
	require.Subset(t, names, []string{"spawn", "idle-latency"})
	seen := map[string]bool{}
	for _, name := range names {
		require.False(t, seen[name], "%s is there twice", name)
		seen[name] = true
	}
	some, err := parseRows("idle-latency, spawn,")
	require.NoError(t, err)
	o := options{only: some}
	require.True(t, o.wants(row{name: "spawn"}))
	require.False(t, o.wants(row{name: "overhead"}))
	require.True(t, options{}.wants(row{name: "overhead"}))
}
