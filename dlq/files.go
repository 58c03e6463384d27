package dlq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// fileSuffix is what the name of every file of dead letters ends with.
const fileSuffix = ".jsonl"

// FileWriter writes dead letters to files in a directory: each is one line, an
// Envelope as JSON. A file belongs to the one writer that made it, so those of
// several processes and hosts can share a directory. What was begun by a
// process that ended is never written to again; only its last line can be torn.
type FileWriter struct {
	dir      string
	worker   string
	maxBytes int64

	mu     sync.Mutex // held while writing
	file   *os.File   // nil until something is written, and after it is full
	size   int64      // up to the end of the last whole line
	closed bool
}

// NewFileWriter makes a writer for the directory, and the directory if need be.
// Worker becomes part of the names of files. Once a file holds maxBytes, from 1
// on, another is begun.
func NewFileWriter(dir, worker string, maxBytes int64) (*FileWriter, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the directory of dead letters, dlq.dir: %w", err)
	}
	return &FileWriter{dir: dir, worker: fileName(worker), maxBytes: maxBytes}, nil
}

// fileName is a name without what file systems do not take.
func fileName(worker string) string {
	const longest = 100
	name := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, worker)
	return cmp.Or(name[:min(len(name), longest)], "executor")
}

// Write implements Writer. All letters are synced to disk together, or none
// counts as written.
func (w *FileWriter) Write(ctx context.Context, letters []Envelope) error {
	if len(letters) == 0 {
		return nil
	}
	text, err := lines(letters)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return errors.New("writing dead letters: the writer is closed")
	case ctx.Err() != nil:
		return fmt.Errorf("writing dead letters to %s: %w", w.dir, context.Cause(ctx))
	}
	if err := w.append(text); err != nil {
		return fmt.Errorf("writing dead letters to %s: %w", w.dir, err)
	}
	return nil
}

// lines are the letters as lines. One that JSON cannot hold is written with less
// in it.
func lines(letters []Envelope) ([]byte, error) {
	var text []byte
	for _, e := range letters {
		line, err := e.Encode()
		for i := 0; err != nil && i < len(reductions); i++ {
			line, err = reductions[i](e).Encode()
		}
		if err != nil {
			return nil, err
		}
		text = append(append(text, line...), '\n')
	}
	return text, nil
}

// append writes whole lines, and syncs them. What could be written in part is
// cut off again, and another file is begun; where that fails too, the file is
// left with a torn line.
func (w *FileWriter) append(text []byte) error {
	if w.file != nil && w.size >= w.maxBytes {
		w.leave()
	}
	if w.file == nil {
		if err := w.begin(); err != nil {
			return err
		}
	}
	n, err := w.file.Write(text)
	if err == nil {
		err = w.file.Sync()
	}
	if err == nil {
		w.size += int64(len(text))
		return nil
	}
	cut := w.file.Truncate(w.size)
	// After a sync that failed nobody knows what of the file is on disk, and what
	// was written in part may have been read: its place must not be used again.
	if n > 0 || cut != nil {
		w.leave()
	}
	return errors.Join(err, cut)
}

// begin makes the next file. Its name is taken by nobody else, also where hosts
// have the same names and clocks.
func (w *FileWriter) begin() error {
	stamp := time.Now().UTC().Format("20060102T150405.000")
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s-%s-%d%s", stamp, w.worker, n, fileSuffix)
		f, err := os.OpenFile(filepath.Join(w.dir, name), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o640)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("beginning a file: %w", err)
		}
		w.file, w.size = f, 0
		if err := syncDir(w.dir); err != nil {
			w.leave()
			return err
		}
		return nil
	}
}

// leave gives the file up. All that counts in it is synced; one that holds
// nothing is removed, so that a disk which is full does not gather them.
func (w *FileWriter) leave() {
	_ = w.file.Close()
	if w.size == 0 {
		_ = os.Remove(w.file.Name())
	}
	w.file = nil
}

// syncDir makes names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("opening the directory to sync it: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing the directory: %w", err)
	}
	return nil
}

// Check implements Writer: the directory is there and can be written to.
func (w *FileWriter) Check(context.Context) error {
	info, err := os.Stat(w.dir)
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a directory")
	}
	if err == nil {
		err = unix.Access(w.dir, unix.W_OK|unix.X_OK)
	}
	if err != nil {
		return fmt.Errorf("checking the directory of dead letters %s: %w", w.dir, err)
	}
	return nil
}

// Close implements Writer.
func (w *FileWriter) Close(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.file != nil {
		w.leave()
	}
	return nil
}
