package files

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"github.com/drakkar-go/drakkar/sinks"
)

var errNotRegular = errors.New("it is not a regular file")

// append writes whole lines to a file: all of them, or, as far as the disk lets
// us, none.
func (s *Sink) append(ctx context.Context, name string, text []byte) error {
	release, err := s.enter(ctx, name)
	if err != nil {
		return fmt.Errorf("appending to %s: %w", name, err)
	}
	defer release()

	f, err := s.openLocked(ctx, name)
	if err != nil {
		return fmt.Errorf("appending to %s: %w", name, err)
	}
	defer f.Close() // and with it the lock; what matters was written and synced

	f, err = s.rotated(ctx, name, f, len(text))
	if err != nil {
		return fmt.Errorf("appending to %s: %w", name, err)
	}
	defer f.Close()
	if err := s.write(name, f, text); err != nil {
		return fmt.Errorf("appending to %s: %w", name, err)
	}
	return nil
}

// enter waits until no other delivery of this process writes to the file.
func (s *Sink) enter(ctx context.Context, name string) (release func(), err error) {
	lane := s.lanes[maphash.String(s.seed, name)%uint64(len(s.lanes))]
	if ctx.Err() != nil { // select would choose at random
		return nil, context.Cause(ctx)
	}
	select {
	case lane <- struct{}{}:
		return func() { <-lane }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// openLocked opens the file, making it if need be, and locks it. Between
// opening and locking another process may rotate the file away; then the name
// is another file, and that one is opened.
func (s *Sink) openLocked(ctx context.Context, name string) (*os.File, error) {
	for ctx.Err() == nil {
		f, err := s.open(name)
		if err != nil {
			return nil, err
		}
		if err = lock(ctx, f); err == nil {
			var same bool
			if same, err = s.isCurrent(name, f); err == nil && same {
				return f, nil
			}
		}
		_ = f.Close()
		if err != nil {
			return nil, err
		}
	}
	return nil, context.Cause(ctx)
}

// open opens the file, making it if need be. A name is durable only once its
// directories are synced: whoever finds the file empty does so, since the one
// who made it may have failed to, or died before.
func (s *Sink) open(name string) (*os.File, error) {
	const flags = os.O_RDWR | os.O_APPEND
	f, err := s.root.OpenFile(name, flags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = s.create(name)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err == nil && info.Size() == 0 {
		err = s.syncDirs(path.Dir(name))
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// create makes a file, and the directories above it if the settings say so.
func (s *Sink) create(name string) (*os.File, error) {
	dir := path.Dir(name)
	if s.cfg.CreateDirs && dir != "." {
		if err := s.root.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	return s.root.OpenFile(name, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
}

// isCurrent reports whether f is still the file of that name.
func (s *Sink) isCurrent(name string, f *os.File) (bool, error) {
	opened, err := f.Stat()
	if err != nil {
		return false, err
	}
	now, err := s.root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return os.SameFile(opened, now), nil
}

// lock waits for the file's advisory lock. Not every file system has locks;
// where there are none, only one process should write to a file.
func lock(ctx context.Context, f *os.File) error {
	const pause = 5 * time.Millisecond
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil, errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS):
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("locking the file: %w", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("waiting for the file's lock: %w", context.Cause(ctx))
		}
	}
}

// write appends text. When it cannot all be written, or not be synced, the file
// is cut back to what it was, so that a repetition finds no half line.
func (s *Sink) write(name string, f *os.File, text []byte) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	torn, err := endsTorn(f, info.Size())
	if err != nil {
		return err
	}
	if torn {
		text = append([]byte{'\n'}, text...)
	}
	if _, err = f.Write(text); err == nil {
		err = s.sync(name, f)
	}
	if err == nil {
		return nil
	}
	if cut := f.Truncate(info.Size()); cut != nil {
		return fmt.Errorf("%w; and cutting off what was written: %w", err, cut)
	}
	return err
}

// endsTorn reports whether the last line has no end: the trace of a crash in
// the middle of a write.
func endsTorn(f *os.File, size int64) (bool, error) {
	if size == 0 {
		return false, nil
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, size-1); err != nil {
		return false, fmt.Errorf("reading the end of the file: %w", err)
	}
	return last[0] != '\n', nil
}

// classify says whether the payload's path is at fault. A full disk, a missing
// permission and a base directory that is away may pass.
func (s *Sink) classify(err error) sinks.Class {
	for _, target := range []error{errNotRegular, syscall.ENOTDIR, syscall.EISDIR, syscall.ENAMETOOLONG, syscall.ELOOP} {
		if errors.Is(err, target) {
			return sinks.Permanent
		}
	}
	if s.checkBase() != nil {
		return sinks.Transient
	}
	if errors.Is(err, fs.ErrNotExist) && !s.cfg.CreateDirs {
		return sinks.Permanent
	}
	var perr *fs.PathError
	if errors.As(err, &perr) && perr.Err.Error() == "path escapes from parent" {
		return sinks.Permanent
	}
	return sinks.Transient
}
