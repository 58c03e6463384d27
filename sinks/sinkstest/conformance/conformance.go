// Package conformance keeps what the suite in sinkstest found out about each
// sink, and makes docs/conformance.md of it.
package conformance

import (
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

//go:generate go run ./gen ../../../docs/conformance.md

// Write is the variable with which results are written instead of compared.
const Write = "DRAKKARTEST_CONFORMANCE"

//go:embed results
var stored embed.FS

const dir = "results"

// Result is what the suite found out about one sink.
type Result struct {
	Sink string `json:"sink"`
	// Server is what the sink was tested against.
	Server   string              `json:"server"`
	Outcomes []sinkstest.Outcome `json:"outcomes"`
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

func fileName(sink string) string {
	return strings.Trim(notInName.ReplaceAllString(strings.ToLower(sink), "-"), "-") + ".json"
}

// Of is the Report of a sink's suite: it requires that the results are those
// that docs/conformance.md shows. With DRAKKARTEST_CONFORMANCE=write it keeps
// them instead.
func Of(sink, server string) func(*testing.T, []sinkstest.Outcome) {
	return func(t *testing.T, outcomes []sinkstest.Outcome) {
		t.Helper()

		got, err := json.MarshalIndent(Result{sink, server, outcomes}, "", "  ")
		require.NoError(t, err)
		got = append(got, '\n')
		if os.Getenv(Write) == "write" {
			_, here, _, _ := runtime.Caller(0)
			require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(here), dir, fileName(sink)), got, 0o600))
			return
		}
		want, err := stored.ReadFile(dir + "/" + fileName(sink))
		require.NoError(t, err, "docs/conformance.md knows nothing of %s: run make conformance", sink)
		require.Equal(t, string(want), string(got), "docs/conformance.md is not current: run make conformance")
	}
}

// Results are those of all sinks, in the order of their names.
func Results() ([]Result, error) {
	entries, err := stored.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the results: %w", err)
	}
	out := make([]Result, len(entries))
	for i, e := range entries {
		data, err := stored.ReadFile(dir + "/" + e.Name())
		if err == nil {
			err = json.Unmarshal(data, &out[i])
		}
		if err != nil {
			return nil, fmt.Errorf("reading the result %s: %w", e.Name(), err)
		}
	}
	return out, nil
}
