package files_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/files"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

// benchBatch is the default of batch_size.
const benchBatch = 1000

// Payloads a second through the sink, beside a bare loop that appends the same
// lines to a file and syncs it, once for each batch.
func BenchmarkDeliver(b *testing.B) {
	batch := make([]sinks.Payload, benchBatch)
	for i := range batch {
		batch[i] = to("bench.jsonl", fmt.Sprintf(`{"n":%d,"text":%q}`, i, strings.Repeat("7", 200)))
	}
	for _, fsync := range []string{"batch", "never"} {
		b.Run(fsync, func(b *testing.B) {
			dir := b.TempDir()
			s, err := files.New("bench", config.FilesystemSink{BasePath: dir, Fsync: fsync, CreateDirs: true})
			require.NoError(b, err)
			defer func() { require.NoError(b, s.Close(b.Context())) }()
			sinkstest.Compare(b, benchBatch, func() {
				require.NoError(b, s.Deliver(b.Context(), batch))
			}, func() { bareLoop(b, filepath.Join(dir, "bare.jsonl"), fsync == "batch", batch) })
		})
	}
}

func bareLoop(b *testing.B, path string, sync bool, batch []sinks.Payload) {
	b.Helper()

	var lines []byte
	for _, p := range batch {
		lines = append(append(lines, p.Value...), '\n')
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(b, err)
	_, err = f.Write(lines)
	require.NoError(b, err)
	if sync {
		require.NoError(b, f.Sync())
	}
	require.NoError(b, f.Close())
}
