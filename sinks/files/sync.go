package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"time"
)

// sync forces a file to disk, now or soon, as the settings say. An error of an
// earlier sync is reported here, once: what was written before may be lost, but
// it is too late to take its delivery back.
func (s *Sink) sync(name string, f *os.File) error {
	switch s.cfg.Fsync {
	case fsyncBatch:
		return s.force(f)
	case fsyncInterval:
		s.mu.Lock()
		defer s.mu.Unlock()
		failed := s.dirty[name]
		s.dirty[name] = nil
		return failed
	}
	return nil
}

// syncDirs makes names in a directory durable, and the directory's own.
func (s *Sink) syncDirs(dir string) error {
	if s.cfg.Fsync != fsyncBatch && s.cfg.Fsync != fsyncInterval {
		return nil
	}
	for {
		if err := s.syncFile(dir); err != nil {
			return fmt.Errorf("syncing directory %s: %w", dir, err)
		}
		if dir == "." {
			return nil
		}
		dir = path.Dir(dir)
	}
}

func (s *Sink) syncFile(name string) error {
	f, err := s.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return s.force(f)
}

func (s *Sink) syncLoop(ctx context.Context) {
	ticker := time.NewTicker(syncEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			_ = s.syncDirty() // the next delivery to the file reports it
		case <-ctx.Done():
			return
		}
	}
}

// syncDirty syncs the files that were written to. A file that is gone needs no
// sync.
func (s *Sink) syncDirty() error {
	s.mu.Lock()
	dirty := s.dirty
	s.dirty = map[string]error{}
	s.mu.Unlock()

	var errs []error
	for _, name := range slices.Sorted(maps.Keys(dirty)) {
		err := s.syncFile(name)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		err = fmt.Errorf("syncing %s: %w", name, err)
		errs = append(errs, err)
		s.mu.Lock()
		s.dirty[name] = err
		s.mu.Unlock()
	}
	return errors.Join(errs...)
}
