package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/drakkartest"
)

func TestHandler(t *testing.T) {
	t.Parallel()

	file := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.WriteFile(file, []byte("some data"), 0o600))
	rep := drakkartest.Run(t, handler{},
		drakkartest.Binary("sha256sum"),
		drakkartest.Message(request{File: file}),
		drakkartest.Message(request{File: "/no/such/file"}),
	)
	require.Len(t, rep.Outputs.Kafka, 1)
	sum := sha256.Sum256([]byte("some data"))
	require.Equal(t, drakkar.Bytes(hex.EncodeToString(sum[:])+"  "+file+"\n"), rep.Outputs.Kafka[0].Data)
	require.Len(t, rep.DeadLetters, 1)
	require.Equal(t, int64(1), rep.DeadLetters[0].Offset)
}
