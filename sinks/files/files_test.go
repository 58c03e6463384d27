package files_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/files"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
	"github.com/drakkar-go/drakkar/sinks/sinkstest/conformance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newSink(t *testing.T, cfg config.FilesystemSink) *files.Sink {
	t.Helper()

	s, err := files.New("out", cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.WithoutCancel(t.Context()))) })
	return s
}

func TestSink_Conforms(t *testing.T) {
	t.Parallel()

	for _, fsync := range []string{"batch", "interval", "never"} {
		t.Run(fsync, func(t *testing.T) {
			t.Parallel()

			caps := sinkstest.Caps{
				AnyBytes:  true,
				NoUpserts: "lines are appended; both carry the delivery id with id_field",
				NoOwn:     "a directory has no server; TestSink_Lines shows what a line that was torn by a crash does",
			}
			if fsync == "batch" {
				caps.Report = conformance.Of("Files", "a directory")
			}
			sinkstest.Exercise(t, caps, func(t *testing.T) sinkstest.Harness {
				t.Helper()

				base := t.TempDir()
				return sinkstest.Harness{
					Sink: newSink(t, config.FilesystemSink{BasePath: base, Fsync: fsync, CreateDirs: true}),
					Payload: func(i int) sinks.Payload {
						return sinks.Payload{Target: fmt.Sprintf("day-%d/results.jsonl", i%3)}
					},
					Rows:    func(t sinkstest.T) [][]byte { return allLines(t, base) },
					Bad:     func(int) sinks.Payload { return sinks.Payload{Target: "../outside.jsonl"} },
					NoDown:  "a directory has no server",
					NoStall: "a directory has no server",
				}
			})
		})
	}
}

// allLines are the lines of all files below a directory.
func allLines(t require.TestingT, base string) [][]byte {
	var all [][]byte
	err := filepath.WalkDir(base, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if len(data) > 0 {
			require.Equal(t, byte('\n'), data[len(data)-1], "%s ends with a whole line", path)
			all = append(all, bytes.Split(data[:len(data)-1], []byte{'\n'})...)
		}
		return err
	})
	require.NoError(t, err)
	return all
}

type testBundle struct {
	base string
	cfg  config.FilesystemSink
}

func setup(t *testing.T) *testBundle {
	t.Helper()

	base := t.TempDir()
	return &testBundle{base: base, cfg: config.FilesystemSink{BasePath: base, Fsync: "batch", CreateDirs: true}}
}

func (b *testBundle) read(t *testing.T, name string) string {
	t.Helper()

	data, err := os.ReadFile(filepath.Join(b.base, name))
	require.NoError(t, err)
	return string(data)
}

func (b *testBundle) write(t *testing.T, name, text string) {
	t.Helper()

	require.NoError(t, os.WriteFile(filepath.Join(b.base, name), []byte(text), 0o600))
}

func (b *testBundle) names(t *testing.T) []string {
	t.Helper()

	entries, err := os.ReadDir(b.base)
	require.NoError(t, err)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

func to(path, value string) sinks.Payload {
	return sinks.Payload{ID: "orders~ab12/0/7/m/0", Target: path, Value: drakkar.Bytes(value)}
}

func deliver(t *testing.T, s *files.Sink, ps ...sinks.Payload) {
	t.Helper()
	require.NoError(t, s.Deliver(t.Context(), ps))
}

// fails requires that the only payload fails and returns how.
func fails(t *testing.T, s *files.Sink, p sinks.Payload) sinks.Failure {
	t.Helper()

	failures := sinks.Failures(1, s.Deliver(t.Context(), []sinks.Payload{p}))
	require.Len(t, failures, 1)
	return failures[0]
}

func TestSink_Paths(t *testing.T) {
	t.Parallel()

	t.Run("AreConfined", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		s := newSink(t, b.cfg)
		for _, path := range []string{"", ".", "..", "../x", "a/../../x", "a/../x", "/etc/x", b.base + "/x", "a\x00b", "dir/", "./", "\xff"} {
			require.Error(t, s.Validate(to(path, "{}")), "%q", path)
			require.Equal(t, sinks.Permanent, fails(t, s, to(path, "{}")).Class, "%q", path)
		}
		require.Empty(t, b.names(t))
	})

	t.Run("HaveOneSpelling", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		s := newSink(t, b.cfg)
		deliver(t, s, to("a//b.jsonl", "1"), to("./a/b.jsonl", "2"), to("a//b.jsonl", "3"), to("a/b.jsonl", "4"))
		require.Equal(t, "1\n2\n3\n4\n", b.read(t, "a/b.jsonl"))
	})

	t.Run("MayHoldDots", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		s := newSink(t, b.cfg)
		deliver(t, s, to("..a/b..c/...", "1"))
		require.Equal(t, "1\n", b.read(t, "..a/b..c/..."))
	})

	t.Run("SymlinksDoNotLeadOut", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		s := newSink(t, b.cfg)
		outside := t.TempDir()
		require.NoError(t, os.Symlink(outside, filepath.Join(b.base, "dir")))
		require.NoError(t, os.Symlink(filepath.Join(outside, "file"), filepath.Join(b.base, "file")))
		require.NoError(t, os.Symlink("../"+filepath.Base(outside)+"/up", filepath.Join(b.base, "up")))
		for _, path := range []string{"dir/x", "dir/sub/x", "file", "up"} {
			f := fails(t, s, to(path, "{}"))
			require.Equal(t, sinks.Permanent, f.Class, "%s: %v", path, f.Err)
		}
		entries, err := os.ReadDir(outside)
		require.NoError(t, err)
		require.Empty(t, entries)
	})

	t.Run("SymlinksInsideWork", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		s := newSink(t, b.cfg)
		require.NoError(t, os.Mkdir(filepath.Join(b.base, "real"), 0o700))
		require.NoError(t, os.Symlink("real", filepath.Join(b.base, "link")))
		deliver(t, s, to("link/x", "1"))
		require.Equal(t, "1\n", b.read(t, "real/x"))
	})

	t.Run("WhatIsNoFileIsRefused", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		s := newSink(t, b.cfg)
		require.NoError(t, os.Mkdir(filepath.Join(b.base, "dir"), 0o700))
		require.NoError(t, syscall.Mkfifo(filepath.Join(b.base, "fifo"), 0o600))
		b.write(t, "file", "")
		for _, path := range []string{"dir", "fifo", "file/x", strings.Repeat("x", 300)} {
			f := fails(t, s, to(path, "{}"))
			require.Equal(t, sinks.Permanent, f.Class, "%s: %v", path, f.Err)
		}
	})

	t.Run("DirectoriesAreMadeOnlyIfWanted", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.cfg.CreateDirs = false
		s := newSink(t, b.cfg)
		require.Equal(t, sinks.Permanent, fails(t, s, to("new/x", "{}")).Class)
		require.Empty(t, b.names(t))
		deliver(t, s, to("x", "1"))
	})
}

func TestSink_BaseIsAway(t *testing.T) {
	t.Parallel()

	for _, createDirs := range []bool{true, false} {
		t.Run(fmt.Sprintf("CreateDirs=%v", createDirs), func(t *testing.T) {
			t.Parallel()

			base := filepath.Join(t.TempDir(), "base")
			require.NoError(t, os.Mkdir(base, 0o700))
			s := newSink(t, config.FilesystemSink{BasePath: base, Fsync: "batch", CreateDirs: createDirs})
			require.NoError(t, s.Check(t.Context()))

			require.NoError(t, os.Remove(base))
			require.ErrorContains(t, s.Check(t.Context()), "sinks.filesystem.out.base_path")
			f := fails(t, s, to("x", "{}"))
			require.Equal(t, sinks.Transient, f.Class, "%v", f.Err)

			require.NoError(t, os.Mkdir(base, 0o700))
			require.ErrorContains(t, s.Check(t.Context()), "replaced")
		})
	}
}

func TestSink_Lines(t *testing.T) {
	t.Parallel()

	t.Run("JSONIsWrittenOnOneLine", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		s := newSink(t, b.cfg)
		deliver(t, s, to("x", "{\n  \"a\": 1.0,\n  \"b\": \"<\\n>\"\n}\n"), to("x", `{"a": 1}`))
		require.Equal(t, "{\"a\":1.0,\"b\":\"<\\n>\"}\n{\"a\": 1}\n", b.read(t, "x")) //nolint:testifylint // every byte counts
	})

	t.Run("TextOfSeveralLinesIsRefused", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		s := newSink(t, b.cfg)
		bad := to("x", "two\nlines")
		require.Error(t, s.Validate(bad))
		require.Equal(t, sinks.Permanent, fails(t, s, bad).Class)
		require.Empty(t, b.names(t))
	})

	t.Run("IDIsTheFirstField", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.cfg.IDField = "_id<"
		s := newSink(t, b.cfg)
		deliver(t, s, to("x", `{"a":1}`), to("x", `{}`), to("x", "{\n\"a\":{\"_id<\":2}}"), to("x", `[1]`), to("x", `{text`), to("x", ""), to("x", ` { "a":1 } `))
		id := `"_id<":"orders~ab12/0/7/m/0"`
		require.Equal(t, strings.Join([]string{
			`{` + id + `,"a":1}`, `{` + id + `}`, `{` + id + `,"a":{"_id<":2}}`, `[1]`, `{text`, ``, `{` + id + `, "a":1 } `,
		}, "\n")+"\n", b.read(t, "x"))

		taken := to("x", `{"_id<":"mine"}`)
		require.ErrorContains(t, s.Validate(taken), "id_field")
		require.Equal(t, sinks.Permanent, fails(t, s, taken).Class)
	})

	t.Run("TornLineIsEnded", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		s := newSink(t, b.cfg)
		b.write(t, "x", "whole\n{\"half\":")
		deliver(t, s, to("x", "1"), to("x", "2"))
		require.Equal(t, "whole\n{\"half\":\n1\n2\n", b.read(t, "x"))
	})

	t.Run("RemovedFileIsBegunAgain", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		s := newSink(t, b.cfg)
		deliver(t, s, to("x", "1"))
		require.NoError(t, os.Rename(filepath.Join(b.base, "x"), filepath.Join(b.base, "y")))
		deliver(t, s, to("x", "2"))
		require.Equal(t, "1\n", b.read(t, "y"))
		require.Equal(t, "2\n", b.read(t, "x"))
	})
}

// Several sinks, as several processes would, write to one file and rotate it
// all the time. No line is lost, torn or doubled.
func TestSink_SharedWithOthers(t *testing.T) {
	t.Parallel()

	b := setup(t)
	b.cfg.RotateBytes = 400
	const writers, batches, each = 4, 30, 3
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		s := newSink(t, b.cfg)
		wg.Go(func() {
			for n := range batches {
				batch := make([]sinks.Payload, each)
				for i := range batch {
					batch[i] = to("x.jsonl", fmt.Sprintf(`{"w":%d,"n":%d,"i":%d}`, w, n, i))
				}
				errs[w] = errors.Join(errs[w], s.Deliver(t.Context(), batch))
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	seen := map[string]int{}
	for _, l := range allLines(t, b.base) {
		seen[string(l)]++
	}
	require.Len(t, seen, writers*batches*each)
	for line, n := range seen {
		require.Equal(t, 1, n, line)
	}
	require.Greater(t, len(b.names(t)), 10)
}

func TestSink_LockIsHeldElsewhere(t *testing.T) {
	t.Parallel()

	b := setup(t)
	s := newSink(t, b.cfg)
	deliver(t, s, to("x", "1"))
	other, err := os.Open(filepath.Join(b.base, "x"))
	require.NoError(t, err)
	defer other.Close()
	require.NoError(t, syscall.Flock(int(other.Fd()), syscall.LOCK_EX))

	called := errors.New("called off")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, called)
	defer cancel()
	failures := sinks.Failures(1, s.Deliver(ctx, []sinks.Payload{to("x", "2")}))
	require.ErrorIs(t, failures[0].Err, called)
	require.Equal(t, sinks.Transient, failures[0].Class)

	require.NoError(t, syscall.Flock(int(other.Fd()), syscall.LOCK_UN))
	deliver(t, s, to("x", "2"))
	require.Equal(t, "1\n2\n", b.read(t, "x"))
}

// A file is opened, then rotated away by another process, then locked: the
// lines go to the new file of the name.
func TestSink_RotatedElsewhereBeforeTheLock(t *testing.T) {
	t.Parallel()

	b := setup(t)
	s := newSink(t, b.cfg)
	deliver(t, s, to("x", "1"))
	file := filepath.Join(b.base, "x")
	other, err := os.Open(file)
	require.NoError(t, err)
	defer other.Close()
	require.NoError(t, syscall.Flock(int(other.Fd()), syscall.LOCK_EX))

	done := make(chan error, 1)
	go func() { done <- s.Deliver(t.Context(), []sinks.Payload{to("x", "2")}) }()
	require.Eventually(t, func() bool { return timesOpen(t, file) == 2 }, 10*time.Second, time.Millisecond)
	require.NoError(t, os.Rename(file, filepath.Join(b.base, "aside")))
	b.write(t, "x", "of the other\n")
	require.NoError(t, syscall.Flock(int(other.Fd()), syscall.LOCK_UN))
	require.NoError(t, <-done)
	require.Equal(t, "1\n", b.read(t, "aside"))
	require.Equal(t, "of the other\n2\n", b.read(t, "x"))
}

// timesOpen is how often this process has a file open.
func timesOpen(t *testing.T, file string) (n int) {
	t.Helper()

	const fds = "/proc/self/fd"
	entries, err := os.ReadDir(fds)
	require.NoError(t, err)
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(fds, e.Name())); err == nil && target == file {
			n++
		}
	}
	return n
}

func TestSink_Closed(t *testing.T) {
	t.Parallel()

	b := setup(t)
	s := newSink(t, b.cfg)
	require.NoError(t, s.Close(t.Context()))
	require.Error(t, s.Check(t.Context()))
	require.Equal(t, sinks.Transient, fails(t, s, to("x", "1")).Class)
}

func TestNew_BaseMustBeADirectory(t *testing.T) {
	t.Parallel()

	b := setup(t)
	b.write(t, "file", "")
	for _, base := range []string{filepath.Join(b.base, "missing"), filepath.Join(b.base, "file")} {
		_, err := files.New("out", config.FilesystemSink{BasePath: base})
		require.ErrorContains(t, err, "sinks.filesystem.out.base_path")
	}
}
