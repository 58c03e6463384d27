// Package files is the sink that appends JSON lines to files below a base
// directory.
//
// Several processes may append to the same files: each batch is one write under
// an advisory lock of the file. Readers see whole lines, except for what a
// crash in the middle of a write left; the next write ends such a line, so that
// the lines after it stay whole.
package files

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"sync"
	"time"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
)

// The values of the setting fsync.
const (
	fsyncBatch    = "batch"
	fsyncInterval = "interval"
)

// syncEvery is how often files are forced to disk with fsync: interval.
const syncEvery = time.Second

var (
	_ sinks.Sink      = (*Sink)(nil)
	_ sinks.Checker   = (*Sink)(nil)
	_ sinks.Validator = (*Sink)(nil)
)

var errClosed = errors.New("the sink is closed")

// Sink appends to the files of one directory. It keeps no file open between
// batches, so there are never more open than deliveries under way, however many
// files payloads name, and a file that was renamed or removed from outside is
// simply begun again.
type Sink struct {
	name string
	cfg  config.FilesystemSink
	root *os.Root
	// force brings what was written to disk, or the names in a directory.
	force func(*os.File) error

	// lanes let one delivery of this process at a time write to a file. The
	// file's own lock would do, but waiting for it means asking again and
	// again.
	lanes [64]chan struct{}
	seed  maphash.Seed

	mu     sync.Mutex
	closed bool
	dirty  map[string]error // files to be synced, and how the last try failed

	// aside are files of which something waits to be compressed, and
	// notCompressed those of which something could not be, and why.
	aside         map[string]bool
	notCompressed map[string]error
	wake          chan struct{}
	compressed    chan struct{} // closed once the compressor has ended

	stop    context.CancelFunc
	stopped chan struct{}
}

// New makes the sink that is configured as sinks.filesystem.<name>.
// cfg.BasePath must be a directory.
func New(name string, cfg config.FilesystemSink) (*Sink, error) {
	root, err := os.OpenRoot(cfg.BasePath)
	if err != nil {
		return nil, fmt.Errorf("sinks.filesystem.%s.base_path: opening the directory: %w", name, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Sink{
		name: name, cfg: cfg, root: root, force: (*os.File).Sync, seed: maphash.MakeSeed(),
		dirty: map[string]error{}, stop: stop, stopped: make(chan struct{}),
		aside: map[string]bool{}, notCompressed: map[string]error{}, wake: make(chan struct{}, 1), compressed: make(chan struct{}),
	}
	for i := range s.lanes {
		s.lanes[i] = make(chan struct{}, 1)
	}
	s.startCompressor(ctx)
	if cfg.Fsync != fsyncInterval {
		close(s.stopped)
		return s, nil
	}
	go func() {
		defer close(s.stopped)
		s.syncLoop(ctx)
	}()
	return s, nil
}

// Validate implements sinks.Validator. It looks at the path and at the value,
// not at the disk.
func (s *Sink) Validate(p sinks.Payload) error {
	if _, err := cleanPath(p.Target); err != nil {
		return err
	}
	_, err := s.line(p)
	return err
}

// Deliver implements sinks.Sink.
func (s *Sink) Deliver(ctx context.Context, batch []sinks.Payload) error {
	if s.isClosed() {
		return errClosed
	}
	paths, lines, failures := s.lines(batch)
	for _, path := range paths {
		l := lines[path]
		if err := s.append(ctx, path, l.text); err != nil {
			for _, i := range l.indices {
				failures = append(failures, sinks.Failure{Index: i, Class: s.classify(err), Err: err})
			}
		}
	}
	if len(failures) == 0 {
		return nil
	}
	sortFailures(failures)
	return &sinks.DeliverError{Failures: failures}
}

// Check implements sinks.Checker: the directory is still there and is the one
// that the sink writes to, and what was set aside could be compressed.
func (s *Sink) Check(context.Context) error {
	if s.isClosed() {
		return errClosed
	}
	if err := s.checkBase(); err != nil {
		return err
	}
	return s.compressError()
}

func (s *Sink) checkBase() error {
	now, err := os.Stat(s.cfg.BasePath)
	if err != nil {
		return fmt.Errorf("sinks.filesystem.%s.base_path: %w", s.name, err)
	}
	opened, err := s.root.Stat(".")
	if err != nil {
		return fmt.Errorf("sinks.filesystem.%s.base_path: %w", s.name, err)
	}
	if !os.SameFile(now, opened) {
		return fmt.Errorf("sinks.filesystem.%s.base_path: %s was replaced by another directory: restart to use it", s.name, s.cfg.BasePath)
	}
	return nil
}

// Close implements sinks.Sink. With fsync: interval it syncs what is not yet.
// Compressing is called off; it is begun again when the next file is set aside.
func (s *Sink) Close(ctx context.Context) error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.stop()
	for _, ended := range []chan struct{}{s.stopped, s.compressed} {
		select {
		case <-ended:
		case <-ctx.Done():
			return fmt.Errorf("waiting for files that are synced or compressed: %w", context.Cause(ctx))
		}
	}
	err := s.syncDirty()
	return errors.Join(err, s.root.Close())
}

func (s *Sink) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
