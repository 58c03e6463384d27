package dlq

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

var _ Queue = (*Files)(nil)

// Files is a queue in a directory, see [FileWriter]. It can be read while
// executors write to it.
type Files struct {
	dir  string
	opts ReadOptions
}

// OpenFiles opens the queue in a directory. Its files may have been brought
// together from several hosts.
func OpenFiles(dir string, opts ReadOptions) (*Files, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the dead letter queue, dlq.dir: %w", err)
	}
	return &Files{dir: abs, opts: opts.withDefaults()}, nil
}

// Name implements Queue.
func (q *Files) Name() string { return q.dir }

// Spans implements Queue. A last line without an end is left out: its writer is
// still writing it, or ended in the middle of it. It does not count as written.
func (q *Files) Spans(context.Context) ([]Span, error) {
	entries, err := os.ReadDir(q.dir) // in the order of names, which begin with a time
	if err != nil {
		return nil, fmt.Errorf("listing the files of dead letters: %w", err)
	}
	var spans []Span
	for _, e := range entries {
		if !e.Type().IsRegular() || filepath.Ext(e.Name()) != fileSuffix {
			continue
		}
		end, torn, err := wholeLines(filepath.Join(q.dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading the end of a file of dead letters: %w", err)
		}
		if torn {
			q.opts.Warn(fmt.Sprintf("%s ends in the middle of a line: it is being written, or its writer died; what was acknowledged is whole", e.Name()))
		}
		spans = append(spans, Span{Log: e.Name(), To: end})
	}
	if len(spans) == 0 {
		return nil, fmt.Errorf("%s holds no file *%s: %w", q.dir, fileSuffix, errEmpty)
	}
	return spans, nil
}

// wholeLines is the length of a file up to its last line break, and whether
// something is behind it.
func wholeLines(path string) (end int64, torn bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, false, err
	}
	const block = 64 << 10
	buf := make([]byte, block)
	for at := size; at > 0; {
		n := min(at, block)
		at -= n
		if _, err := f.ReadAt(buf[:n], at); err != nil {
			return 0, false, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			end = at + int64(i) + 1
			break
		}
	}
	return end, end < size, nil
}

// Read implements Queue. Files are read in the order of the spans.
func (q *Files) Read(ctx context.Context, spans []Span, f func(Entry) error) error {
	for _, s := range spans {
		if err := q.read(ctx, s, f); err != nil {
			return err
		}
	}
	return nil
}

func (q *Files) read(ctx context.Context, s Span, f func(Entry) error) error {
	if s.From >= s.To {
		return nil
	}
	file, err := os.Open(filepath.Join(q.dir, filepath.Base(s.Log)))
	if err != nil {
		return fmt.Errorf("reading dead letters: %w", err)
	}
	defer file.Close()
	r := bufio.NewReader(io.NewSectionReader(file, s.From, s.To-s.From))
	for at := s.From; at < s.To; {
		if ctx.Err() != nil {
			return fmt.Errorf("reading dead letters: %w", context.Cause(ctx))
		}
		line, err := r.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("reading dead letters of %s at byte %d: %w", s.Log, at, err)
		}
		next := at + int64(len(line))
		if err := f(entry(Position{Log: s.Log, Offset: at}, next, line)); err != nil {
			return err
		}
		at = next
	}
	return nil
}

// Close implements Queue.
func (q *Files) Close() error { return nil }
