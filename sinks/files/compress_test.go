package files

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/config"
)

// content is what is in a file, which may be compressed.
func content(t require.TestingT, path string) string {
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, gzipExt) {
		r, err = gzip.NewReader(f)
		require.NoError(t, err)
	}
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(data)
}

const patience = 30 * time.Second

func TestCompression(t *testing.T) {
	t.Parallel()

	t.Run("OfWhatIsSetAside", func(t *testing.T) {
		t.Parallel()

		b := setupRotation(t, config.FilesystemSink{RotateBytes: 10, Compression: compressionGzip})
		for _, line := range []string{"first line", "second line", "third line"} {
			b.deliver(t, "x.jsonl", line)
		}
		require.Eventually(t, func() bool {
			packed, err := filepath.Glob(filepath.Join(b.base, "x-*.jsonl.gz"))
			return err == nil && len(packed) == 2 && len(b.names(t)) == 3
		}, patience, 5*time.Millisecond)
		var lines []string
		for _, name := range b.names(t) {
			lines = append(lines, content(t, filepath.Join(b.base, name)))
		}
		require.ElementsMatch(t, []string{"first line\n", "second line\n", "third line\n"}, lines)
		require.NoError(t, b.sink.Check(t.Context()))
	})

	t.Run("OfWhatACrashHasLeft", func(t *testing.T) {
		t.Parallel()

		b := setupRotation(t, config.FilesystemSink{RotateBytes: 10, Compression: compressionGzip})
		left := filepath.Join(b.base, "x-20260102T150405Z.jsonl")
		require.NoError(t, os.WriteFile(left, []byte("left over\n"), 0o600))
		require.NoError(t, os.WriteFile(left+gzipExt+halfExt, []byte("half"), 0o600))
		b.deliver(t, "x.jsonl", "first line")
		b.deliver(t, "x.jsonl", "second line")
		require.Eventually(t, func() bool { return len(b.names(t)) == 3 }, patience, 5*time.Millisecond)
		require.Equal(t, "left over\n", content(t, left+gzipExt))
	})

	t.Run("KeepsTheNewest", func(t *testing.T) {
		t.Parallel()

		b := setupRotation(t, config.FilesystemSink{RotateBytes: 10, RotateKeep: 1, Compression: compressionGzip})
		old := filepath.Join(b.base, "x-20260102T150405Z.jsonl.gz")
		require.NoError(t, os.WriteFile(old, nil, 0o600))
		b.deliver(t, "x.jsonl", "first line")
		b.deliver(t, "x.jsonl", "second line")
		require.NoFileExists(t, old)
		require.Eventually(t, func() bool {
			packed, err := filepath.Glob(filepath.Join(b.base, "x-*.jsonl.gz"))
			return err == nil && len(packed) == 1 && len(b.names(t)) == 2
		}, patience, 5*time.Millisecond)
	})

	t.Run("FailureIsToldAndMended", func(t *testing.T) {
		t.Parallel()

		b := setupRotation(t, config.FilesystemSink{RotateBytes: 10, Compression: compressionGzip})
		left := filepath.Join(b.base, "x-20260102T150405Z.jsonl")
		require.NoError(t, os.WriteFile(left, []byte("left over\n"), 0o600))
		require.NoError(t, os.Mkdir(left+gzipExt, 0o700))
		b.deliver(t, "x.jsonl", "first line")
		b.deliver(t, "x.jsonl", "second line")
		require.Eventually(t, func() bool { return b.sink.Check(t.Context()) != nil }, patience, 5*time.Millisecond)
		require.ErrorContains(t, b.sink.Check(t.Context()), "compressing x-20260102T150405Z.jsonl")
		require.Equal(t, "left over\n", content(t, left))

		require.NoError(t, os.Remove(left+gzipExt))
		b.deliver(t, "x.jsonl", "third line")
		require.Eventually(t, func() bool { return b.sink.Check(t.Context()) == nil }, patience, 5*time.Millisecond)
		require.Equal(t, "left over\n", content(t, left+gzipExt))
	})
}

// What failed is tried again although nothing is delivered, and no success with
// another file hides it.
func TestCompression_FailuresAreTriedAgain(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		b := setupRotation(t, config.FilesystemSink{RotateBytes: 10, Compression: compressionGzip})
		left := filepath.Join(b.base, "x-20260102T150405Z.jsonl")
		require.NoError(t, os.WriteFile(left, []byte("left over\n"), 0o600))
		require.NoError(t, os.Mkdir(left+gzipExt, 0o700))
		for _, path := range []string{"x.jsonl", "y.jsonl", "z.jsonl"} {
			b.deliver(t, path, "first line")
			b.deliver(t, path, "second line")
			<-time.After(time.Second) // of the bubble's time: the compressor may wait for the file's lock
			synctest.Wait()
			require.ErrorContains(t, b.sink.Check(t.Context()), "compressing x-20260102T150405Z.jsonl", path)
		}

		require.NoError(t, os.Remove(left+gzipExt))
		<-time.After(compressAgain)
		synctest.Wait()
		require.NoError(t, b.sink.Check(t.Context()))
		require.Equal(t, "left over\n", content(t, left+gzipExt))
	})
}

// A file that could not be compressed and is gone, with its directory, is none
// that waits.
func TestCompressFile_Gone(t *testing.T) {
	t.Parallel()

	b := setupRotation(t, config.FilesystemSink{Compression: compressionGzip})
	require.NoError(t, b.sink.compressFile(t.Context(), "gone/x.jsonl"))
}

func TestOpenAside(t *testing.T) {
	t.Parallel()

	b := setupRotation(t, config.FilesystemSink{})
	b.deliver(t, "x", "1")
	f, err := b.sink.openAside("x")
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Truncate(2), "it can be written to")
}

func TestParseAside_Compressed(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name, entry    string
		ok, compressed bool
	}{
		{"x.jsonl", "x-20260102T150405Z.jsonl", true, false},
		{"x.jsonl", "x-20260102T150405Z.1.jsonl.gz", true, true},
		{"x.jsonl", "x-20260102T150405Z.jsonl.gz.tmp", false, false},
		{"x.gz", "x-20260102T150405Z.gz", true, false},
		{"x.gz", "x-20260102T150405Z.gz.gz", true, true},
		{"x", "x-20260102T150405Z.gz", true, true},
	} {
		a, ok := parseAside(tt.name, tt.entry)
		require.Equal(t, tt.ok, ok, tt.entry)
		require.Equal(t, tt.compressed, a.compressed, tt.entry)
	}
}
