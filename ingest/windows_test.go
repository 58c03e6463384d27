package ingest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/workflows"
)

// fakeWindows is Temporal as far as ingest sees it. A window id that was used
// once is used for ever, whether its workflow runs or is closed.
type fakeWindows struct {
	mu        sync.Mutex
	byID      map[string]*fakeWindow
	order     []string
	changed   chan struct{}
	retention time.Duration
	rebalance []workflows.RebalanceInput

	// completes makes windows end as soon as they are started.
	completes bool
	// startErr, describeErr and checkErr are returned, when set, before anything
	// happens.
	startErr    func(workflows.WindowInput) error
	describeErr func(id string) error
	deadErr     func() error
	checkErr    error
	isRemoved   map[string]bool

	looked map[string]int // how often Describe was called
}

type fakeWindow struct {
	in       workflows.WindowInput
	status   string // running, completed, or how it ended without a result
	finished []workflows.Range
	started  time.Time
	starts   int // how often Start was called for it
	reruns   int
}

var _ Windows = (*fakeWindows)(nil)

func newFakeWindows() *fakeWindows {
	return &fakeWindows{byID: map[string]*fakeWindow{}, isRemoved: map[string]bool{}, looked: map[string]int{}, changed: make(chan struct{}), retention: 240 * time.Hour}
}

func (f *fakeWindows) Start(ctx context.Context, in workflows.WindowInput) error {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.startErr != nil {
		if err := f.startErr(in); err != nil {
			return err
		}
	}
	id := in.WorkflowID()
	if w := f.byID[id]; w != nil {
		w.starts++
		return ErrAlreadyStarted
	}
	status := "running"
	if f.completes {
		status = "completed"
	}
	f.byID[id] = &fakeWindow{in: in, status: status, finished: in.Finished, started: time.Now(), starts: 1}
	if !f.isRemoved[id] {
		f.order = append(f.order, id)
	}
	f.notify()
	return ctx.Err()
}

func (f *fakeWindows) Describe(_ context.Context, id string) (Description, error) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.describeErr != nil {
		if err := f.describeErr(id); err != nil {
			return Description{}, err
		}
	}
	f.looked[id]++
	w := f.byID[id]
	if w == nil {
		return Description{}, ErrNotFound
	}
	return Description{
		Last: w.in.Last, Messages: len(w.in.Messages), Completed: w.status == "completed",
		Finished: w.finished, Started: w.started, DeadLetter: w.in.DeadLetter,
	}, nil
}

func (f *fakeWindows) Wait(ctx context.Context, id string) (workflows.WindowResult, error) {
	slice := time.NewTimer(20 * time.Millisecond)
	defer slice.Stop()

	for {
		f.mu.Lock()
		w, changed := f.byID[id], f.changed
		status := ""
		if w != nil {
			status = w.status
		}
		f.mu.Unlock()

		switch status {
		case "":
			return workflows.WindowResult{}, ErrNotFound
		case "running":
		case "completed":
			return workflows.WindowResult{Messages: len(w.in.Messages), Last: w.in.Last}, nil
		default:
			return workflows.WindowResult{}, &ClosedError{Status: status}
		}
		select {
		case <-changed:
		case <-slice.C:
			return workflows.WindowResult{}, ErrNotYet
		case <-ctx.Done():
			return workflows.WindowResult{}, context.Cause(ctx)
		}
	}
}

func (f *fakeWindows) Reset(_ context.Context, id, _ string, maxRuns int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()

	w := f.byID[id]
	switch {
	case w == nil:
		return 0, ErrNotFound
	case w.status == "running" || w.status == "completed":
		return 0, nil
	case w.reruns >= maxRuns:
		return 0, ErrNoRerun
	}
	w.reruns++
	w.status = "running"
	f.notify()
	return w.reruns, nil
}

func (f *fakeWindows) DeadLetter(_ context.Context, id, reason string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.deadErr != nil {
		if err := f.deadErr(); err != nil {
			return false, err
		}
	}
	w := f.byID[id]
	switch {
	case w == nil:
		return false, ErrNotFound
	case w.status == "completed" || w.status == "running" && w.in.DeadLetter:
		return false, nil
	}
	f.byID[id] = &fakeWindow{
		in: rest(w.in, w.finished, reason), status: "running", finished: w.finished, started: time.Now(), starts: 1,
	}
	f.notify()
	return true, nil
}

func (f *fakeWindows) CancelOld(_ context.Context, link workflows.Link) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()

	for _, w := range f.byID {
		l := w.in.Link
		if w.status == "running" && l.Topic == link.Topic && l.Partition == link.Partition && l.Epoch != link.Epoch {
			w.status = "terminated"
			n++
		}
	}
	f.notify()
	return n, nil
}

func (f *fakeWindows) StartRebalance(_ context.Context, in workflows.RebalanceInput) error {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.rebalance = append(f.rebalance, in)
	return nil
}

func (f *fakeWindows) Retention(context.Context) (time.Duration, error) { return f.retention, nil }

func (f *fakeWindows) Check(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()

	return f.checkErr
}

// notify wakes those who wait; f.mu is held.
func (f *fakeWindows) notify() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// end gives windows a status.
func (f *fakeWindows) end(status string, ids ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()

	for _, id := range ids {
		f.byID[id].status = status
	}
	f.notify()
}

// completeAll ends all windows that run, and those to come.
func (f *fakeWindows) completeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.completes = true
	for _, w := range f.byID {
		w.status = "completed"
	}
	f.notify()
}

func (f *fakeWindows) remove(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()

	delete(f.byID, id)
	f.isRemoved[id] = true
	f.notify()
}

func (f *fakeWindows) setFinished(id string, ranges ...workflows.Range) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.byID[id].finished = ranges
}

// all are the windows in the order they were started.
func (f *fakeWindows) all() []fakeWindow {
	f.mu.Lock()
	defer f.mu.Unlock()

	var out []fakeWindow
	for _, id := range f.order {
		if w := f.byID[id]; w != nil {
			out = append(out, *w)
		}
	}
	return out
}

// offsets are those of the messages of all windows of a partition, in the order
// the windows were started.
func (f *fakeWindows) offsets(partition int32) []int64 {
	var out []int64
	for _, w := range f.all() {
		if w.in.Partition != partition {
			continue
		}
		for _, m := range w.in.Messages {
			out = append(out, m.Offset)
		}
	}
	return out
}

// offsetsOf are those of the messages of all windows of an epoch.
func (f *fakeWindows) offsetsOf(epoch string) []int64 {
	var out []int64
	for _, w := range f.all() {
		if w.in.Epoch != epoch {
			continue
		}
		for _, m := range w.in.Messages {
			out = append(out, m.Offset)
		}
	}
	return out
}

// awaitLooks waits until the window was looked at n times more.
func (b *testBundle) awaitLooks(t *testing.T, id string, n int) {
	t.Helper()

	looks := func() int {
		b.windows.mu.Lock()
		defer b.windows.mu.Unlock()

		return b.windows.looked[id]
	}
	before := looks()
	require.Eventually(t, func() bool { return looks() >= before+n }, eventually, soon)
}

func sorted(offsets []int64) []int64 {
	slices.Sort(offsets)
	return offsets
}

// chainError says what is wrong with the chains of the windows, if anything:
// windows of one epoch that overlap, or messages outside of their window.
func chainError(all []fakeWindow) error {
	next := map[string]int64{}
	for _, w := range all {
		l := w.in.Link
		chain := fmt.Sprintf("%s/%d/%s", l.Topic, l.Partition, l.Epoch)
		if n, ok := next[chain]; ok && n != l.Start {
			return fmt.Errorf("window %s starts at %d, its predecessor ends before %d", l.WorkflowID(), l.Start, n)
		}
		next[chain] = w.in.Last + 1
		for i, m := range w.in.Messages {
			if m.Offset < l.Start || m.Offset > w.in.Last || i > 0 && m.Offset <= w.in.Messages[i-1].Offset {
				return fmt.Errorf("window %s holds offset %d out of place", l.WorkflowID(), m.Offset)
			}
		}
	}
	return nil
}
