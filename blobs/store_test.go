package blobs

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// place is a store under test, and ways to get at it from behind.
type place struct {
	Backend
	again  func(t *testing.T) Backend                           // another process that opens the same place
	putOld func(t *testing.T, prefix, data string) (ref string) // two hours ago
	spoil  func(t *testing.T, ref string, data []byte)          // nil data removes the object
	names  func(t *testing.T) []string                          // of all objects
}

// places are the stores that there are; each test runs with each of them.
var places = map[string]func(t *testing.T) *place{
	"Dir":          dirPlace,
	"S3":           func(t *testing.T) *place { t.Helper(); return s3Place(t, "") },
	"S3WithPrefix": func(t *testing.T) *place { t.Helper(); return s3Place(t, "team/drakkar") },
}

func onEach(t *testing.T, name string, test func(t *testing.T, p *place)) {
	t.Helper()

	for where, open := range places {
		t.Run(name+"/"+where, func(t *testing.T) {
			t.Parallel()

			test(t, open(t))
		})
	}
}

func (p *place) put(t *testing.T, prefix, data string) (ref string) {
	t.Helper()

	ref, err := p.Put(t.Context(), prefix, []byte(data))
	require.NoError(t, err)
	return ref
}

func (p *place) requireGone(t *testing.T, refs ...string) {
	t.Helper()

	for _, ref := range refs {
		_, err := p.Get(t.Context(), ref)
		require.ErrorIs(t, err, ErrNotFound, ref)
	}
}

// nobody uses nothing.
func nobody(context.Context, string) (bool, error) { return false, nil }

func TestStore(t *testing.T) {
	t.Parallel()

	onEach(t, "GetReturnsWhatWasPut", func(t *testing.T, p *place) {
		first, second := p.put(t, "p/orders/3/e1/100", "data"), p.put(t, "p/orders/3/e1/100", "data")
		require.NotEqual(t, first, second, "each Put makes a name")
		require.True(t, strings.HasPrefix(first, "p/orders/3/e1/100/"), first)
		for _, ref := range []string{first, second} {
			got, err := p.Get(t.Context(), ref)
			require.NoError(t, err)
			require.Equal(t, "data", string(got))
		}
		require.ElementsMatch(t, []string{first, second}, p.names(t), "nothing temporary is left")
	})

	onEach(t, "AnyPrefixAndContent", func(t *testing.T, p *place) {
		prefixes := []string{"", "/", "a//b", "../..", "p/ü ?&#%2e/../x", "p/" + strings.Repeat("n", 600), "p/\x00\xff", "p/%-/%"}
		refs := map[string]bool{}
		for _, prefix := range prefixes {
			for _, data := range []string{"", "\x00\xff", prefix} {
				ref := p.put(t, prefix, data)
				got, err := p.Get(t.Context(), ref)
				require.NoError(t, err)
				require.Equal(t, data, string(got))
				refs[ref] = true
			}
		}
		require.Len(t, refs, 3*len(prefixes))
	})

	onEach(t, "Large", func(t *testing.T, p *place) {
		data := make([]byte, 64<<20)
		_, _ = rand.Read(data)
		ref, err := p.Put(t.Context(), "p", data)
		require.NoError(t, err)
		got, err := p.Get(t.Context(), ref)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))
	})

	onEach(t, "SharedWithOthers", func(t *testing.T, p *place) {
		ref := p.put(t, "p", "data")
		got, err := p.again(t).Get(t.Context(), ref)
		require.NoError(t, err)
		require.Equal(t, "data", string(got))
	})

	onEach(t, "NotFound", func(t *testing.T, p *place) {
		ref := p.put(t, "p", "data")
		p.spoil(t, ref, nil)
		_, err := p.Get(t.Context(), ref)
		require.ErrorIs(t, err, ErrNotFound)
		require.True(t, Lost(err))
		require.ErrorContains(t, err, ref)
		require.ErrorContains(t, err, p.String(), "where it was looked for")
	})

	onEach(t, "Damaged", func(t *testing.T, p *place) {
		for _, content := range []string{"dat", "dAta", "data and more", ""} {
			ref := p.put(t, "p", "data")
			p.spoil(t, ref, []byte(content))
			_, err := p.Get(t.Context(), ref)
			require.ErrorIs(t, err, ErrDamaged)
			require.True(t, Lost(err))
			require.ErrorContains(t, err, p.String())
		}
	})

	onEach(t, "RefusesOtherReferences", func(t *testing.T, p *place) {
		ref := p.put(t, "p", "data")
		name := ref[strings.LastIndexByte(ref, '/')+1:]
		_, err := p.ID(t.Context())
		require.NoError(t, err)
		for _, bad := range []string{
			"", ".", "..", "p", "../" + name, "p/../../" + name, "p/../" + ref, "./" + ref, "p//" + name,
			"/" + ref, ref + "/", ref + "x", "p/\x00" + name, "P/" + strings.ToUpper(name), idName,
		} {
			data, err := p.Get(t.Context(), bad)
			require.ErrorIs(t, err, ErrNotFound, "%q", bad)
			require.Nil(t, data, "%q", bad)
		}
	})

	onEach(t, "ContextEnds", func(t *testing.T, p *place) {
		ref := p.put(t, "p", "data")
		away := errors.New("the caller went away")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(away)
		_, err := p.Put(ctx, "p", nil)
		require.ErrorIs(t, err, away)
		_, err = p.Get(ctx, ref)
		require.ErrorIs(t, err, away)
		require.False(t, Lost(err), "nothing is known about the object")
		_, err = p.ID(ctx)
		require.ErrorIs(t, err, away)
		_, err = p.Sweep(ctx, 0, nobody)
		require.ErrorIs(t, err, away)
		require.Len(t, p.names(t), 1)
	})

	onEach(t, "ManyAtOnce", func(t *testing.T, p *place) {
		var wg sync.WaitGroup
		for n := range 32 {
			wg.Go(func() {
				data := fmt.Appendf(nil, "data of %d", n)
				ref, err := p.Put(t.Context(), fmt.Sprintf("p/%d", n%4), data)
				if err == nil {
					var got []byte
					got, err = p.Get(t.Context(), ref)
					if err == nil && !bytes.Equal(data, got) {
						err = fmt.Errorf("got %q", got)
					}
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestStore_ID(t *testing.T) {
	t.Parallel()

	onEach(t, "BelongsToThePlace", func(t *testing.T, p *place) {
		id, err := p.ID(t.Context())
		require.NoError(t, err)
		require.Regexp(t, `^[0-9a-f]{32}$`, id)
		for _, other := range []Backend{p, p.again(t)} {
			same, err := other.ID(t.Context())
			require.NoError(t, err)
			require.Equal(t, id, same)
		}
		require.Equal(t, []string{idName}, p.names(t))
	})

	onEach(t, "DiffersElsewhere", func(t *testing.T, p *place) {
		id, err := p.ID(t.Context())
		require.NoError(t, err)
		other, err := dirPlace(t).ID(t.Context())
		require.NoError(t, err)
		require.NotEqual(t, id, other)
	})

	onEach(t, "IsOneForThoseWhoAskAtOnce", func(t *testing.T, p *place) {
		ids := make([]string, 8)
		var wg sync.WaitGroup
		for i := range ids {
			other := p.again(t)
			wg.Go(func() {
				var err error
				if ids[i], err = other.ID(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, id := range ids {
			require.Equal(t, ids[0], id)
		}
		require.Equal(t, []string{idName}, p.names(t))
	})

	onEach(t, "IsNotTakenFromSomethingElse", func(t *testing.T, p *place) {
		p.spoil(t, idName, []byte("hello\n"))
		_, err := p.ID(t.Context())
		require.ErrorContains(t, err, idName)
		require.ErrorContains(t, err, p.String())
	})
}

func TestStore_Sweep(t *testing.T) {
	t.Parallel()

	onEach(t, "RemovesWhatIsOld", func(t *testing.T, p *place) {
		old, alone := p.putOld(t, "p/1", "old"), p.putOld(t, "p/2/3", "old")
		young := p.put(t, "p/1", "young")
		_, err := p.ID(t.Context())
		require.NoError(t, err)
		p.spoil(t, "p/1/not ours", []byte("x"))

		removed, err := p.Sweep(t.Context(), 3*time.Hour, nobody)
		require.NoError(t, err)
		require.Zero(t, removed, "nothing is that old")

		removed, err = p.Sweep(t.Context(), time.Hour, nobody)
		require.NoError(t, err)
		require.Equal(t, 2, removed)
		p.requireGone(t, old, alone)
		require.ElementsMatch(t, []string{young, idName, "p/1/not ours"}, p.names(t))

		removed, err = p.Sweep(t.Context(), -time.Hour, nobody)
		require.NoError(t, err)
		require.Equal(t, 1, removed)
		require.ElementsMatch(t, []string{idName, "p/1/not ours"}, p.names(t), "the id stays for ever")
	})

	onEach(t, "KeepsWhatIsInUse", func(t *testing.T, p *place) {
		const window = "pipe/line/orders.v1/3/100-20260101-1/200"
		old, used, more := p.putOld(t, "pipe/other", "1"), p.putOld(t, window, "2"), p.putOld(t, window, "3")
		asked := map[string]int{}
		inUse := func(_ context.Context, prefix string) (bool, error) {
			asked[prefix]++
			return prefix == window, nil
		}
		removed, err := p.Sweep(t.Context(), time.Hour, inUse)
		require.NoError(t, err)
		require.Equal(t, 1, removed)
		p.requireGone(t, old)
		require.ElementsMatch(t, []string{used, more}, p.names(t))
		require.Equal(t, map[string]int{"pipe/other": 1, window: 1}, asked, "once for a prefix")
	})

	onEach(t, "AsksForPrefixesAsTheyWerePut", func(t *testing.T, p *place) {
		prefixes := []string{"", "/", "a//b", "../..", "p/ü ?&#%2e/../x", "p/" + strings.Repeat("n.", 300) + "/x", "p/\x00\xff", "p/%-/%", "p/.x"}
		for _, prefix := range prefixes {
			p.putOld(t, prefix, "x")
		}
		var asked []string
		removed, err := p.Sweep(t.Context(), time.Hour, func(_ context.Context, prefix string) (bool, error) {
			asked = append(asked, prefix)
			return true, nil
		})
		require.NoError(t, err)
		require.Zero(t, removed)
		require.ElementsMatch(t, prefixes, asked)
	})

	onEach(t, "KeepsWhatNobodyCanTell", func(t *testing.T, p *place) {
		p.putOld(t, "p", "x")
		removed, err := p.Sweep(t.Context(), time.Hour, func(context.Context, string) (bool, error) {
			return false, errors.New("Temporal is away")
		})
		require.ErrorContains(t, err, "Temporal is away")
		require.ErrorContains(t, err, p.String())
		require.Zero(t, removed)
		require.Len(t, p.names(t), 1)
	})

	onEach(t, "Many", func(t *testing.T, p *place) {
		refs := make([]string, 1100) // more than a page
		for i := range refs {
			refs[i] = p.putOld(t, fmt.Sprintf("p/%d", i%7), "x")
		}
		removed, err := p.Sweep(t.Context(), time.Hour, nobody)
		require.NoError(t, err)
		require.Equal(t, len(refs), removed)
		require.Empty(t, p.names(t))
	})

	onEach(t, "ByTwoAtOnce", func(t *testing.T, p *place) {
		for i := range 50 {
			p.putOld(t, fmt.Sprintf("p/%d", i), "x")
		}
		var wg sync.WaitGroup
		for _, sweeper := range []Backend{p.again(t), p.again(t)} {
			wg.Go(func() {
				if _, err := sweeper.Sweep(t.Context(), time.Hour, nobody); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Empty(t, p.names(t))
	})
}
