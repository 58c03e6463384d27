package app

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/workflows"
)

// startStore opens the store of an executor of its own.
func (b *realBundle) startStore(t *testing.T, worker, place string) (blobs.Store, error) {
	t.Helper()

	cfg := settings()
	cfg.Pipeline, cfg.Temporal.Namespace, cfg.Windows.Store = b.pipeline, b.namespace, place
	a := &App{cfg: cfg, log: zap.NewNop(), failed: make(chan error, 4)}
	t.Cleanup(func() { require.NoError(t, a.ends.unwind(context.WithoutCancel(t.Context()))) })
	return a.startStore(t.Context(), b.client, worker)
}

// Executors of one pipeline prove at their start that they share the store.
func TestStartStore(t *testing.T) {
	t.Parallel()

	t.Run("Shared", func(t *testing.T) {
		t.Parallel()

		b := setupReal(t)
		place := filepath.Join(t.TempDir(), "store")
		one, err := b.startStore(t, "one", place)
		require.NoError(t, err)
		two, err := b.startStore(t, "two", place+"/../store")
		require.NoError(t, err, "whatever it is called")
		ref, err := one.Put(t.Context(), "p", []byte("data"))
		require.NoError(t, err)
		got, err := two.Get(t.Context(), ref)
		require.NoError(t, err)
		require.Equal(t, "data", string(got))
	})

	t.Run("NotShared", func(t *testing.T) {
		t.Parallel()

		b := setupReal(t)
		place, other := t.TempDir(), t.TempDir()
		_, err := b.startStore(t, "one", place)
		require.NoError(t, err)
		_, err = b.startStore(t, "two", other)
		require.ErrorContains(t, err, "windows.store: "+other)
		require.ErrorContains(t, err, place)
		_, err = b.startStore(t, "again", place)
		require.NoError(t, err)

		require.NoError(t, b.client.TerminateWorkflow(t.Context(), workflows.StoreWorkflowID(b.pipeline), "", "moved"))
		_, err = b.startStore(t, "two", other)
		require.NoError(t, err, "what the error says helps")
	})

	t.Run("DefaultOfOneHost", func(t *testing.T) {
		t.Parallel()

		b := setupReal(t)
		place := filepath.Join(os.TempDir(), "drakkar-"+filepath.Base(b.pipeline))
		t.Cleanup(func() { require.NoError(t, os.RemoveAll(place)) })
		for _, worker := range []string{"one", "two"} {
			_, err := b.startStore(t, worker, "")
			require.NoError(t, err)
		}
		require.DirExists(t, place)
		require.NoError(t, os.RemoveAll(place)) // as a restart of the host does
		_, err := b.startStore(t, "one", "")
		require.NoError(t, err)
	})
}

// An executor whose store turns out not to be the pipeline's ends.
func TestWatchStore(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		a := &App{cfg: settings(), log: zap.NewNop(), failed: make(chan error, 4)}
		records := &fakeRecords{}
		c := &claim{store: &fakeStore{id: "1", place: "/ours"}, host: "here", records: records, log: zap.NewNop()}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() {
			a.watchStore(ctx, c)
			close(done)
		}()
		<-time.After(claimEvery + time.Second)
		synctest.Wait()
		require.Equal(t, "1", records.record.ID, "a record that is gone is made again")
		require.Empty(t, a.failed)

		records.mu.Lock()
		records.record = &storeRecord{ID: "2", Place: "/theirs", Host: "there"}
		records.mu.Unlock()
		require.ErrorContains(t, <-a.Failed(), "/theirs on host there")
		<-done
	})
}

func TestSweeper_Sweep(t *testing.T) {
	t.Parallel()

	b := setupReal(t)
	path := t.TempDir()
	store, err := blobs.NewDir(path)
	require.NoError(t, err)
	defer store.Close()
	s := &sweeper{store: store, windows: b.client, namespace: b.namespace, pipeline: b.pipeline, maxAge: time.Hour, log: zap.NewNop()}
	put := func(prefix string, age time.Duration) string {
		ref, err := store.Put(t.Context(), prefix, []byte("x"))
		require.NoError(t, err)
		then := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(filepath.Join(path, ref), then, then))
		return ref
	}
	const ancient = 10_000 * time.Hour
	open := b.pipeline + "/in/0/open/1"
	_, err = b.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: open, TaskQueue: workflows.TaskQueue(b.pipeline)}, "Window")
	require.NoError(t, err)
	gone := put(b.pipeline+"/in/0/gone/1", ancient)
	kept := []string{
		put(open, ancient), put(b.pipeline+"/in/0/gone/2", 2*time.Hour), // within the retention
		put("another/in/0/e/1", ancient),
	}
	s.sweep(t.Context())
	_, err = store.Get(t.Context(), gone)
	require.ErrorIs(t, err, blobs.ErrNotFound)
	for _, ref := range kept {
		_, err = store.Get(t.Context(), ref)
		require.NoError(t, err)
	}
}
