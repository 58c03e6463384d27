package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
)

type rotateBundle struct {
	base string
	sink *Sink
}

func setupRotation(t *testing.T, cfg config.FilesystemSink) *rotateBundle {
	t.Helper()

	b := &rotateBundle{base: t.TempDir()}
	cfg.BasePath, cfg.CreateDirs = b.base, true
	if cfg.Fsync == "" {
		cfg.Fsync = fsyncBatch
	}
	s, err := New("out", cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close(context.WithoutCancel(t.Context())) })
	b.sink = s
	return b
}

func (b *rotateBundle) deliver(t *testing.T, path, value string) {
	t.Helper()
	require.NoError(t, b.sink.Deliver(t.Context(), []sinks.Payload{{Target: path, Value: drakkar.Bytes(value)}}))
}

func (b *rotateBundle) names(t *testing.T) []string {
	t.Helper()

	entries, err := os.ReadDir(b.base)
	require.NoError(t, err)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

func (b *rotateBundle) read(t *testing.T, name string) string {
	t.Helper()

	data, err := os.ReadFile(filepath.Join(b.base, name))
	require.NoError(t, err)
	return string(data)
}

func TestRotation(t *testing.T) {
	t.Parallel()

	t.Run("BySize", func(t *testing.T) {
		t.Parallel()

		b := setupRotation(t, config.FilesystemSink{RotateBytes: 10})
		b.deliver(t, "x.jsonl", "12345")
		b.deliver(t, "x.jsonl", "678") // 10 bytes with the line breaks
		require.Equal(t, []string{"x.jsonl"}, b.names(t))
		b.deliver(t, "x.jsonl", "a batch larger than the limit is one file")
		b.deliver(t, "x.jsonl", "9")

		names := b.names(t)
		require.Len(t, names, 3)
		require.Equal(t, "9\n", b.read(t, "x.jsonl"))
		aside := slices.DeleteFunc(names, func(n string) bool { return n == "x.jsonl" })
		for _, n := range aside {
			require.Regexp(t, `^x-\d{8}T\d{6}Z(\.1)?\.jsonl$`, n)
		}
		texts := []string{b.read(t, aside[0]), b.read(t, aside[1])}
		require.ElementsMatch(t, []string{"12345\n678\n", "a batch larger than the limit is one file\n"}, texts)
	})

	t.Run("ByInterval", func(t *testing.T) {
		t.Parallel()

		b := setupRotation(t, config.FilesystemSink{RotateInterval: time.Hour, Fsync: fsyncInterval})
		b.deliver(t, "sub/x", "1")
		b.deliver(t, "sub/x", "2")
		hourAgo := time.Now().Add(-time.Hour)
		require.NoError(t, os.Chtimes(filepath.Join(b.base, "sub/x"), hourAgo, hourAgo))
		b.deliver(t, "sub/x", "3")
		require.Equal(t, "3\n", b.read(t, "sub/x"))
		asides, err := filepath.Glob(filepath.Join(b.base, "sub/x-*"))
		require.NoError(t, err)
		require.Len(t, asides, 1)
	})

	t.Run("KeepsTheNewest", func(t *testing.T) {
		t.Parallel()

		b := setupRotation(t, config.FilesystemSink{RotateBytes: 1, RotateKeep: 2})
		others := []string{
			"x-extra.jsonl", "x-20200101T000000Z.json", "x-20200101T000000Z.0.jsonl", "y-20200101T000000Z.jsonl",
			"x-20209901T000000Z.jsonl",
		}
		for _, n := range append(others, "x-20200101T000000Z.jsonl", "x-20200101T000000Z.2.jsonl", "x-20200101T000000Z.10.jsonl") {
			require.NoError(t, os.WriteFile(filepath.Join(b.base, n), nil, 0o600))
		}
		b.deliver(t, "x.jsonl", "1")
		b.deliver(t, "x.jsonl", "2")

		left := slices.DeleteFunc(b.names(t), func(n string) bool { return slices.Contains(others, n) })
		require.Len(t, left, 3)
		require.Equal(t, []string{"x-20200101T000000Z.10.jsonl"}, left[:1], "and not .2: numbers count")
		require.True(t, strings.HasPrefix(left[1], fmt.Sprintf("x-%d", time.Now().UTC().Year())), left[1])
		require.Equal(t, "x.jsonl", left[2])
		require.Len(t, b.names(t), len(others)+3)
	})
}

func TestParseAside(t *testing.T) {
	t.Parallel()

	for _, name := range []string{"x", "x.jsonl", ".hidden", "dir.d/x", "a-b.c.d"} {
		stem, ext := split(name)
		require.Equal(t, name, stem+ext)
		for n, entry := range map[int]string{0: stem + "-20260102T150405Z" + ext, 3: stem + "-20260102T150405Z.3" + ext} {
			a, ok := parseAside(name, filepath.Base(entry))
			require.True(t, ok, entry)
			require.Equal(t, aside{name: filepath.Base(entry), time: "20260102T150405Z", n: n}, a)
		}
		_, ok := parseAside(name, filepath.Base(name))
		require.False(t, ok)
	}
}

func TestDue_IntervalsCountFromOneMoment(t *testing.T) {
	t.Parallel()

	b := setupRotation(t, config.FilesystemSink{RotateInterval: time.Hour})
	b.deliver(t, "x", "1")
	at := time.Date(2026, 1, 2, 15, 30, 0, 0, time.UTC)
	require.NoError(t, os.Chtimes(filepath.Join(b.base, "x"), at, at))
	info, err := os.Stat(filepath.Join(b.base, "x"))
	require.NoError(t, err)
	require.False(t, b.sink.due(info, 1, at.Add(29*time.Minute)))
	require.True(t, b.sink.due(info, 1, at.Add(30*time.Minute)))
	require.False(t, b.sink.due(info, 1, at.Add(-time.Hour)), "a clock that was set back")
}

// A disk that takes only a part of a batch is played by a limit on the size of
// files. The limit holds for the whole process, so this test is not parallel.
func TestWrite_FullDisk(t *testing.T) { //nolint:paralleltest // see above
	b := setupRotation(t, config.FilesystemSink{})
	b.deliver(t, "x", "whole")
	before := limitFileSize(t, 10)

	err := b.sink.Deliver(t.Context(), []sinks.Payload{{Target: "x", Value: drakkar.Bytes("longer than what is left")}})
	failures := sinks.Failures(1, err)
	require.ErrorIs(t, failures[0].Err, syscall.EFBIG)
	require.Equal(t, sinks.Transient, failures[0].Class)
	require.Equal(t, "whole\n", b.read(t, "x"), "nothing of it is left")

	before()
	b.deliver(t, "x", "longer than what is left")
	require.Equal(t, "whole\nlonger than what is left\n", b.read(t, "x"))
}

// limitFileSize bounds the size of files that this process writes, until
// restored.
func limitFileSize(t *testing.T, bytes uint64) (restore func()) {
	t.Helper()

	var old syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: old.Max}))
	restore = func() { require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old)) }
	t.Cleanup(restore)
	return restore
}

func TestSyncDirty(t *testing.T) {
	t.Parallel()

	b := setupRotation(t, config.FilesystemSink{Fsync: fsyncInterval})
	b.deliver(t, "x", "1")
	require.Contains(t, b.sink.dirty, "x")
	require.NoError(t, b.sink.syncDirty())

	failed := fmt.Errorf("the disk is broken")
	b.sink.mu.Lock()
	b.sink.dirty["x"] = failed
	b.sink.mu.Unlock()
	err := b.sink.Deliver(t.Context(), []sinks.Payload{{Target: "x", Value: drakkar.Bytes("2")}})
	require.ErrorIs(t, sinks.Failures(1, err)[0].Err, failed)
	require.Equal(t, "1\n", b.read(t, "x"))
	b.deliver(t, "x", "2")
	require.Equal(t, "1\n2\n", b.read(t, "x"))
}

// A name that could not be made durable, by us or by one that died meanwhile, is
// so before anything counts as written.
func TestOpen_SyncsDirectoriesOfAnEmptyFile(t *testing.T) {
	t.Parallel()

	for _, fsync := range []string{fsyncBatch, fsyncInterval} {
		t.Run(fsync, func(t *testing.T) {
			t.Parallel()

			b := setupRotation(t, config.FilesystemSink{Fsync: fsync})
			broken := errors.New("the disk is broken")
			failing, synced := true, 0
			b.sink.force = func(f *os.File) error {
				switch info, err := f.Stat(); {
				case err != nil || !info.IsDir():
					return err
				case failing:
					return broken
				}
				synced++
				return nil
			}
			p := sinks.Payload{Target: "day/x", Value: drakkar.Bytes("1")}
			for range 2 {
				failures := sinks.Failures(1, b.sink.Deliver(t.Context(), []sinks.Payload{p}))
				require.Len(t, failures, 1)
				require.ErrorIs(t, failures[0].Err, broken)
				require.Empty(t, b.read(t, "day/x"))
			}
			failing = false
			b.deliver(t, "day/x", "1")
			require.Equal(t, 2, synced, "the directory, and the one above")
			b.deliver(t, "day/x", "2")
			require.Equal(t, 2, synced)
			require.Equal(t, "1\n2\n", b.read(t, "day/x"))
		})
	}
}
