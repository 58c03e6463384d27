package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

// The sink keeps the same promises as those that come with Drakkar.
func TestSpool_Conforms(t *testing.T) {
	t.Parallel()

	caps := sinkstest.Caps{Upserts: true, AnyBytes: true, NoOwn: "a directory has no server"}
	sinkstest.Exercise(t, caps, func(t *testing.T) sinkstest.Harness {
		t.Helper()

		dir := filepath.Join(t.TempDir(), "spool")
		require.NoError(t, os.Mkdir(dir, 0o700))
		s, err := newSpool(dir)
		require.NoError(t, err)
		return sinkstest.Harness{
			Sink:    s,
			Payload: func(int) sinks.Payload { return sinks.Payload{Target: "in"} },
			Rows:    func(t sinkstest.T) [][]byte { return files(t, dir) },
			Bad:     func(int) sinks.Payload { return sinks.Payload{Target: "../out"} },
			Down:    func(t sinkstest.T) { require.NoError(t, os.Rename(dir, dir+"-away")) },
			Up:      func(t sinkstest.T) { require.NoError(t, os.Rename(dir+"-away", dir)) },
			NoStall: "a directory of this machine answers or does not",
		}
	})
}

// files are the contents of all files, half-written ones too.
func files(t sinkstest.T, dir string) [][]byte {
	var rows [][]byte
	names, err := filepath.Glob(filepath.Join(dir, "in", "*"))
	require.NoError(t, err)
	hidden, err := filepath.Glob(filepath.Join(dir, "in", ".*"))
	require.NoError(t, err)
	for _, name := range append(names, hidden...) {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		rows = append(rows, data)
	}
	return rows
}

func TestOpenSpool(t *testing.T) {
	t.Parallel()

	_, err := openSpool(t.Context(), "out", config.CustomSink{})
	require.ErrorContains(t, err, "options.dir is missing")
	_, err = openSpool(t.Context(), "out", config.CustomSink{Options: map[string]string{"dir": "/no/such/dir"}})
	require.ErrorContains(t, err, "looking for the directory")
	s, err := openSpool(t.Context(), "out", config.CustomSink{Options: map[string]string{"dir": t.TempDir()}})
	require.NoError(t, err)
	require.NoError(t, s.Close(t.Context()))
}
