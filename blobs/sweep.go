package blobs

import (
	"context"
	"fmt"
	"path"
	"time"
)

// keeper decides what a sweep removes.
type keeper struct {
	before time.Time
	inUse  InUse
	known  map[string]bool // by directory: whether it is in use
}

func newKeeper(olderThan time.Duration, inUse InUse) *keeper {
	return &keeper{before: time.Now().Add(-olderThan), inUse: inUse, known: map[string]bool{}}
}

// removes reports whether an object goes: it is one of ours, old enough, and
// its prefix is not in use.
func (k *keeper) removes(ctx context.Context, name string, changed time.Time) (bool, error) {
	if !objectName.MatchString(path.Base(name)) || !changed.Before(k.before) {
		return false, nil
	}
	dir := path.Dir(name)
	if used, ok := k.known[dir]; ok {
		return !used, nil
	}
	used := true // whatever lies where no prefix leads is not ours
	if prefix, ok := prefixOf(dir); ok {
		var err error
		if used, err = k.inUse(ctx, prefix); err != nil {
			return false, fmt.Errorf("asking whether %s is in use: %w", prefix, err)
		}
	}
	k.known[dir] = used
	return !used, nil
}
