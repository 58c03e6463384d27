package activities

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/executor"
	"github.com/drakkar-go/drakkar/workflows"
)

// Execute runs one attempt of each task of a batch, with the hooks that belong
// to it. What is finished is recorded in heartbeats: when the worker dies, only
// what was running then runs again. A worker that stops hands back what it has
// not begun.
func (a *Activities) Execute(ctx context.Context, in workflows.ExecuteInput) (workflows.Outcome, error) {
	specs, err := blobs.Unpack(ctx, a.Blobs, in.Batch.Tasks)
	if err != nil {
		a.Admission.Arrived(0).Close()
		return workflows.Outcome{}, lost(err)
	}
	run := &batchRun{a: a, in: in, specs: specs, done: make([]*taskDone, len(specs))}
	if err := run.resume(ctx); err != nil {
		a.Admission.Arrived(0).Close()
		return workflows.Outcome{}, err
	}
	run.batch = a.Admission.Arrived(run.left())
	defer run.batch.Close()

	stop := run.heartbeat(ctx)
	defer stop() // packing what came of the tasks takes its time too
	run.all(ctx)
	return run.outcome(ctx)
}

// batchRun is one run of Execute.
type batchRun struct {
	a     *Activities
	in    workflows.ExecuteInput
	specs []workflows.TaskSpec
	batch *executor.Batch

	mu    sync.Mutex
	done  []*taskDone // by position in specs
	fresh []*taskDone // not in a heartbeat yet

	kept []blobs.List[taskDone] // what heartbeats hold
}

// taskDone is what one task came to. It travels in heartbeats.
type taskDone struct {
	I int `json:"i"`

	Settled   bool `json:"settled,omitempty"`
	Succeeded bool `json:"succeeded,omitempty"`

	// Again is the task itself, to be attempted again after a pause; Replaced
	// are the tasks instead of it.
	Again    *workflows.TaskSpec  `json:"again,omitempty"`
	After    time.Duration        `json:"after,omitempty"`
	Replaced []workflows.TaskSpec `json:"replaced,omitempty"`

	Outputs []workflows.Output    `json:"outputs,omitempty"`
	Record  *workflows.TaskRecord `json:"record,omitempty"`
	Letter  *workflows.Letter     `json:"letter,omitempty"`
	Call    *workflows.TaskCall   `json:"call,omitempty"`
	Stage   workflows.Stage       `json:"stage,omitempty"`
	Error   string                `json:"error,omitempty"`
}

// left is the number of tasks that need a slot.
func (r *batchRun) left() int {
	n := 0
	for i, s := range r.specs {
		if r.done[i] == nil && s.Precomputed == nil {
			n++
		}
	}
	return n
}

// all runs every task that is not done yet. When the worker stops, so does the
// pool: tasks that wait for a slot come back from it at once, unharmed.
func (r *batchRun) all(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range r.specs {
		if r.done[i] == nil {
			wg.Go(func() { r.finish(r.one(ctx, i)) })
		}
	}
	wg.Wait()
}

func (r *batchRun) finish(d *taskDone) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done[d.I] = d
	if !d.handedBack(r.specs[d.I]) {
		r.fresh = append(r.fresh, d)
	}
}

// handedBack reports whether the attempt was not made, or not to its end.
func (d *taskDone) handedBack(spec workflows.TaskSpec) bool {
	return d.Again != nil && d.Again.Attempt == spec.Attempt
}

// one runs one attempt and the hooks behind it.
func (r *batchRun) one(ctx context.Context, i int) *taskDone {
	spec := r.specs[i]
	d := &taskDone{I: i}
	res, err := r.a.Pool.Run(ctx, r.job(spec))
	if te, failed := taskError(err); failed {
		r.failed(ctx, spec, te, d)
		return d
	}
	if err != nil { // not the task's fault: it has not run, or was cut off
		d.Again = &spec
		return d
	}
	if spec.Precomputed == nil {
		r.a.taskTime.observe(res.Duration)
	}
	r.succeeded(ctx, spec, res, d)
	return d
}

func (r *batchRun) job(spec workflows.TaskSpec) executor.Job {
	priority, err := r.a.Pipeline.Priority(spec.Task)
	if err != nil {
		r.a.Events.Record(events.HookRan{Hook: "task_priority", TaskID: spec.ID, Err: err})
	}
	job := executor.Job{
		Task: spec.Task, Attempt: spec.Attempt, At: at(r.in.Window, spec.SourceOffsets[0]),
		Priority: priority, Started: r.batch.Started,
	}
	if r.a.Pipeline.Hooks().Execute {
		job.Execute = r.a.Pipeline.Execute
	}
	return job
}

func taskError(err error) (drakkar.TaskError, bool) {
	var te drakkar.TaskError
	if err == nil {
		return te, false
	}
	ok := errors.As(err, &te)
	return te, ok
}

// succeeded calls on_task_complete; when it fails even the second time, it is
// left to the workflow to call it again, durably.
func (r *batchRun) succeeded(ctx context.Context, spec workflows.TaskSpec, res drakkar.Result, d *taskDone) {
	outputs, err := r.a.taskComplete(ctx, r.in.Window, spec, res)
	if err != nil {
		outputs, err = r.a.taskComplete(ctx, r.in.Window, spec, res)
	}
	if err != nil {
		d.Stage, d.Error = workflows.StageTask, errorText(err)
		d.Call = &workflows.TaskCall{Spec: spec, Result: &res}
		return
	}
	d.Settled, d.Succeeded, d.Outputs = true, true, outputs
	if r.in.Records {
		d.Record = &workflows.TaskRecord{ID: spec.ID, Offsets: spec.SourceOffsets, Result: &res}
	}
}

// failed asks on_error what to do.
func (r *batchRun) failed(ctx context.Context, spec workflows.TaskSpec, te drakkar.TaskError, d *taskDone) {
	err := r.a.decide(ctx, r.in.Window, spec, te, d)
	if err != nil {
		err = r.a.decide(ctx, r.in.Window, spec, te, d)
	}
	if err != nil {
		d.Stage, d.Error = workflows.StageError, errorText(err)
		d.Call = &workflows.TaskCall{Spec: spec, Error: &te}
		return
	}
	if d.Settled && r.in.Records {
		d.Record = record(spec, te, d)
	}
}

// record is what hooks are told of a task that failed: its error, or nothing
// when it was replaced.
func record(spec workflows.TaskSpec, te drakkar.TaskError, d *taskDone) *workflows.TaskRecord {
	rec := &workflows.TaskRecord{ID: spec.ID, Offsets: spec.SourceOffsets}
	if d.Replaced == nil {
		rec.Error = &te
	}
	return rec
}

// outcome merges what the tasks came to, in the order of the batch.
func (r *batchRun) outcome(ctx context.Context) (workflows.Outcome, error) {
	return r.a.merge(ctx, r.in.Window, r.specs, r.done)
}

// merge is what tasks came to, as the workflow needs it.
func (a *Activities) merge(ctx context.Context, w workflows.WindowRef, specs []workflows.TaskSpec, done []*taskDone) (out workflows.Outcome, err error) {
	var settled, handed []workflows.TaskSpec
	var m merged
	for i, d := range done {
		if d.handedBack(specs[i]) {
			handed = append(handed, *d.Again)
		}
		if d.Settled {
			settled = append(settled, specs[i])
		}
		m.add(specs[i], d)
	}
	out.Settled = counts(settled)
	out.Succeeded, out.Failed = m.succeeded, m.failed
	if err := a.packMerged(ctx, w, m, &out); err != nil {
		return out, err
	}
	if out.FollowUps, err = a.followUps(ctx, w, m, handed); err != nil {
		return out, err
	}
	return out, nil
}

// merged are the parts of many taskDones.
type merged struct {
	outputs   []workflows.Output
	records   []workflows.TaskRecord
	letters   []workflows.Letter
	calls     []pendingCall
	again     map[time.Duration][]workflows.TaskSpec
	replaced  []workflows.TaskSpec
	succeeded int
	failed    int
}

type pendingCall struct {
	stage workflows.Stage
	call  workflows.TaskCall
	err   string
}

func (m *merged) add(spec workflows.TaskSpec, d *taskDone) {
	m.outputs = append(m.outputs, d.Outputs...)
	m.replaced = append(m.replaced, d.Replaced...)
	if d.Record != nil {
		m.records = append(m.records, *d.Record)
	}
	if d.Letter != nil {
		m.letters = append(m.letters, *d.Letter)
	}
	if d.Call != nil {
		m.calls = append(m.calls, pendingCall{stage: d.Stage, call: *d.Call, err: d.Error})
	}
	if d.Again != nil && !d.handedBack(spec) {
		if m.again == nil {
			m.again = map[time.Duration][]workflows.TaskSpec{}
		}
		m.again[d.After] = append(m.again[d.After], *d.Again)
	}
	switch {
	case d.Succeeded:
		m.succeeded++
	case d.Settled && d.Replaced == nil:
		m.failed++
	}
}

// packMerged packs the lists of a result.
func (a *Activities) packMerged(ctx context.Context, w workflows.WindowRef, m merged, out *workflows.Outcome) (err error) {
	p := prefix(w)
	if out.Outputs, err = blobs.Pack(ctx, a.Blobs, p, w.InlineLimit, m.outputs); err != nil {
		return err
	}
	if out.Records, err = blobs.Pack(ctx, a.Blobs, p, w.InlineLimit, m.records); err != nil {
		return err
	}
	if out.Letters, err = blobs.Pack(ctx, a.Blobs, p, w.InlineLimit/2, m.letters); err != nil {
		return err
	}
	for _, l := range m.letters {
		out.LetterOffsets = append(out.LetterOffsets, l.Offset)
	}
	slices.Sort(out.LetterOffsets)
	out.LetterOffsets = slices.Compact(out.LetterOffsets)
	room := w.InlineLimit / 2
	for _, c := range m.calls {
		list, err := blobs.Pack(ctx, a.Blobs, p, max(0, room), []workflows.TaskCall{c.call})
		if err != nil {
			return err
		}
		room -= list.Inline()
		out.Calls = append(out.Calls, workflows.HookCall{
			Stage: c.stage, Task: list, Offsets: c.call.Spec.SourceOffsets, Attempts: 1, Error: c.err,
		})
	}
	return nil
}

// followUps are the batches that follow: what a stopping worker hands back,
// attempts to repeat, one batch for each pause, and replacements.
func (a *Activities) followUps(ctx context.Context, w workflows.WindowRef, m merged, handed []workflows.TaskSpec) ([]workflows.Batch, error) {
	room := w.InlineLimit / 2
	var out []workflows.Batch
	add := func(specs []workflows.TaskSpec, after time.Duration, fresh bool) error {
		if len(specs) == 0 {
			return nil
		}
		b, err := a.batch(ctx, w, specs, room)
		if err != nil {
			return err
		}
		room -= b.Tasks.Inline()
		b.After = after
		if fresh {
			b.New = b.Counts
		}
		out = append(out, b)
		return nil
	}
	if err := add(handed, 0, false); err != nil {
		return nil, err
	}
	for after, specs := range coarse(m.again) {
		if err := add(specs, after, false); err != nil {
			return nil, err
		}
	}
	for _, part := range cut(m.replaced, a.taskTime.value()) {
		if err := add(part, 0, true); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// maxPauses is how many batches the retries of one outcome make: handlers may
// ask for another pause for every task.
const maxPauses = 8

// coarse yields the tasks of each pause, the shortest first. Where there are
// too many pauses, neighbours share the longest of theirs.
func coarse(again map[time.Duration][]workflows.TaskSpec) func(func(time.Duration, []workflows.TaskSpec) bool) {
	return func(yield func(time.Duration, []workflows.TaskSpec) bool) {
		pauses := slices.Sorted(maps.Keys(again))
		size := max(1, (len(pauses)+maxPauses-1)/maxPauses)
		for group := range slices.Chunk(pauses, size) {
			var specs []workflows.TaskSpec
			for _, p := range group {
				specs = append(specs, again[p]...)
			}
			if !yield(group[len(group)-1], specs) {
				return
			}
		}
	}
}

// replacement completes a task that replaces another: it inherits offsets, and
// may not name others.
func replacement(parent workflows.TaskSpec, t drakkar.Task, n int) workflows.TaskSpec {
	index := parent.Index + "." + strconv.Itoa(n)
	if t.ID == "" || t.ID == parent.ID { // a copy of the task that was changed
		t.ID = parent.ID + "." + strconv.Itoa(n)
	}
	t.ParentID = cmp.Or(t.ParentID, parent.ID)
	if len(t.SourceOffsets) == 0 {
		t.SourceOffsets = parent.SourceOffsets
	}
	return workflows.TaskSpec{Task: t, Index: index, Attempt: 1, Depth: parent.Depth + 1}
}
