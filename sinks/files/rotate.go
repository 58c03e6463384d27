package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// stamp is the time in the name of a file that was set aside, in UTC:
// results.jsonl becomes results-20260102T150405Z.jsonl.
const stamp = "20060102T150405Z"

// rotated sets the locked file aside if it is due, and returns the locked file
// to write to. The one it was given is closed by the caller in any case.
func (s *Sink) rotated(ctx context.Context, name string, f *os.File, n int) (*os.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !s.due(info, n, time.Now()) {
		return f, nil
	}
	if s.cfg.Fsync == fsyncInterval { // the loop would look for it under its old name
		if err := s.force(f); err != nil {
			return nil, err
		}
	}
	aside, err := s.freeName(name, time.Now())
	if err != nil {
		return nil, err
	}
	if err := s.root.Rename(name, aside); err != nil {
		return nil, fmt.Errorf("setting the file aside: %w", err)
	}
	err = s.removeOld(name)
	s.compressSoon(name)
	if err != nil {
		return nil, err
	}
	return s.openLocked(ctx, name)
}

// due reports whether a file is to be set aside before n more bytes. A batch is
// never split, so a file can be larger than rotate_bytes by itself.
//
// Intervals are counted from 1970, and a file holds lines of one of them only:
// the time of its last write tells which. That survives restarts, and all
// processes which write to the file agree on it.
func (s *Sink) due(info fs.FileInfo, n int, now time.Time) bool {
	if info.Size() == 0 {
		return false
	}
	if s.cfg.RotateBytes > 0 && info.Size()+int64(n) > s.cfg.RotateBytes {
		return true
	}
	every := s.cfg.RotateInterval
	return every > 0 && interval(now, every) > interval(info.ModTime(), every)
}

func interval(t time.Time, every time.Duration) int64 { return t.UnixNano() / int64(every) }

// freeName is the name under which the file is set aside. Several in one second
// are numbered. The file's lock keeps others from taking the same.
func (s *Sink) freeName(name string, now time.Time) (string, error) {
	stem, ext := split(name)
	base := stem + "-" + now.UTC().Format(stamp)
	for n := 0; ; n++ {
		candidate := base + ext
		if n > 0 {
			candidate = base + "." + strconv.Itoa(n) + ext
		}
		taken, err := s.exists(candidate)
		if err == nil && !taken {
			taken, err = s.exists(candidate + gzipExt)
		}
		if err != nil {
			return "", err
		}
		if !taken {
			return candidate, nil
		}
	}
}

func (s *Sink) exists(name string) (bool, error) {
	_, err := s.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// aside is a file that was set aside.
type aside struct {
	name string
	time string
	n    int

	compressed bool
}

// removeOld removes what was set aside of a file, but for the newest
// rotate_keep.
func (s *Sink) removeOld(name string) error {
	if s.cfg.RotateKeep == 0 {
		return nil
	}
	old, err := s.setAside(name)
	if err != nil {
		return err
	}
	for _, a := range old[:max(0, len(old)-s.cfg.RotateKeep)] {
		err := s.root.Remove(path.Join(path.Dir(name), a.name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing a file that was set aside: %w", err)
		}
	}
	return nil
}

func byAge(a, b aside) int { return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.n, b.n)) }

// parseAside reports whether entry, a name without directory, is what freeName
// made of the file.
func parseAside(name, entry string) (aside, bool) {
	stem, ext := split(path.Base(name))
	middle, ok := strings.CutPrefix(entry, stem+"-")
	if !ok {
		return aside{}, false
	}
	middle, compressed := strings.CutSuffix(middle, ext+gzipExt)
	if !compressed {
		if middle, ok = strings.CutSuffix(middle, ext); !ok {
			return aside{}, false
		}
	}
	at, number, numbered := strings.Cut(middle, ".")
	if _, err := time.Parse(stamp, at); err != nil {
		return aside{}, false
	}
	a := aside{name: entry, time: at, compressed: compressed}
	if numbered {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 {
			return aside{}, false
		}
		a.n = n
	}
	return a, true
}

// split separates the last extension of a path. A name that begins with a dot
// and has no other has none.
func split(name string) (stem, ext string) {
	ext = path.Ext(name)
	if ext == path.Base(name) {
		ext = ""
	}
	return strings.TrimSuffix(name, ext), ext
}
