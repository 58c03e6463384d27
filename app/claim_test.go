package app

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/workflows"
)

// fakeStore is a store of which only the id counts.
type fakeStore struct {
	blobs.Backend
	id, place string
	err       error
}

func (s *fakeStore) ID(context.Context) (string, error) { return s.id, s.err }
func (s *fakeStore) String() string                     { return s.place }

// fakeRecords is a record in memory.
type fakeRecords struct {
	mu      sync.Mutex
	record  *storeRecord
	seen    map[string]time.Time
	polling []string // executors that are heard of at every look
	steal   *storeRecord
	err     error
}

func (f *fakeRecords) Read(context.Context) (storeRecord, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.record == nil {
		return storeRecord{}, false, f.err
	}
	return *f.record, true, f.err
}

func (f *fakeRecords) Write(_ context.Context, r storeRecord, replace bool) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.steal != nil { // somebody is faster
		f.record, f.steal = f.steal, nil
	}
	if f.record != nil && !replace {
		return false, nil
	}
	f.record = &r
	return true, nil
}

func (f *fakeRecords) Executors(context.Context) (map[string]time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range f.polling {
		f.seen[name] = time.Now()
	}
	return maps.Clone(f.seen), nil
}

func (f *fakeRecords) Where() string { return "pipe/store" }

func TestClaim(t *testing.T) {
	t.Parallel()

	ours, theirs := storeRecord{ID: "1", Place: "/ours", Host: "here"}, storeRecord{ID: "2", Place: "/theirs", Host: "there"}
	long := time.Now().Add(-time.Hour)
	for _, tt := range []struct {
		name      string
		byDefault bool
		records   *fakeRecords
		want      []string // in the error; none means that the store is claimed
		took      time.Duration
	}{
		{name: "TheFirstRecordsItsOwn", records: &fakeRecords{}},
		{name: "TheSame", records: &fakeRecords{record: &storeRecord{ID: "1", Place: "/mnt/ours", Host: "there"}}},
		{name: "FasterWithTheSame", records: &fakeRecords{steal: &storeRecord{ID: "1"}}},
		{
			name: "FasterWithAnother", records: &fakeRecords{steal: &theirs},
			want: []string{"windows.store", "/ours on host here", "/theirs on host there"},
		},
		{
			name: "AnotherThatWasSet", records: &fakeRecords{record: &theirs, seen: map[string]time.Time{}},
			want: []string{"windows.store", "/ours on host here", "/theirs on host there", "terminate the workflow pipe/store"},
		},
		{
			name: "AnotherOfThisHostThatWasSet", records: &fakeRecords{record: &storeRecord{ID: "2", Place: "/ours", Host: "here"}},
			want: []string{"windows.store"},
		},
		{
			name: "DefaultOfAHostThatLives", byDefault: true,
			records: &fakeRecords{record: &theirs, seen: map[string]time.Time{"me": long}, polling: []string{"you", "me"}},
			want:    []string{"you has it", "Set windows.store to one directory that all executors share"}, took: aliveLook,
		},
		{
			name: "DefaultOfAHostThatAppears", byDefault: true,
			records: &fakeRecords{record: &theirs, seen: map[string]time.Time{"old": long}, polling: []string{"you"}},
			want:    []string{"you has it"}, took: aliveLook,
		},
		{
			name: "DefaultOfAHostThatIsGone", byDefault: true, took: aliveFor,
			records: &fakeRecords{record: &theirs, seen: map[string]time.Time{"you": long, "me": long}, polling: []string{"me"}},
		},
		{
			name: "DefaultOfNobody", byDefault: true,
			records: &fakeRecords{record: &theirs, seen: map[string]time.Time{"me": long}, polling: []string{"me"}},
		},
		{
			name: "DefaultThatWasEmptied", byDefault: true,
			records: &fakeRecords{record: &storeRecord{ID: "2", Place: "/ours", Host: "here"}, seen: map[string]time.Time{}, polling: []string{"you"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			synctest.Test(t, func(t *testing.T) {
				c := &claim{
					store: &fakeStore{id: "1", place: "/ours"}, byDefault: tt.byDefault, host: "here", worker: "me",
					records: tt.records, log: zap.NewNop(),
				}
				began := time.Now()
				err := c.check(t.Context())
				require.Equal(t, tt.took, time.Since(began))
				if tt.want == nil {
					require.NoError(t, err)
					require.Equal(t, "1", tt.records.record.ID)
					if tt.name != "TheSame" && tt.name != "FasterWithTheSame" {
						require.Equal(t, ours, *tt.records.record)
					}
					return
				}
				require.True(t, isForeign(err), "%v", err)
				for _, want := range tt.want {
					require.ErrorContains(t, err, want)
				}
				require.Equal(t, "2", tt.records.record.ID, "the record stays")
			})
		})
	}

	// Of two executors with the same host name and directories of their own, each
	// has the default directory of this host and no reason to think that it is
	// another.
	t.Run("TwoOfOneHostDoNotTakeTurns", func(t *testing.T) {
		t.Parallel()

		records := &fakeRecords{}
		executor := func(id string) (*fakeStore, *claim) {
			s := &fakeStore{id: id, place: "/ours"}
			return s, &claim{store: s, byDefault: true, host: "here", worker: "w" + id, records: records, log: zap.NewNop()}
		}
		_, first := executor("1")
		require.NoError(t, first.check(t.Context()))
		require.NoError(t, first.check(t.Context()))
		store, second := executor("2")
		require.NoError(t, second.check(t.Context()), "it may be the first after the directory was emptied")
		err := first.check(t.Context())
		require.True(t, isForeign(err), "%v", err)
		require.ErrorContains(t, err, "is another directory. Set windows.store to one directory that all executors share")
		require.Equal(t, "2", records.record.ID, "the record stays")
		require.NoError(t, second.check(t.Context()))

		// Its directory is emptied while it runs.
		store.id = "3"
		require.NoError(t, second.check(t.Context()))
		require.Equal(t, "3", records.record.ID)
	})

	t.Run("WhatCannotBeReadIsNoForeignStore", func(t *testing.T) {
		t.Parallel()

		c := &claim{store: &fakeStore{err: errors.New("bucket is away")}, records: &fakeRecords{}, log: zap.NewNop()}
		err := c.check(t.Context())
		require.ErrorContains(t, err, "windows.store: bucket is away")
		require.False(t, isForeign(err))
		c = &claim{store: &fakeStore{id: "1"}, records: &fakeRecords{err: errors.New("Temporal is away")}, log: zap.NewNop()}
		err = c.check(t.Context())
		require.ErrorContains(t, err, "Temporal is away")
		require.False(t, isForeign(err))
	})
}

func TestOpenStore(t *testing.T) {
	t.Parallel()

	cfg := settings()
	cfg.Windows.Store = "s3://bucket/prefix?region=eu-central-1&endpoint=http://127.0.0.1:1"
	store, byDefault, err := openStore(t.Context(), cfg)
	require.NoError(t, err)
	require.False(t, byDefault)
	require.Equal(t, "s3://bucket/prefix", store.String())

	cfg.Windows.Store = t.TempDir()
	store, byDefault, err = openStore(t.Context(), cfg)
	require.NoError(t, err)
	require.False(t, byDefault)
	require.Equal(t, cfg.Windows.Store, store.String())
	require.NoError(t, store.Close())

	cfg.Windows.Store = "gs://bucket"
	_, _, err = openStore(t.Context(), cfg)
	require.Error(t, err)
}

// realBundle is a real server, and the records of a pipeline of its own.
type realBundle struct {
	client              client.Client
	namespace, pipeline string
	records             *temporalRecords
}

func setupReal(t *testing.T) *realBundle {
	t.Helper()

	c, namespace := servicestest.TemporalClient(t)
	pipeline := "pipe/" + uuid.NewString()
	return &realBundle{client: c, namespace: namespace, pipeline: pipeline, records: &temporalRecords{client: c, pipeline: pipeline}}
}

func TestTemporalRecords(t *testing.T) {
	t.Parallel()

	b := setupReal(t)
	first, second := storeRecord{ID: "1", Place: "/one", Host: "a"}, storeRecord{ID: "2", Place: "/two", Host: "b"}
	_, ok, err := b.records.Read(t.Context())
	require.NoError(t, err)
	require.False(t, ok)

	for _, step := range []struct {
		write   storeRecord
		replace bool
		written bool
		want    storeRecord
	}{
		{first, false, true, first},
		{second, false, false, first},
		{second, true, true, second},
	} {
		written, err := b.records.Write(t.Context(), step.write, step.replace)
		require.NoError(t, err)
		require.Equal(t, step.written, written)
		got, ok, err := b.records.Read(t.Context())
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, step.want, got)
	}
	require.NoError(t, b.client.TerminateWorkflow(t.Context(), b.records.Where(), "", "the store is gone"))
	_, ok, err = b.records.Read(t.Context())
	require.NoError(t, err)
	require.False(t, ok, "an operator may make room for another")
	written, err := b.records.Write(t.Context(), first, false)
	require.NoError(t, err)
	require.True(t, written)

	w := worker.New(b.client, workflows.TaskQueue(b.pipeline), worker.Options{Identity: "an executor"})
	w.RegisterWorkflowWithOptions((&workflows.Workflows{}).Store, workflow.RegisterOptions{Name: workflows.StoreWorkflow})
	require.NoError(t, w.Start())
	defer w.Stop()
	require.Eventually(t, func() bool {
		seen, err := b.records.Executors(t.Context())
		return err == nil && !seen["an executor"].IsZero()
	}, 60*time.Second, 100*time.Millisecond)
	_, ok, err = b.records.Read(t.Context())
	require.NoError(t, err)
	require.True(t, ok, "the record does not end when executors poll")
}

func TestSweeper_InUse(t *testing.T) {
	t.Parallel()

	b := setupReal(t)
	s := &sweeper{windows: b.client, namespace: b.namespace, pipeline: b.pipeline, maxAge: time.Hour, log: zap.NewNop()}
	queue := workflows.TaskQueue(b.pipeline)
	start := func(name string) string {
		id := b.pipeline + "/in/0/" + name + "/1"
		_, err := b.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: queue}, "Window")
		require.NoError(t, err)
		return id
	}
	w := worker.New(b.client, queue, worker.Options{})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		if id := workflow.GetInfo(ctx).WorkflowExecution.ID; id != b.pipeline+"/in/0/completed/1" {
			ctx.Done().Receive(ctx, nil)
		}
		return ctx.Err()
	}, workflow.RegisterOptions{Name: "Window"})
	require.NoError(t, w.Start())
	defer w.Stop()

	open, terminated, completed := start("open"), start("terminated"), start("completed")
	require.NoError(t, b.client.TerminateWorkflow(t.Context(), terminated, "", "on purpose"))
	require.NoError(t, b.client.GetWorkflow(t.Context(), completed, "").Get(t.Context(), nil))
	for prefix, want := range map[string]bool{
		open: true, terminated: true, completed: false,
		b.pipeline + "/in/0/gone/1":  false,
		"another pipeline/in/0/e/1":  true,
		b.pipeline + "/not a window": true,
		"":                           true,
	} {
		used, err := s.inUse(t.Context(), prefix)
		require.NoError(t, err)
		require.Equal(t, want, used, prefix)
	}
	age, err := s.age(t.Context())
	require.NoError(t, err)
	require.Greater(t, age, time.Hour, "at least the retention of the namespace")
}
