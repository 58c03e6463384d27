package blobs

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type dirBundle struct {
	*Dir
	path string
}

func setupDir(t *testing.T) *dirBundle {
	t.Helper()

	b := &dirBundle{path: filepath.Join(t.TempDir(), "new", "store")}
	var err error
	b.Dir, err = NewDir(b.path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func (b *dirBundle) put(t *testing.T, prefix, data string) (ref string) {
	t.Helper()

	ref, err := b.Put(t.Context(), prefix, []byte(data))
	require.NoError(t, err)
	return ref
}

// age makes a file look as if it was written so long ago.
func (b *dirBundle) age(t *testing.T, name string, by time.Duration) {
	t.Helper()

	then := time.Now().Add(-by)
	require.NoError(t, os.Chtimes(filepath.Join(b.path, name), then, then))
}

func dirPlace(t *testing.T) *place {
	t.Helper()

	b := setupDir(t)
	return &place{
		Backend: b,
		again: func(t *testing.T) Backend {
			t.Helper()
			other, err := NewDir(b.path)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, other.Close()) })
			return other
		},
		putOld: func(t *testing.T, prefix, data string) string {
			t.Helper()
			ref := b.put(t, prefix, data)
			b.age(t, ref, 2*time.Hour)
			return ref
		},
		spoil: func(t *testing.T, ref string, data []byte) {
			t.Helper()
			name := filepath.Join(b.path, ref)
			if data == nil {
				require.NoError(t, os.Remove(name))
				return
			}
			require.NoError(t, os.WriteFile(name, data, 0o600))
		},
		names: func(t *testing.T) []string {
			t.Helper()
			var names []string
			require.NoError(t, fs.WalkDir(os.DirFS(b.path), ".", func(name string, e fs.DirEntry, err error) error {
				if err == nil && !e.IsDir() {
					names = append(names, name)
				}
				return err
			}))
			return names
		},
	}
}

func TestDir(t *testing.T) {
	t.Parallel()

	t.Run("ReferencesStayInside", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		name := filepath.Base(b.put(t, "p", "data"))
		outside := filepath.Join(filepath.Dir(b.path), name)
		require.NoError(t, os.WriteFile(outside, []byte("data"), 0o600))
		require.NoError(t, os.Symlink("..", filepath.Join(b.path, "up")))
		for _, bad := range []string{outside, "../" + name, "up/" + name} {
			data, err := b.Get(t.Context(), bad)
			require.Error(t, err, "%q", bad)
			require.Nil(t, data, "%q", bad)
		}
	})

	t.Run("WhatCannotBeReadMayPass", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		ref := b.put(t, "p", "data")
		require.NoError(t, os.Remove(filepath.Join(b.path, ref)))
		require.NoError(t, os.Mkdir(filepath.Join(b.path, ref), 0o700))
		_, err := b.Get(t.Context(), ref)
		require.Error(t, err)
		require.False(t, Lost(err), "%v", err)
	})

	t.Run("IDOfWhoWasFaster", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		id, err := b.ID(t.Context())
		require.NoError(t, err)
		require.NoError(t, b.writeID(), "both had found none")
		same, err := b.ID(t.Context())
		require.NoError(t, err)
		require.Equal(t, id, same)
	})

	t.Run("DirectoryThatIsGone", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		require.NoError(t, os.RemoveAll(b.path))
		_, err := b.Put(t.Context(), "p", nil)
		require.ErrorContains(t, err, b.path)
		_, err = b.ID(t.Context())
		require.ErrorContains(t, err, b.path)
		removed, err := b.Sweep(t.Context(), 0, nobody)
		require.NoError(t, err)
		require.Zero(t, removed)
	})

	t.Run("DirectoryIsNeeded", func(t *testing.T) {
		t.Parallel()

		file := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		_, err := NewDir(file)
		require.ErrorContains(t, err, "windows.store")
	})
}

func TestDir_Sweep(t *testing.T) {
	t.Parallel()

	t.Run("RemovesEmptyDirectoriesAndRemains", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		b.age(t, b.put(t, "p/2/3", "old"), 2*time.Hour)
		crashed, writing := "p/1/"+tempPrefix+"crashed", "p/1/"+tempPrefix+"writing"
		b.put(t, "p/1", "young")
		for _, name := range []string{crashed, writing, tempPrefix + "id"} {
			require.NoError(t, os.WriteFile(filepath.Join(b.path, name), nil, 0o600))
			b.age(t, name, 2*time.Hour)
		}
		b.age(t, writing, 10*time.Minute)
		for _, dir := range []string{"p/2/3", "p/2", "p/1", "p"} {
			b.age(t, dir, 2*time.Hour)
		}

		removed, err := b.Sweep(t.Context(), time.Hour, nobody)
		require.NoError(t, err)
		require.Equal(t, 1, removed, "remains are not counted")
		require.NoFileExists(t, filepath.Join(b.path, crashed))
		require.NoFileExists(t, filepath.Join(b.path, tempPrefix+"id"))
		require.FileExists(t, filepath.Join(b.path, writing))
		require.NoDirExists(t, filepath.Join(b.path, "p/2"))
		require.DirExists(t, filepath.Join(b.path, "p/1"))
	})

	t.Run("RemainsGoEvenOfWindowsThatAreOpen", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		b.put(t, "p", "data")
		crashed := "p/" + tempPrefix + "crashed"
		require.NoError(t, os.WriteFile(filepath.Join(b.path, crashed), nil, 0o600))
		b.age(t, crashed, 2*time.Hour)
		_, err := b.Sweep(t.Context(), 1000*time.Hour, func(context.Context, string) (bool, error) { return true, nil })
		require.NoError(t, err)
		require.NoFileExists(t, filepath.Join(b.path, crashed))
	})

	t.Run("BesidePuts", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		var wg sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		for range 2 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_, _ = b.Sweep(ctx, time.Hour, nobody)
				}
			})
		}
		defer wg.Wait()
		defer stop()
		for range 200 {
			ref := b.put(t, "p/1", "data")
			_, err := b.Get(t.Context(), ref)
			require.NoError(t, err)
			require.NoError(t, os.Remove(filepath.Join(b.path, ref)))
			then := time.Now().Add(-2 * time.Hour)
			_ = os.Chtimes(filepath.Join(b.path, "p/1"), then, then)
			_ = os.Chtimes(filepath.Join(b.path, "p"), then, then)
		}
	})

	t.Run("KeepsNewDirectories", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		require.NoError(t, os.Mkdir(filepath.Join(b.path, "new"), 0o700))
		_, err := b.Sweep(t.Context(), time.Hour, nobody)
		require.NoError(t, err)
		require.DirExists(t, filepath.Join(b.path, "new"), "a Put may be about to use it")
	})
}

// Whatever the prefix and the content: what is put comes back, its file lies in
// the store, and prefixes that differ have directories that differ.
func TestDir_AnyPrefix(t *testing.T) {
	t.Parallel()

	b := setupDir(t)
	ctx := t.Context()
	prefix := rapid.OneOf(
		rapid.StringMatching(`([a-z.%/~ -]|\.\./){0,12}`), rapid.String(),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 300), func(bs []byte) string { return string(bs) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		p, other := prefix.Draw(t, "prefix"), prefix.Draw(t, "other prefix")
		data := rapid.SliceOf(rapid.Byte()).Draw(t, "data")
		ref, err := b.Put(ctx, p, data)
		require.NoError(t, err)
		require.True(t, filepath.IsLocal(ref))
		got, err := b.Get(ctx, ref)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))
		if p != other {
			require.NotEqual(t, directory(p), directory(other))
		}
		back, ok := prefixOf(directory(p))
		require.True(t, ok)
		require.Equal(t, p, back)
	})
}

func TestDirectory(t *testing.T) {
	t.Parallel()

	for prefix, want := range map[string]string{
		"":                        ".",
		"p/orders/3/e-1/100":      "p/orders/3/e-1/100",
		"//a//b/":                 "%/%/a/%/b/%",
		"../.x/a.b/%/\x00 \u00e9": "%2E./%2Ex/a.b/%25/%00%20%C3%A9",
	} {
		require.Equal(t, want, directory(prefix))
	}
	long := strings.Repeat("x", 179) + "/" + strings.Repeat("y", 180) + "..z"
	require.Equal(t, strings.Repeat("x", 179)+"/"+strings.Repeat("y", 180)+"/%-..z", directory(long))
	for _, foreign := range []string{"%zz", "a b", "a/%2e", "%-x", "a/%-", "%41", "../a"} {
		_, ok := prefixOf(foreign)
		require.False(t, ok, foreign)
	}
}

func FuzzParseRef(f *testing.F) {
	name := strings.Repeat("0a", 32) + "-0123456789abcdef"
	for _, seed := range []string{"", name, "p/1/" + name, "../" + name, "/" + name, "p//" + name, name + "/..", "p/./" + name} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		sum, err := parseRef(ref)
		if err != nil {
			require.Empty(t, sum)
			return
		}
		require.Len(t, sum, 64)
		require.True(t, filepath.IsLocal(ref))
		require.NotContains(t, strings.Split(ref, "/"), "..")
	})
}

func TestPack(t *testing.T) {
	t.Parallel()

	b := setupDir(t)
	items := []string{"one", "two", "three"}
	for _, limit := range []int{0, 20, 21, 1000} { // they encode to 21 bytes
		l, err := Pack(t.Context(), b, "p", limit, items)
		require.NoError(t, err)
		require.Equal(t, limit < 21, l.Ref != "", "limit %d", limit)
		require.Equal(t, limit < 21, l.Items == nil)
		require.Equal(t, 3, l.Len)
		require.Equal(t, 21, l.Bytes)
		got, err := Unpack(t.Context(), b, l)
		require.NoError(t, err)
		require.Equal(t, items, got)
	}
	l := List[string]{Len: 1, Ref: b.put(t, "p", `[1]`)}
	_, err := Unpack(t.Context(), b, l)
	require.ErrorIs(t, err, ErrDamaged, "whoever put it, it is not the list")
	l.Ref = b.put(t, "p", `["one","two"]`)
	_, err = Unpack(t.Context(), b, l)
	require.ErrorIs(t, err, ErrDamaged)
	require.ErrorContains(t, err, "2 items where 1 are expected")
	l.Ref = "p/gone"
	_, err = Unpack(t.Context(), b, l)
	require.True(t, Lost(err))

	_, err = Pack(t.Context(), b, "p", 0, []any{func() {}})
	require.ErrorContains(t, err, "encoding 1 items")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Pack(ended, b, "p", 0, items)
	require.ErrorContains(t, err, "storing 3 items of 21 bytes")

	empty, err := Pack(t.Context(), b, "p", 0, []string{})
	require.NoError(t, err)
	require.Equal(t, List[string]{}, empty)
	require.Zero(t, empty.Inline())
}
