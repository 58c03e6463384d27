package files

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
)

// What was set aside is compressed although those before it cannot be removed.
func TestCompression_ThoughNoOldOneCanBeRemoved(t *testing.T) {
	t.Parallel()

	b := setupRotation(t, config.FilesystemSink{RotateBytes: 10, RotateKeep: 1, Compression: compressionGzip})
	b.deliver(t, "x.jsonl", "first line")
	uid := os.Geteuid()
	if uid == 0 {
		// Root may list every directory, so the thread becomes somebody else.
		uid = 65534
		for _, name := range append(b.names(t), ".") {
			require.NoError(t, os.Chown(filepath.Join(b.base, name), uid, -1))
		}
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	require.NoError(t, os.Chmod(b.base, 0o300))
	require.NoError(t, syscall.Setfsuid(uid))
	err := b.sink.Deliver(t.Context(), []sinks.Payload{{Target: "x.jsonl", Value: drakkar.Bytes("second line")}})
	require.NoError(t, syscall.Setfsuid(os.Geteuid()))
	require.NoError(t, os.Chmod(b.base, 0o700))
	require.ErrorIs(t, sinks.Failures(1, err)[0].Err, fs.ErrPermission)
	require.Eventually(t, func() bool { // or it was too early to look, and is told so
		packed, err := filepath.Glob(filepath.Join(b.base, "x-*.jsonl.gz"))
		return err == nil && len(packed) == 1 || b.sink.Check(t.Context()) != nil
	}, patience, 5*time.Millisecond)
}
