package sinks_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// waivers are sinks that the conformance suite does not run against, and why.
var waivers = map[string]string{
	"sinkstest": "it is the suite",
}

// Every sink keeps the promises of the conformance suite, or says here why not.
func TestEverySinkRunsTheSuite(t *testing.T) {
	t.Parallel()

	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	found := 0
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		sources, err := filepath.Glob(filepath.Join(e.Name(), "*.go"))
		require.NoError(t, err)
		if len(sources) == 0 || waivers[e.Name()] != "" {
			continue
		}
		found++
		require.True(t, callsSuite(t, e.Name()),
			"no test in sinks/%s calls sinkstest.Exercise: add one, or a waiver with its reason", e.Name())
	}
	require.NotZero(t, found, "the test looks in the wrong place")
	for name := range waivers {
		require.DirExists(t, name, "the waiver is of no use any more")
	}
}

func callsSuite(t *testing.T, sink string) bool {
	t.Helper()

	tests, err := filepath.Glob(filepath.Join(sink, "*_test.go"))
	require.NoError(t, err)
	for _, file := range tests {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		if bytes.Contains(source, []byte("sinkstest.Exercise(")) {
			return true
		}
	}
	return false
}
