package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/workflows"
)

const (
	// aliveFor is how long executors that may have the recorded store are looked
	// for: a poll of Temporal takes a minute at most, then the next one begins.
	aliveFor  = 75 * time.Second
	aliveLook = 5 * time.Second

	// claimTries bounds how often a claim begins again because another executor
	// claimed at the same time.
	claimTries = 5
)

// storeRecord is what the pipeline knows of its blob store.
type storeRecord struct {
	ID    string // of the store
	Place string // for people
	Host  string // that recorded it
}

// storeRecords is where the record is kept: one for each pipeline, out of every
// store. It is safe for concurrent use.
type storeRecords interface {
	// Read returns the record; ok is false when there is none.
	Read(ctx context.Context) (r storeRecord, ok bool, err error)

	// Write records a store. A record that is there stays, unless replace; then
	// written is false.
	Write(ctx context.Context, r storeRecord, replace bool) (written bool, err error)

	// Executors are those that were heard of lately, by name, and when.
	Executors(ctx context.Context) (map[string]time.Time, error)

	// Where names the record for people.
	Where() string
}

// claim makes sure that this executor has the store of its pipeline. The first
// executor records the id of its store; others must find the same id in theirs.
type claim struct {
	store     blobs.Backend
	byDefault bool // windows.store is not set
	host      string
	worker    string
	records   storeRecords
	log       *zap.Logger

	// confirmed is the id of this store that was the recorded one last.
	confirmed string
}

// foreignError says that the store is not the pipeline's.
type foreignError struct{ text string }

// Error implements error.
func (e *foreignError) Error() string { return e.text }

func isForeign(err error) bool {
	_, ok := errors.AsType[*foreignError](err)
	return ok
}

// check compares the store with the record, and makes the record when there is
// none.
func (c *claim) check(ctx context.Context) error {
	id, err := c.store.ID(ctx)
	if err != nil {
		return fmt.Errorf("windows.store: %w", err)
	}
	own := storeRecord{ID: id, Place: c.store.String(), Host: c.host}
	for range claimTries {
		known, ok, err := c.records.Read(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("reading which windows.store the pipeline has: %w", err)
		case ok && known.ID == own.ID:
			c.confirmed = own.ID
			return nil
		case ok:
			if err := c.takeOver(ctx, own, known); err != nil {
				return err
			}
		}
		written, err := c.records.Write(ctx, own, ok)
		if err != nil {
			return fmt.Errorf("recording which windows.store the pipeline has: %w", err)
		}
		if written { // should another have replaced it meanwhile, the next check sees it
			c.confirmed = own.ID
			return nil
		}
	}
	return errors.New("claiming windows.store: other executors claim theirs at the same time")
}

// takeOver decides whether this store may take the place of the recorded one. A
// store that somebody has set may not: what lies in the other would be lost
// without a word. The default directory goes with its host, so it may once
// nobody else has the one that is recorded.
//
// A directory of this host that was emptied has a new id. When the record is
// another although ours is the one that was recorded, an executor with the same
// host name has a directory of its own, as in a container with its own /tmp.
func (c *claim) takeOver(ctx context.Context, own, known storeRecord) error {
	if !c.byDefault {
		return c.foreign(known, "")
	}
	if known.Host == c.host && own.ID == c.confirmed {
		return c.foreign(known, "It has the same name and is another directory. ")
	}
	if known.Host != c.host {
		others, err := c.alive(ctx)
		if err != nil {
			return fmt.Errorf("looking for executors that have another windows.store: %w", err)
		}
		if len(others) > 0 {
			return c.foreign(known, strings.Join(others, ", ")+" has it. ")
		}
	}
	c.log.Warn("the pipeline's windows.store was " + known.Place + " of host " + known.Host + ", which is gone. It is " +
		c.store.String() + " of this host now; what windows had left in the other is lost")
	return nil
}

func (c *claim) foreign(known storeRecord, who string) error {
	do := "Set windows.store to one directory that all executors share, or to a bucket"
	if !c.byDefault {
		do = "Let windows.store of all executors lead to the same place. When the other one is gone for good, or empty and out of use, " +
			"stop all executors and terminate the workflow " + c.records.Where() + ": the next executor records its own"
	}
	return &foreignError{text: fmt.Sprintf("windows.store: %s on host %s is not what the pipeline's executors share, that is %s on host %s. %s%s",
		c.store, c.host, known.Place, known.Host, who, do)}
}

// alive are the other executors that are heard of while it looks.
func (c *claim) alive(ctx context.Context) ([]string, error) {
	before, err := c.records.Executors(ctx)
	if err != nil {
		return nil, err
	}
	delete(before, c.worker)
	tick := time.NewTicker(aliveLook)
	defer tick.Stop()
	if len(before) > 0 {
		c.log.Info("waiting to see whether other executors of the pipeline are alive: windows.store of this one is not theirs")
	}
	for end := time.Now().Add(aliveFor); len(before) > 0 && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
		now, err := c.records.Executors(ctx)
		if err != nil {
			return nil, err
		}
		var heard []string
		for name, at := range now {
			if name != c.worker && at.After(before[name]) {
				heard = append(heard, name)
			}
		}
		if len(heard) > 0 {
			slices.Sort(heard)
			return heard, nil
		}
	}
	return nil, nil
}

// temporalRecords keeps the record as the memo of a workflow that never ends.
type temporalRecords struct {
	client   client.Client
	pipeline string
}

var _ storeRecords = (*temporalRecords)(nil)

// Where implements storeRecords.
func (t *temporalRecords) Where() string { return workflows.StoreWorkflowID(t.pipeline) }

// Read implements storeRecords.
func (t *temporalRecords) Read(ctx context.Context) (r storeRecord, ok bool, err error) {
	res, err := t.client.DescribeWorkflowExecution(ctx, t.Where(), "")
	if notFound(err) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	info := res.GetWorkflowExecutionInfo()
	if info.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return r, false, nil // somebody ended it, so that it is made again
	}
	for key, to := range map[string]*string{
		workflows.MemoStoreID: &r.ID, workflows.MemoStorePlace: &r.Place, workflows.MemoStoreHost: &r.Host,
	} {
		if err := converter.GetDefaultDataConverter().FromPayload(info.GetMemo().GetFields()[key], to); err != nil {
			return r, false, fmt.Errorf("reading the memo %s of workflow %s: %w", key, t.Where(), err)
		}
	}
	return r, true, nil
}

// Write implements storeRecords.
func (t *temporalRecords) Write(ctx context.Context, r storeRecord, replace bool) (written bool, err error) {
	conflict := enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL
	if replace {
		conflict = enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
	}
	_, err = t.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: t.Where(), TaskQueue: workflows.TaskQueue(t.pipeline),
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, WorkflowIDConflictPolicy: conflict,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		Memo: map[string]any{
			workflows.MemoStoreID: r.ID, workflows.MemoStorePlace: r.Place, workflows.MemoStoreHost: r.Host,
		},
		StaticSummary: "the pipeline's blob store: " + r.Place,
	}, workflows.StoreWorkflow)
	if _, exists := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); exists {
		return false, nil
	}
	return err == nil, err
}

// Executors implements storeRecords: every executor polls for windows.
func (t *temporalRecords) Executors(ctx context.Context) (map[string]time.Time, error) {
	res, err := t.client.DescribeTaskQueue(ctx, workflows.TaskQueue(t.pipeline), enumspb.TASK_QUEUE_TYPE_WORKFLOW)
	if err != nil {
		return nil, err
	}
	out := map[string]time.Time{}
	for _, p := range res.GetPollers() {
		out[p.GetIdentity()] = p.GetLastAccessTime().AsTime()
	}
	return out, nil
}
