package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCommentsAreCurrent(t *testing.T) {
	t.Parallel()

	want, err := generate("../config.go", "../sinks.go")
	require.NoError(t, err)
	got, err := os.ReadFile("../doc_gen.go")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run go generate ./config")
}
