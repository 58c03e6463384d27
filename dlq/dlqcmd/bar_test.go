package dlqcmd

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/dlq/replay"
)

func TestBar(t *testing.T) {
	t.Parallel()

	var out bytes.Buffer
	b := &bar{out: &out, begun: time.Now().Add(-10 * time.Second)}
	half := replay.Progress{Counts: replay.Counts{Replayed: 60, Refused: 2, Failed: 1}, Earlier: 10, Read: 50, Total: 100}
	b.show(half)
	require.Equal(t, "\r\033[K[===============               ]  50%  60 replayed, 2 refused, 1 failed, 5/s", out.String())
	drawn := out.Len()
	b.show(half)
	require.Equal(t, drawn, out.Len(), "not too often")
	b.clear()
	b.clear()
	require.Equal(t, "\r\033[K", out.String()[drawn:])
	out.Reset()
	b.show(replay.Progress{})
	require.Contains(t, out.String(), "100%", "an empty queue is read")

	// A file is no terminal.
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer file.Close()
	for _, b := range []*bar{newBar(file), newBar(&out)} {
		b.show(half)
		b.clear()
	}
	info, err := file.Stat()
	require.NoError(t, err)
	require.Zero(t, info.Size())
}
