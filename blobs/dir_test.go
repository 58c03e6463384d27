package blobs

import (
	"bytes"
	"context"
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

func TestDir(t *testing.T) {
	t.Parallel()

	t.Run("GetReturnsWhatWasPut", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		first := b.put(t, "p/orders/3/e1/100", "data")
		second := b.put(t, "p/orders/3/e1/100", "data")
		require.NotEqual(t, first, second, "each Put makes a name")
		require.True(t, strings.HasPrefix(first, "p/orders/3/e1/100/"), first)
		for _, ref := range []string{first, second} {
			got, err := b.Get(t.Context(), ref)
			require.NoError(t, err)
			require.Equal(t, "data", string(got))
		}
		files, err := filepath.Glob(filepath.Join(b.path, "p/orders/3/e1/100", ".*"))
		require.NoError(t, err)
		require.Empty(t, files, "nothing temporary is left")
	})

	t.Run("SharedWithOthers", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		ref := b.put(t, "p", "data")
		other, err := NewDir(b.path)
		require.NoError(t, err)
		defer other.Close()
		got, err := other.Get(t.Context(), ref)
		require.NoError(t, err)
		require.Equal(t, "data", string(got))
	})

	t.Run("NotFound", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		ref := b.put(t, "p", "data")
		require.NoError(t, os.Remove(filepath.Join(b.path, ref)))
		_, err := b.Get(t.Context(), ref)
		require.ErrorIs(t, err, ErrNotFound)
		require.ErrorContains(t, err, ref)
	})

	t.Run("Damaged", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		ref := b.put(t, "p", "data")
		require.NoError(t, os.WriteFile(filepath.Join(b.path, ref), []byte("dat"), 0o600))
		_, err := b.Get(t.Context(), ref)
		require.ErrorIs(t, err, ErrDamaged)
	})

	t.Run("RefusesOtherReferences", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		ref := b.put(t, "p", "data")
		name := filepath.Base(ref)
		outside := filepath.Join(filepath.Dir(b.path), name)
		require.NoError(t, os.WriteFile(outside, []byte("data"), 0o600))
		require.NoError(t, os.Symlink("..", filepath.Join(b.path, "up")))
		for _, bad := range []string{
			"", ".", "..", "p", "../" + name, "p/../../" + name, "p/../" + ref, "./" + ref, "p//" + name, outside,
			"/" + ref, ref + "/", ref + "x", "up/" + name, "p/\x00" + name, "P/" + strings.ToUpper(name),
		} {
			data, err := b.Get(t.Context(), bad)
			require.Error(t, err, "%q", bad)
			require.Nil(t, data, "%q", bad)
		}
	})

	t.Run("ContextEnds", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		ref := b.put(t, "p", "data")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := b.Put(ctx, "p", nil)
		require.ErrorIs(t, err, context.Canceled)
		_, err = b.Get(ctx, ref)
		require.ErrorIs(t, err, context.Canceled)
		_, err = b.Sweep(ctx, 0)
		require.ErrorIs(t, err, context.Canceled)
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

	t.Run("RemovesWhatIsOld", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		old, young, alone := b.put(t, "p/1", "old"), b.put(t, "p/1", "young"), b.put(t, "p/2/3", "old")
		for _, name := range []string{"p/1/" + tempPrefix + "crashed", "p/1/not ours"} {
			require.NoError(t, os.WriteFile(filepath.Join(b.path, name), nil, 0o600))
			b.age(t, name, 2*time.Hour)
		}
		b.age(t, old, 2*time.Hour)
		b.age(t, alone, 2*time.Hour)
		b.age(t, young, 59*time.Minute)
		for _, dir := range []string{"p/2/3", "p/2", "p/1", "p"} {
			b.age(t, dir, 2*time.Hour)
		}

		removed, err := b.Sweep(t.Context(), time.Hour)
		require.NoError(t, err)
		require.Equal(t, 3, removed)
		_, err = b.Get(t.Context(), old)
		require.ErrorIs(t, err, ErrNotFound)
		_, err = b.Get(t.Context(), young)
		require.NoError(t, err)
		require.FileExists(t, filepath.Join(b.path, "p/1/not ours"))
		require.NoDirExists(t, filepath.Join(b.path, "p/2"))
		require.DirExists(t, filepath.Join(b.path, "p/1"))
	})

	t.Run("BesidePuts", func(t *testing.T) {
		t.Parallel()

		b := setupDir(t)
		var wg sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		for range 2 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_, _ = b.Sweep(ctx, time.Hour)
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
		_, err := b.Sweep(t.Context(), time.Hour)
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
		if normal(p) != normal(other) {
			require.NotEqual(t, directory(p), directory(other))
		}
	})
}

func TestDirectory(t *testing.T) {
	t.Parallel()

	for prefix, want := range map[string]string{
		"":                        ".",
		"p/orders/3/e-1/100":      "p/orders/3/e-1/100",
		"//a//b/":                 "a/b",
		"../.x/a.b/%/\x00 \u00e9": "%2E./%2Ex/a.b/%25/%00%20%C3%A9",
	} {
		require.Equal(t, want, directory(prefix))
	}
	long := strings.Repeat("x", 300)
	require.Len(t, directory(long), 180)
	require.NotEqual(t, directory(long+"1"), directory(long+"2"))
}

// normal is a prefix without empty names.
func normal(prefix string) string {
	return strings.Join(strings.FieldsFunc(prefix, func(r rune) bool { return r == '/' }), "/")
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
	empty, err := Pack(t.Context(), b, "p", 0, []string{})
	require.NoError(t, err)
	require.Equal(t, List[string]{}, empty)
	require.Zero(t, empty.Inline())
}
