package blobs

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What may not be read, as a lost+found, keeps nothing from being swept.
func TestDir_SweepPassesWhatItMayNotRead(t *testing.T) {
	t.Parallel()

	b := setupDir(t)
	first, last := b.put(t, "a", "old"), b.put(t, "z", "old")
	foreign := filepath.Join(b.path, "lost+found")
	require.NoError(t, os.Mkdir(foreign, 0o700))
	require.NoError(t, os.Mkdir(filepath.Join(b.path, "empty+too"), 0o755))
	for _, name := range []string{first, last, "lost+found", "empty+too", "a", "z"} {
		b.age(t, name, 2*time.Hour)
	}
	require.NoError(t, os.Chmod(foreign, 0))
	for _, name := range []string{".", first, last, "a", "z"} {
		require.NoError(t, os.Chown(filepath.Join(b.path, name), other(), -1))
	}
	removed, err := 0, error(nil)
	asOther(t, func() { removed, err = b.Sweep(t.Context(), time.Hour, nobody) })
	require.ErrorContains(t, err, "lost+found")
	require.Equal(t, 2, removed)
	require.DirExists(t, foreign)
	require.DirExists(t, filepath.Join(b.path, "empty+too"), "it is not ours")
}

// other is a user who is not root: who runs the test, or else nobody.
func other() int {
	if uid := os.Geteuid(); uid != 0 {
		return uid
	}
	return 65534
}

// asOther runs f with the rights to files of other: root has too many.
func asOther(t *testing.T, f func()) {
	t.Helper()

	if os.Geteuid() == 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		require.NoError(t, syscall.Setfsuid(other()))
		defer func() { require.NoError(t, syscall.Setfsuid(0)) }()
	}
	f()
}
