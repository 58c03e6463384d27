package files

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"time"
)

const (
	compressionGzip = "gzip"

	gzipExt = ".gz"

	// halfExt is behind the name of a file that is still being compressed.
	halfExt = ".tmp"

	// compressAgain is how long what could not be compressed waits for the next
	// try.
	compressAgain = time.Minute
)

// startCompressor compresses what was set aside of files, one after the other,
// beside the deliveries, until ctx ends.
func (s *Sink) startCompressor(ctx context.Context) {
	if s.cfg.Compression != compressionGzip {
		close(s.compressed)
		return
	}
	go func() {
		defer close(s.compressed)
		var again <-chan time.Time
		for {
			select {
			case <-s.wake:
			case <-again:
			case <-ctx.Done():
				return
			}
			again = nil
			if !s.compressAll(ctx) {
				again = time.After(compressAgain)
			}
		}
	}()
}

// compressSoon says that something was set aside of a file. The name stands for
// all that was, also by other processes, and by those that died.
func (s *Sink) compressSoon(name string) {
	if s.cfg.Compression != compressionGzip {
		return
	}
	s.mu.Lock()
	s.aside[name] = true
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already
	}
}

// compressAll compresses what waits for it, with what failed before, and reports
// whether nothing is left.
func (s *Sink) compressAll(ctx context.Context) (ok bool) {
	s.mu.Lock()
	names := s.aside
	s.aside = map[string]bool{}
	for name := range s.notCompressed {
		names[name] = true
	}
	s.mu.Unlock()
	ok = true
	for name := range names {
		err := s.compressFile(ctx, name)
		s.mu.Lock()
		if err != nil {
			s.notCompressed[name], ok = err, false
		} else {
			delete(s.notCompressed, name)
		}
		s.mu.Unlock()
	}
	return ok
}

// compressError is why something could not be compressed.
func (s *Sink) compressError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.notCompressed)) {
		errs = append(errs, s.notCompressed[name])
	}
	return errors.Join(errs...)
}

// compressFile compresses all that was set aside of a file.
func (s *Sink) compressFile(ctx context.Context, name string) error {
	all, err := s.setAside(name)
	if err != nil {
		return ignoreGone(err) // with its directory
	}
	for _, a := range all {
		if a.compressed {
			continue
		}
		if err := s.compress(ctx, path.Join(path.Dir(name), a.name)); err != nil {
			return fmt.Errorf("compressing %s: %w", a.name, err)
		}
	}
	return nil
}

// compress replaces a file by a compressed one. At every moment one of the two
// is there as a whole. Its lock keeps other processes from doing the same; the
// delivery that has set it aside holds it, too, until it has ended.
func (s *Sink) compress(ctx context.Context, name string) error {
	from, err := s.openAside(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer from.Close()
	if err := lock(ctx, from); err != nil {
		return err
	}
	if current, err := s.isCurrent(name, from); err != nil || !current {
		return err // another process was faster
	}
	half := name + gzipExt + halfExt
	err = s.compressTo(ctx, half, from)
	if err == nil {
		err = s.root.Rename(half, name+gzipExt)
	}
	if err != nil {
		return errors.Join(err, ignoreGone(s.root.Remove(half)))
	}
	if err := s.syncDirs(path.Dir(name)); err != nil {
		return err
	}
	return ignoreGone(s.root.Remove(name))
}

// openAside opens a file that was set aside, also for writing: NFS locks no
// others.
func (s *Sink) openAside(name string) (*os.File, error) { return s.root.OpenFile(name, os.O_RDWR, 0) }

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (s *Sink) compressTo(ctx context.Context, name string, from io.Reader) (err error) {
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z := gzip.NewWriter(f)
	if _, err := io.Copy(z, stoppable{ctx, from}); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if s.cfg.Fsync != fsyncBatch && s.cfg.Fsync != fsyncInterval {
		return nil
	}
	return s.force(f)
}

// stoppable is a reader that ends with ctx.
type stoppable struct {
	ctx context.Context //nolint:containedctx // it lives as long as one copy
	io.Reader
}

// Read implements io.Reader.
func (r stoppable) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}

// setAside lists what was set aside of a file, the oldest first.
func (s *Sink) setAside(name string) ([]aside, error) {
	dir, err := s.root.Open(path.Dir(name))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("looking for files that were set aside: %w", err)
	}
	var all []aside
	for _, e := range entries {
		if a, ok := parseAside(name, e.Name()); ok && e.Type().IsRegular() {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, byAge)
	return all, nil
}
