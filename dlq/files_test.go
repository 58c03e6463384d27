package dlq

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
)

func fileLetter(id string) Envelope {
	return Envelope{
		V: Version, ID: id, Kind: KindTask, Class: "task", Error: "exit code 1",
		Source: Source{Topic: "orders", Offset: 1, Value: drakkar.Bytes("\xff\n"), Key: drakkar.Bytes("k")},
		Task:   &Task{Task: drakkar.Task{ID: id}},
	}
}

// entries reads a whole queue of files.
func entries(t *testing.T, dir string, warn func(string)) []Entry {
	t.Helper()
	q, err := OpenFiles(dir, ReadOptions{Warn: warn})
	require.NoError(t, err)
	spans, err := q.Spans(t.Context())
	require.NoError(t, err)
	var out []Entry
	require.NoError(t, q.Read(t.Context(), spans, func(e Entry) error { out = append(out, e); return nil }))
	return out
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	out, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	return out
}

func TestFileWriter(t *testing.T) {
	t.Parallel()

	t.Run("WritesALineALetter", func(t *testing.T) {
		t.Parallel()

		dir := filepath.Join(t.TempDir(), "made", "for", "it")
		w, err := NewWriter(config.DLQ{Dir: dir, MaxFileBytes: 1 << 20}, config.Kafka{}, "host/1")
		require.NoError(t, err)
		require.NoError(t, w.Check(t.Context()))
		require.Empty(t, files(t, dir), "nothing was dead-lettered yet")
		require.NoError(t, w.Write(t.Context(), nil))
		require.NoError(t, w.Write(t.Context(), []Envelope{fileLetter("a"), fileLetter("b")}))
		require.NoError(t, w.Write(t.Context(), []Envelope{fileLetter("c")}))
		require.NoError(t, w.Close(t.Context()))
		require.NoError(t, w.Close(t.Context()))
		require.ErrorContains(t, w.Write(t.Context(), []Envelope{fileLetter("d")}), "closed")

		require.Len(t, files(t, dir), 1)
		require.Contains(t, files(t, dir)[0], "-host_1-1.jsonl")
		got := entries(t, dir, nil)
		require.Len(t, got, 3)
		for i, id := range []string{"a", "b", "c"} {
			require.NoError(t, got[i].Err)
			require.Equal(t, fileLetter(id), got[i].Envelope)
		}
		require.Equal(t, got[0].Next, got[1].At.Offset)
	})

	t.Run("BeginsAnotherFileWhenOneIsFull", func(t *testing.T) {
		t.Parallel()

		dir := t.TempDir()
		w, err := NewFileWriter(dir, "w", 300)
		require.NoError(t, err)
		for _, id := range []string{"a", "b", "c", "d"} {
			require.NoError(t, w.Write(t.Context(), []Envelope{fileLetter(id)}))
		}
		require.NoError(t, w.Close(t.Context()))
		require.Greater(t, len(files(t, dir)), 1)
		got := entries(t, dir, nil)
		require.Len(t, got, 4)
		for i, id := range []string{"a", "b", "c", "d"} {
			require.Equal(t, id, got[i].Envelope.ID, "files are in the order of time")
		}
	})

	t.Run("ProcessesShareADirectory", func(t *testing.T) {
		t.Parallel()

		dir := t.TempDir()
		var wg sync.WaitGroup
		for range 4 {
			w, err := NewFileWriter(dir, "same", 1000)
			require.NoError(t, err)
			wg.Go(func() {
				for range 20 {
					if err := w.Write(t.Context(), []Envelope{fileLetter("x"), fileLetter("y")}); err != nil {
						t.Error(err)
					}
				}
				_ = w.Close(t.Context())
			})
		}
		wg.Wait()
		got := entries(t, dir, nil)
		require.Len(t, got, 160)
		for _, e := range got {
			require.NoError(t, e.Err)
		}
	})

	t.Run("WhatCannotBeEncodedIsWrittenWithLess", func(t *testing.T) {
		t.Parallel()

		dir := t.TempDir()
		w, err := NewFileWriter(dir, "w", 1<<20)
		require.NoError(t, err)
		e := fileLetter("a")
		e.Task.Task.Metadata = map[string]any{"nan": math.NaN()}
		require.NoError(t, w.Write(t.Context(), []Envelope{e}))
		require.NoError(t, w.Close(t.Context()))
		require.Equal(t, "a", entries(t, dir, nil)[0].Envelope.ID)
	})

	// A disk that is full takes a part of a line. Nothing of it stays, and the
	// next attempt goes into the same file.
	t.Run("AWriteThatFailsLeavesNoHalfLine", func(t *testing.T) {
		t.Parallel()

		dir := t.TempDir()
		w, err := NewFileWriter(dir, "w", 1<<20)
		require.NoError(t, err)
		require.NoError(t, w.Write(t.Context(), []Envelope{fileLetter("a")}))
		good := w.file
		// A file that is open for reading takes no write, and cannot be cut.
		w.file, err = os.Open(good.Name())
		require.NoError(t, err)
		err = w.Write(t.Context(), []Envelope{fileLetter("lost")})
		require.ErrorIs(t, err, syscall.EBADF)
		require.ErrorContains(t, err, "writing dead letters to "+dir)
		require.Nil(t, w.file, "what is in it now is not known")
		require.NoError(t, good.Close())

		require.NoError(t, w.Write(t.Context(), []Envelope{fileLetter("b")}))
		require.NoError(t, w.Close(t.Context()))
		require.Len(t, files(t, dir), 2)
		require.Len(t, entries(t, dir, nil), 2)
	})

	t.Run("ADirectoryThatIsAwayIsWaitedFor", func(t *testing.T) {
		t.Parallel()

		dir := filepath.Join(t.TempDir(), "dlq")
		w, err := NewFileWriter(dir, "w", 1<<20)
		require.NoError(t, err)
		require.NoError(t, os.Remove(dir))
		require.ErrorContains(t, w.Check(t.Context()), "checking the directory of dead letters "+dir)
		require.ErrorContains(t, w.Write(t.Context(), []Envelope{fileLetter("a")}), "beginning a file")
		require.NoError(t, os.Mkdir(dir, 0o700))
		require.NoError(t, w.Check(t.Context()))
		require.NoError(t, w.Write(t.Context(), []Envelope{fileLetter("a")}))
		require.NoError(t, w.Close(t.Context()))

		file := files(t, dir)[0]
		_, err = NewFileWriter(file, "w", 1)
		require.ErrorContains(t, err, "dlq.dir")
		require.ErrorContains(t, (&FileWriter{dir: file}).Check(t.Context()), "not a directory")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, (&FileWriter{dir: dir}).Write(ctx, []Envelope{fileLetter("a")}), context.Canceled)
	})
}

// A file in which nothing could be written does not stay.
func TestFileWriter_LeavesNoEmptyFile(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	w, err := NewFileWriter(dir, "w", 1<<20)
	require.NoError(t, err)
	require.NoError(t, w.begin())
	require.NoError(t, w.file.Close())
	require.ErrorIs(t, w.Write(t.Context(), []Envelope{fileLetter("a")}), os.ErrClosed)
	require.Empty(t, files(t, dir))
}

// Writers that begin at the same moment, under the same name, have files of
// their own: none cuts off what another wrote.
func TestFileWriter_FilesHaveOneWriter(t *testing.T) {
	t.Parallel()

	const writers = 64
	dir := t.TempDir()
	all := make([]*FileWriter, writers)
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for i := range all {
		w, err := NewFileWriter(dir, "same", 1)
		require.NoError(t, err)
		all[i] = w
		wg.Go(func() {
			<-begin
			if err := w.begin(); err != nil {
				t.Error(err)
			}
		})
	}
	close(begin)
	wg.Wait()
	require.Len(t, files(t, dir), writers)
	for _, w := range all {
		require.NoError(t, w.Close(t.Context()))
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()

	t.Run("ATornLastLineIsNoDeadLetter", func(t *testing.T) {
		t.Parallel()

		dir := t.TempDir()
		line, err := fileLetter("a").Encode()
		require.NoError(t, err)
		long := strings.Repeat("x", 200<<10) // more than is read at once
		for name, text := range map[string]string{
			"1.jsonl": string(line) + "\n" + string(line[:40]),
			"2.jsonl": `{"v":1`,
			"3.jsonl": "",
			"4.jsonl": "no letter\n" + string(line) + "\n" + long,
			"5.json":  "another file\n",
		} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
		require.NoError(t, os.Mkdir(filepath.Join(dir, "6.jsonl"), 0o700))
		var warned []string
		got := entries(t, dir, func(m string) { warned = append(warned, m) })
		require.Len(t, got, 3)
		require.Equal(t, Position{Log: "1.jsonl"}, got[0].At)
		require.ErrorContains(t, got[1].Err, "reading 4.jsonl@0: decoding dead letter: ")
		require.Equal(t, Position{Log: "4.jsonl", Offset: 10}, got[2].At)
		require.NoError(t, got[2].Err)
		require.Len(t, warned, 3)
		require.Contains(t, warned[0], "1.jsonl ends in the middle of a line")
	})

	t.Run("NothingThere", func(t *testing.T) {
		t.Parallel()

		_, err := OpenFiles(filepath.Join(t.TempDir(), "no"), ReadOptions{})
		require.ErrorContains(t, err, "opening the dead letter queue, dlq.dir: ")
		q, err := OpenQueue(t.Context(), config.DLQ{Dir: t.TempDir()}, config.Kafka{}, ReadOptions{})
		require.NoError(t, err)
		_, err = q.Spans(t.Context())
		require.ErrorIs(t, err, errEmpty)
		require.NoError(t, q.Close())
	})

	t.Run("EndsEarly", func(t *testing.T) {
		t.Parallel()

		dir := t.TempDir()
		w, err := NewFileWriter(dir, "w", 1)
		require.NoError(t, err)
		require.NoError(t, w.Write(t.Context(), []Envelope{fileLetter("a"), fileLetter("b")}))
		require.NoError(t, w.Write(t.Context(), []Envelope{fileLetter("c")}))
		require.NoError(t, w.Close(t.Context()))
		q, err := OpenFiles(dir, ReadOptions{})
		require.NoError(t, err)
		spans, err := q.Spans(t.Context())
		require.NoError(t, err)
		require.Len(t, spans, 2)

		n := 0
		require.ErrorIs(t, q.Read(t.Context(), spans, func(Entry) error { n++; return errEmpty }), errEmpty)
		require.Equal(t, 1, n)
		ctx, cancel := context.WithCancel(t.Context())
		require.ErrorIs(t, q.Read(ctx, spans, func(Entry) error { cancel(); return nil }), context.Canceled)

		var rest []string
		spans[0].From = spans[0].To // settled before
		require.NoError(t, q.Read(t.Context(), spans, func(e Entry) error { rest = append(rest, e.Envelope.ID); return nil }))
		require.Equal(t, []string{"c"}, rest)
		spans[1].To++
		require.ErrorContains(t, q.Read(t.Context(), spans, func(Entry) error { return nil }), "reading dead letters of "+spans[1].Log)
	})
}

func TestPosition(t *testing.T) {
	t.Parallel()

	for text, want := range map[string]Position{
		"orders_dlq/3@17":      {Log: "orders_dlq/3", Offset: 17},
		"2026-w-1.jsonl@0":     {Log: "2026-w-1.jsonl"},
		"dir@host.jsonl@12345": {Log: "dir@host.jsonl", Offset: 12345},
	} {
		got, ok := ParsePosition(text)
		require.True(t, ok)
		require.Equal(t, want, got)
		require.Equal(t, text, got.String())
	}
	for _, text := range []string{"", "orders~ab12/3/100/t0/0", "@1", "a@", "a@-1", "a@x"} {
		_, ok := ParsePosition(text)
		require.False(t, ok, text)
	}
}

func TestSelection(t *testing.T) {
	t.Parallel()

	at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	e := letterOfEverything(at)
	for name, test := range map[string]struct {
		s    Selection
		want bool
	}{
		"Everything":     {Selection{}, true},
		"ID":             {Selection{IDs: []string{"x", "the-id"}}, true},
		"OtherID":        {Selection{IDs: []string{"x"}}, false},
		"Kind":           {Selection{Kinds: []Kind{KindPayload}}, true},
		"OtherKind":      {Selection{Kinds: []Kind{KindTask, KindMessage}}, false},
		"Class":          {Selection{Classes: []string{"permanent"}}, true},
		"OtherClass":     {Selection{Classes: []string{"perm"}}, false},
		"Sink":           {Selection{Sinks: []string{"postgres:db"}}, true},
		"SinkByName":     {Selection{Sinks: []string{"db"}}, true},
		"OtherSink":      {Selection{Sinks: []string{"postgres", "redis:db"}}, false},
		"Topic":          {Selection{Topics: []string{"orders"}}, true},
		"OtherTopic":     {Selection{Topics: []string{"returns"}}, false},
		"Partition":      {Selection{Partitions: []int32{0, 3}}, true},
		"OtherPartition": {Selection{Partitions: []int32{0}}, false},
		"Since":          {Selection{Since: at}, true},
		"SinceLater":     {Selection{Since: at.Add(1)}, false},
		"Until":          {Selection{Until: at.Add(1)}, true},
		"UntilThen":      {Selection{Until: at}, false},
		"All":            {Selection{IDs: []string{"the-id"}, Classes: []string{"permanent"}, Text: "in-value", Since: at}, true},
		"AllButOne":      {Selection{IDs: []string{"the-id"}, Classes: []string{"permanent"}, Text: "in-value", Since: at.Add(1)}, false},
		"NoText":         {Selection{Text: "IN-VALUE"}, false},
	} {
		require.Equal(t, test.want, test.s.Matches(e), name)
	}
	for _, text := range []string{
		"the-id", "in-error", "in-key", "in-value", "in-header", "in-hvalue", "in-pkey", "in-pvalue", "in-target", "in-topic",
		"in-task", "in-message", "in-stdin", "in-arg", "in-stdout", "in-stderr",
	} {
		require.True(t, Selection{Text: text}.Matches(e), text)
		require.False(t, Selection{Text: text}.Matches(fileLetter("a")), text)
	}
	one := Selection{IDs: []string{"b", "a", "b"}, Classes: []string{"z", "y"}, Partitions: []int32{2, 1, 2}}
	other := Selection{IDs: []string{"a", "b"}, Classes: []string{"y", "z", "z"}, Partitions: []int32{1, 2}}
	require.Equal(t, other.Canonical(), one.Canonical())
	require.Equal(t, []string{"b", "a", "b"}, one.IDs, "the caller's own is left alone")
	require.Equal(t, Selection{}, Selection{}.Canonical())

	message := fileLetter("a")
	require.False(t, Selection{Sinks: []string{""}}.Matches(message), "only payloads have a sink")
}
