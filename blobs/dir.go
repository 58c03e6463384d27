package blobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

var _ Backend = (*Dir)(nil)

// tempAge is how old the remains of a Put are: one takes seconds.
const tempAge = time.Hour

// Dir is a store in a directory which all executors of a pipeline share.
//
// An object is a file below the directories of its prefix. Its name holds the
// checksum of its content, and it appears under that name only when it is
// whole and on disk. The reference is its path, relative to the directory.
type Dir struct {
	path string
	root *os.Root
}

// NewDir opens the directory, and makes it if it is not there.
func NewDir(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of windows.store: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("opening the directory of windows.store: %w", err)
	}
	return &Dir{path: path, root: root}, nil
}

// String is the directory.
func (d *Dir) String() string { return d.path }

// Close gives back the directory.
func (d *Dir) Close() error { return d.root.Close() }

// Put implements Store.
func (d *Dir) Put(ctx context.Context, prefix string, data []byte) (ref string, err error) {
	// Sweep may remove a directory that is empty just when it is needed; it
	// cannot go on doing so.
	const attempts = 5
	for range attempts {
		if ctx.Err() != nil {
			return "", fmt.Errorf("putting blob: %w", context.Cause(ctx))
		}
		ref, err = d.put(directory(prefix), data)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("putting blob into %s: %w", d.path, err)
	}
	return ref, nil
}

func (d *Dir) put(dir string, data []byte) (ref string, err error) {
	if err := d.makeDir(dir); err != nil {
		return "", err
	}
	temp := path.Join(dir, tempPrefix+token())
	if err := d.write(temp, data); err != nil {
		_ = d.root.Remove(temp)
		return "", err
	}
	ref = newRef(dir, data)
	if err := d.root.Rename(temp, ref); err != nil {
		_ = d.root.Remove(temp)
		return "", err
	}
	return ref, d.sync(dir)
}

// write makes a file and forces it to disk.
func (d *Dir) write(name string, data []byte) error {
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// makeDir makes a directory durably: with it, the names on the way to it are
// forced to disk.
func (d *Dir) makeDir(dir string) error {
	if _, err := d.root.Stat(dir); err == nil {
		return nil
	}
	if err := d.root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for dir != "." {
		dir = path.Dir(dir)
		if err := d.sync(dir); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dir) sync(dir string) error {
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Get implements Store.
func (d *Dir) Get(ctx context.Context, ref string) ([]byte, error) {
	sum, err := parseRef(ref)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("getting blob %s: %w", ref, context.Cause(ctx))
	}
	data, err := d.root.ReadFile(ref)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("getting blob %s from %s: %w", ref, d.path, ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("getting blob %s from %s: %w", ref, d.path, err)
	case checksum(data) != sum:
		return nil, fmt.Errorf("getting blob %s from %s: %w", ref, d.path, ErrDamaged)
	}
	return data, nil
}

// ID implements Backend: it is a file in the directory.
func (d *Dir) ID(ctx context.Context) (string, error) {
	if ctx.Err() != nil {
		return "", fmt.Errorf("reading the id of %s: %w", d.path, context.Cause(ctx))
	}
	data, err := d.root.ReadFile(idName)
	if errors.Is(err, fs.ErrNotExist) {
		if err := d.writeID(); err != nil {
			return "", fmt.Errorf("writing the id of %s: %w", d.path, err)
		}
		data, err = d.root.ReadFile(idName) // somebody may have been faster
	}
	if err != nil {
		return "", fmt.Errorf("reading the id of %s: %w", d.path, err)
	}
	id, err := parseID(data)
	if err != nil {
		return "", fmt.Errorf("reading the id of %s: %w", d.path, err)
	}
	return id, nil
}

// writeID makes the file, whole at once, unless it is there.
func (d *Dir) writeID() error {
	temp := tempPrefix + token()
	defer func() { _ = d.root.Remove(temp) }()
	if err := d.write(temp, newID()); err != nil {
		return err
	}
	switch err := d.root.Link(temp, idName); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil: // not every file system knows links: then the last one wins
		if err := d.root.Rename(temp, idName); err != nil {
			return err
		}
	}
	return d.sync(".")
}

// Sweep implements Backend. It also removes directories in which nothing was.
// What may not be read or removed does not keep it from the others, and is the
// error at the end.
func (d *Dir) Sweep(ctx context.Context, olderThan time.Duration, inUse InUse) (removed int, err error) {
	k := newKeeper(olderThan, inUse)
	var dirs []string // which nothing was put into since
	var denied error
	err = fs.WalkDir(d.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist): // another sweep was here
			return nil
		case errors.Is(err, fs.ErrPermission) && name != ".":
			denied = cmp.Or(denied, err)
			return fs.SkipDir
		case err != nil:
			return err
		case e.IsDir():
			if old, err := isOld(e, k.before); err != nil || !old {
				return err
			}
			if _, ours := prefixOf(name); ours {
				dirs = append(dirs, name)
			}
			return nil
		}
		gone, err := d.sweepFile(ctx, name, e, k)
		if gone {
			removed++
		}
		if errors.Is(err, fs.ErrPermission) {
			denied, err = cmp.Or(denied, err), nil
		}
		return err
	})
	if err != nil {
		return removed, fmt.Errorf("sweeping %s: %w", d.path, err)
	}
	for _, dir := range slices.Backward(dirs) { // children first
		if dir != "." {
			_ = d.root.Remove(dir) // fails unless it is empty
		}
	}
	if denied != nil {
		return removed, fmt.Errorf("sweeping %s: %w", d.path, denied)
	}
	return removed, nil
}

// sweepFile removes an object that nobody needs, or what a crashed Put has left
// behind. It reports whether an object is gone. Files that are not ours stay.
func (d *Dir) sweepFile(ctx context.Context, name string, e fs.DirEntry, k *keeper) (gone bool, err error) {
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	temp := strings.HasPrefix(path.Base(name), tempPrefix) && time.Since(info.ModTime()) > tempAge
	if !temp {
		if ok, err := k.removes(ctx, name, info.ModTime()); err != nil || !ok {
			return false, err
		}
	}
	err = d.root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && !temp, err
}

// isOld reports whether an entry was last changed before a moment. What is gone
// is not.
func isOld(e fs.DirEntry, before time.Time) (bool, error) {
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return info.ModTime().Before(before), nil
}
