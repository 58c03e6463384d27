// Package blobs keeps what is too large for Temporal's history: lists of tasks,
// results and payloads. A workflow carries a reference, and only the activity
// that needs the content reads it.
package blobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNotFound says that a referenced object does not exist (any more).
	ErrNotFound = errors.New("blob not found")

	// ErrDamaged says that an object is not what was put: its checksum differs,
	// or it does not hold what its reference says.
	ErrDamaged = errors.New("blob is damaged")
)

// Lost reports whether an error of a store says that the content of an object
// is gone for good. Any other error may pass.
func Lost(err error) bool { return errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged) }

// Store keeps immutable objects. It is shared by all executors of a pipeline:
// what one of them puts, any other must be able to get. It is safe for
// concurrent use.
type Store interface {
	// Put stores data durably under a new name below prefix, which is a path
	// of the window's coordinates, and returns the reference to it.
	Put(ctx context.Context, prefix string, data []byte) (ref string, err error)

	// Get returns what Put stored. The error wraps ErrNotFound when there is no
	// such object, and ErrDamaged when it is not what was put; see Lost.
	// References come back from Temporal's history, where anyone may have
	// written them: one that Put does not make is ErrNotFound.
	Get(ctx context.Context, ref string) ([]byte, error)
}

// Backend is a Store with what running it takes. Dir and S3 are ones.
type Backend interface {
	Store

	// ID is a random text that belongs to the place. Whoever asks first writes
	// it there, so two processes which are told the same ID share the store.
	ID(ctx context.Context) (string, error)

	// Sweep removes objects that were put longer ago than olderThan, and
	// remains of crashed Puts. What lies below a prefix that is in use stays,
	// however old it is. It returns the number of objects removed, also when it
	// fails in between. Executors may sweep at the same time.
	Sweep(ctx context.Context, olderThan time.Duration, inUse InUse) (removed int, err error)

	// String names the place for people, without secrets.
	String() string

	// Close gives back what the store holds.
	Close() error
}

// InUse reports whether objects below the prefix, as it was given to Put, may
// still be asked for. After an error nothing below it is removed.
type InUse func(ctx context.Context, prefix string) (bool, error)

// List is a list that travels through history: inline while it is small, as a
// reference when it is not. The zero value is the empty list.
type List[T any] struct {
	Items []T    `json:"items,omitempty"`
	Ref   string `json:"ref,omitempty"`
	// Len is the number of items, also when they are elsewhere.
	Len int `json:"len,omitempty"`
	// Bytes is the encoded size of the items.
	Bytes int `json:"bytes,omitempty"`
}

// Inline is the number of bytes the list takes in history.
func (l List[T]) Inline() int {
	if l.Ref != "" {
		return len(l.Ref)
	}
	return l.Bytes
}

// Pack makes a list of items: inline when they encode to at most limit bytes,
// and put into the store otherwise.
func Pack[T any](ctx context.Context, s Store, prefix string, limit int, items []T) (List[T], error) {
	if len(items) == 0 {
		return List[T]{}, nil
	}
	data, err := json.Marshal(items)
	if err != nil {
		return List[T]{}, fmt.Errorf("encoding %d items: %w", len(items), err)
	}
	l := List[T]{Len: len(items), Bytes: len(data)}
	if len(data) <= limit {
		l.Items = items
		return l, nil
	}
	if l.Ref, err = s.Put(ctx, prefix, data); err != nil {
		return List[T]{}, fmt.Errorf("storing %d items of %d bytes: %w", len(items), len(data), err)
	}
	return l, nil
}

// Unpack returns the items of a list, from the store if they are there. The
// error is that of Get, and ErrDamaged for an object that does not hold the
// list.
func Unpack[T any](ctx context.Context, s Store, l List[T]) ([]T, error) {
	if l.Ref == "" {
		return l.Items, nil
	}
	data, err := s.Get(ctx, l.Ref)
	if err != nil {
		return nil, fmt.Errorf("reading %d items: %w", l.Len, err)
	}
	var items []T
	if err := json.Unmarshal(data, &items); err != nil {
		return nil, fmt.Errorf("decoding %d items of blob %s: %w: %w", l.Len, l.Ref, ErrDamaged, err)
	}
	if len(items) != l.Len {
		return nil, fmt.Errorf("decoding blob %s: %w: %d items where %d are expected", l.Ref, ErrDamaged, len(items), l.Len)
	}
	return items, nil
}
