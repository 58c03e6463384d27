package app

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/workflows"
)

const (
	// sweepEvery is how often old objects of the blob store are removed by each
	// executor, at a moment of its own.
	sweepEvery = time.Hour

	// claimEvery is how often an executor looks whether its store still is the
	// pipeline's.
	claimEvery = time.Minute
)

// startStore opens the blob store, makes sure that it is the one all executors
// of the pipeline have, and keeps it clean.
func (a *App) startStore(ctx context.Context, c client.Client, worker string) (blobs.Store, error) {
	store, byDefault, err := openStore(ctx, a.cfg)
	if err != nil {
		return nil, fmt.Errorf("opening windows.store: %w", err)
	}
	a.ends.push("the blob store", func(context.Context) error { return store.Close() })
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("reading the name of this host: %w", err)
	}
	cl := &claim{
		store: store, byDefault: byDefault, host: host, worker: worker, log: a.log,
		records: &temporalRecords{client: c, pipeline: a.cfg.Pipeline},
	}
	if err := cl.check(ctx); err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() {
		a.watchStore(run, cl)
		done <- struct{}{}
	}()
	go func() {
		s := &sweeper{store: store, windows: c, namespace: a.cfg.Temporal.Namespace, pipeline: a.cfg.Pipeline, maxAge: a.cfg.Windows.StoreMaxAge, log: a.log}
		s.run(run)
		done <- struct{}{}
	}()
	a.ends.push("cleaning the blob store", func(ctx context.Context) error {
		cancel()
		return awaited(ctx, func() { <-done; <-done })
	})
	return store, nil
}

// openStore opens what windows.store names, or a directory for the executors of
// this host.
func openStore(ctx context.Context, cfg *config.Config) (store blobs.Backend, byDefault bool, err error) {
	s, remote, err := cfg.Windows.S3()
	switch {
	case err != nil:
		return nil, false, err
	case remote:
		store, err = blobs.NewS3(ctx, blobs.S3Config{
			Bucket: s.Bucket, Prefix: s.Prefix, Region: s.Region, Endpoint: s.Endpoint, VirtualHost: !s.PathStyle,
		})
		return store, false, err
	case cfg.Windows.Store == "":
		store, err = blobs.NewDir(filepath.Join(os.TempDir(), "drakkar-"+filepath.Base(cfg.Pipeline)))
		return store, true, err
	default:
		store, err = blobs.NewDir(cfg.Windows.Store)
		return store, false, err
	}
}

// watchStore looks again and again whether the store is the pipeline's. An
// executor that has another one cannot go on: it would not find what others
// put.
func (a *App) watchStore(ctx context.Context, cl *claim) {
	tick := time.NewTicker(claimEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := cl.check(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
		case isForeign(err):
			a.fail(err)
			return
		default:
			a.log.Warn("looking whether windows.store is the pipeline's", zap.Error(err))
		}
	}
}

// sweeper removes what no window needs any more.
type sweeper struct {
	store               blobs.Backend
	windows             client.Client
	namespace, pipeline string
	maxAge              time.Duration
	log                 *zap.Logger
}

// run sweeps once an interval, each time at another moment of it, so that
// executors which started together do not sweep together.
func (s *sweeper) run(ctx context.Context) {
	//nolint:gosec // a moment, not a secret
	for wait := rand.N(sweepEvery); ; wait = sweepEvery/2 + rand.N(sweepEvery) {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		s.sweep(ctx)
	}
}

func (s *sweeper) sweep(ctx context.Context) {
	age, err := s.age(ctx)
	removed := 0
	if err == nil {
		removed, err = s.store.Sweep(ctx, age, s.inUse)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("removing old objects of windows.store", zap.Error(err))
	}
	if removed > 0 {
		s.log.Info("removed old objects of windows.store", zap.Int("objects", removed))
	}
}

// age is how old an object gets: as long as its window may be looked at.
func (s *sweeper) age(ctx context.Context) (time.Duration, error) {
	res, err := s.windows.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: s.namespace})
	if err != nil {
		return 0, fmt.Errorf("reading the retention of namespace %s: %w", s.namespace, err)
	}
	return max(s.maxAge, res.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration()), nil
}

// inUse is blobs.InUse: a window that has not ended well may go on, and then it
// needs what it has put. What belongs to another pipeline is not ours to judge.
func (s *sweeper) inUse(ctx context.Context, prefix string) (bool, error) {
	link, err := workflows.ParseWorkflowID(prefix)
	if err != nil || link.Pipeline != s.pipeline {
		return true, nil //nolint:nilerr // it is no window of ours
	}
	res, err := s.windows.DescribeWorkflowExecution(ctx, prefix, "")
	if notFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return res.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, nil
}

func notFound(err error) bool {
	_, ok := errors.AsType[*serviceerror.NotFound](err)
	return ok
}
