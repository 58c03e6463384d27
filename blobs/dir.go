package blobs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ErrDamaged says that an object is not what was put: its checksum differs.
var ErrDamaged = errors.New("blob is damaged")

var _ Store = (*Dir)(nil)

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
	ref = path.Join(dir, checksum(data)+"-"+token())
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

// Get implements Store. References come back from Temporal's history, where
// anyone may have written them: one that Put does not make is refused. The
// error wraps ErrDamaged when the content is not what was put.
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

// Sweep removes what was put longer ago than olderThan, the remains of crashed
// Puts, and directories in which nothing else was. It returns the number of
// objects removed, also when it fails in between. Executors may sweep at the
// same time.
func (d *Dir) Sweep(ctx context.Context, olderThan time.Duration) (removed int, err error) {
	before := time.Now().Add(-olderThan)
	var dirs []string // which nothing was put into since
	err = fs.WalkDir(d.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist): // another sweep was here
			return nil
		case err != nil:
			return err
		case e.IsDir():
			if old, err := isOld(e, before); err != nil || !old {
				return err
			}
			dirs = append(dirs, name)
			return nil
		}
		gone, err := d.sweepFile(name, e, before)
		if gone {
			removed++
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
	return removed, nil
}

// sweepFile removes an object that is old enough. Files that are not ours stay.
func (d *Dir) sweepFile(name string, e fs.DirEntry, before time.Time) (gone bool, err error) {
	base := path.Base(name)
	if !objectName.MatchString(base) && !strings.HasPrefix(base, tempPrefix) {
		return false, nil
	}
	old, err := isOld(e, before)
	if err != nil || !old {
		return false, err
	}
	err = d.root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
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

// tempPrefix begins the name of an object that is being written.
const tempPrefix = ".put-"

// objectName is the checksum of an object's content and what tells it from
// others of the same content.
var objectName = regexp.MustCompile(`^([0-9a-f]{64})-[0-9a-f]{16}$`)

// parseRef returns the checksum that a reference holds.
func parseRef(ref string) (sum string, err error) {
	m := objectName.FindStringSubmatch(path.Base(ref))
	if m == nil || !filepath.IsLocal(ref) || path.Clean(ref) != ref {
		return "", fmt.Errorf("%q is not the reference of a blob", ref)
	}
	return m[1], nil
}

// directory is the prefix as a path that stays in the store: what is not a
// letter, a digit or one of ._- in it is written as %XX, and so is a dot at the
// beginning of a name.
func directory(prefix string) string {
	var names []string
	for name := range strings.SplitSeq(prefix, "/") {
		if name != "" {
			names = append(names, fileName(name))
		}
	}
	return path.Join(append([]string{"."}, names...)...)
}

func fileName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
		if plain || c == '.' && i > 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	const longest = 180 // file systems end at 255
	if b.Len() <= longest {
		return b.String()
	}
	return b.String()[:longest-32] + checksum([]byte(name))[:32]
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// token is what nobody else comes up with.
func token() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
