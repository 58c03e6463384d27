// Package blobs keeps what is too large for Temporal's history: lists of tasks,
// results and payloads. A workflow carries a reference, and only the activity
// that needs the content reads it.
package blobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrNotFound says that a referenced object does not exist (any more).
var ErrNotFound = errors.New("blob not found")

// Store keeps immutable objects. It is shared by all executors of a pipeline:
// what one of them puts, any other must be able to get. It is safe for
// concurrent use.
type Store interface {
	// Put stores data durably under a new name below prefix, which is a path
	// of the window's coordinates, and returns the reference to it.
	Put(ctx context.Context, prefix string, data []byte) (ref string, err error)

	// Get returns what Put stored, or an error that wraps ErrNotFound.
	Get(ctx context.Context, ref string) ([]byte, error)
}

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

// Unpack returns the items of a list, from the store if they are there.
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
		return nil, fmt.Errorf("decoding %d items of blob %s: %w", l.Len, l.Ref, err)
	}
	return items, nil
}
