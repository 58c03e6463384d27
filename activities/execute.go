package activities

import (
	"cmp"
	"context"
	"errors"
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
//
// Attempts to repeat and replacements are batches of their own for the window.
// Where it asks for patience, Temporal repeats the activity after the pause
// until nothing is left to repeat: that adds nothing to the history.
func (a *Activities) Execute(ctx context.Context, in workflows.ExecuteInput) (workflows.Outcome, error) {
	run := &batchRun{a: a, in: in}
	if err := resumed(ctx, &run.told); err != nil {
		run.arrived(0).Close()
		return workflows.Outcome{}, err
	}
	// Large lists take their time in the store. The server hears of this run
	// meanwhile, or it would be repeated for ever.
	stopAlive := ticking(context.WithoutCancel(ctx), a.cfg.HeartbeatTimeout/3, func() { run.tell(ctx) })
	defer stopAlive()
	if err := run.load(ctx); err != nil {
		run.arrived(0).Close()
		return workflows.Outcome{}, err
	}
	astray := run.astray()
	run.batch = run.arrived(run.ready())
	defer run.batch.Close()

	stop := run.heartbeat(ctx)
	defer stop()
	if !astray {
		run.all(ctx)
	}
	out, next, err := run.result(ctx)
	stop()
	stopAlive()
	switch {
	case err != nil:
		run.beat(context.WithoutCancel(ctx)) // the tasks need not run again for that
		return workflows.Outcome{}, err
	case next != nil:
		return workflows.Outcome{}, repeat(ctx, errors.New(next.why), next.after, runState{From: next})
	}
	return out, nil
}

// astray reports whether the batch was meant for an executor with free slots and
// has come to one without: the server did not hand it to who took the step, or
// gave it to another after that one had died. Its tasks go back, to who polls.
func (r *batchRun) astray() bool {
	return r.in.Batch.Here && (!r.a.Pool.Room() || r.a.Admission.Unstarted() > 0)
}

// arrived counts the batch in, with its tasks that need a slot.
func (r *batchRun) arrived(tasks int) *executor.Batch {
	if r.in.Batch.Here {
		return r.a.Admission.Joined(tasks)
	}
	return r.a.Admission.Arrived(tasks)
}

// result is what came of the batch, or what the run leaves to the next one.
func (r *batchRun) result(ctx context.Context) (out workflows.Outcome, next *nextRun, err error) {
	if next = r.goesOn(ctx); next != nil {
		return out, next, r.pack(ctx, next)
	}
	out, err = r.outcome(ctx)
	return out, nil, err
}

// batchRun is one run of Execute.
type batchRun struct {
	a     *Activities
	in    workflows.ExecuteInput
	specs []workflows.TaskSpec
	units [][]int // positions in specs; those of a lane run one after the other
	batch *executor.Batch

	mu    sync.Mutex
	done  []*taskDone // by position in specs
	fresh []*taskDone // not in a heartbeat yet

	kept []blobs.List[taskDone] // what is recorded
	from *nextRun               // what an earlier run left, if this repeats one

	telling sync.Mutex
	told    runState // what heartbeats hold
}

// runState is what heartbeats hold: tasks that are finished, and what the run
// began with.
type runState struct {
	Kept []blobs.List[taskDone] `json:"kept,omitempty"`
	From *nextRun               `json:"from,omitempty"`
}

// nextRun is what a run leaves to the one that repeats it.
type nextRun struct {
	// Specs are the tasks to run.
	Specs blobs.List[workflows.TaskSpec] `json:"specs"`

	// Done are tasks that are finished, Earlier those of runs before.
	Done    blobs.List[finished]   `json:"done,omitzero"`
	Earlier []blobs.List[finished] `json:"earlier,omitempty"`

	// New counts tasks among both which the window does not know.
	New      workflows.Counts `json:"new,omitempty"`
	NewTasks int              `json:"new_tasks,omitempty"`

	specs []workflows.TaskSpec
	done  []finished
	after time.Duration // the pause before it
	why   string        // there is one
}

// finished is a task with what it came to.
type finished struct {
	Spec workflows.TaskSpec `json:"spec"`
	Done taskDone           `json:"done"`
}

// taskDone is what one task came to. It travels in heartbeats.
type taskDone struct {
	I int `json:"i"`

	Settled   bool `json:"settled,omitempty"`
	Succeeded bool `json:"succeeded,omitempty"`

	// Again is the task itself, to be attempted again after a pause; with no
	// pause it was handed back by a worker that stops. Replaced are the tasks
	// instead of it.
	Again    *workflows.TaskSpec  `json:"again,omitempty"`
	After    time.Duration        `json:"after,omitempty"`
	Replaced []workflows.TaskSpec `json:"replaced,omitzero"` // empty: by nothing

	Outputs []workflows.Output    `json:"outputs,omitempty"`
	Record  *workflows.TaskRecord `json:"record,omitempty"`
	Letter  *workflows.Letter     `json:"letter,omitempty"`
	Call    *workflows.TaskCall   `json:"call,omitempty"`
	Stage   workflows.Stage       `json:"stage,omitempty"`
	Error   string                `json:"error,omitempty"`
}

// load reads the tasks, and what earlier runs have finished.
func (r *batchRun) load(ctx context.Context) error {
	r.kept, r.from = r.told.Kept, r.told.From
	tasks := r.in.Batch.Tasks
	if r.from != nil {
		tasks = r.from.Specs
	}
	specs, err := blobs.Unpack(ctx, r.a.Blobs, tasks)
	if err != nil {
		return lost(err)
	}
	r.specs, r.units = specs, units(specs)
	r.done = make([]*taskDone, len(specs))
	return r.resume(ctx)
}

// units are the positions of tasks that run one after the other: a lane each,
// and all other tasks alone.
func units(specs []workflows.TaskSpec) [][]int {
	var out [][]int
	lanes := map[string]int{}
	for i, s := range specs {
		n, ok := lanes[s.Lane]
		if s.Lane == "" || !ok {
			n = len(out)
			out = append(out, nil)
		}
		if s.Lane != "" {
			lanes[s.Lane] = n
		}
		out[n] = append(out[n], i)
	}
	return out
}

// ready is the number of tasks that need a slot now or soon: of a lane its next.
func (r *batchRun) ready() int {
	n := 0
	for _, u := range r.units {
		if i, ok := r.next(u); ok && r.specs[i].Precomputed == nil {
			n++
		}
	}
	return n
}

// next is the task of the unit which runs next: the one behind those that are
// over. There is none when one of them has to be waited for.
func (r *batchRun) next(unit []int) (i int, ok bool) {
	for _, i := range unit {
		if r.done[i] == nil {
			return i, true
		}
		if !r.done[i].over() {
			return 0, false
		}
	}
	return 0, false
}

// over reports whether what comes behind the task may run.
func (d *taskDone) over() bool { return d.Settled && len(d.Replaced) == 0 }

// all runs every task that is not done yet. When the worker stops, so does the
// pool: tasks that wait for a slot come back from it at once, unharmed.
func (r *batchRun) all(ctx context.Context) {
	var wg sync.WaitGroup
	for _, u := range r.units {
		wg.Go(func() { r.unit(ctx, u) })
	}
	wg.Wait()
}

// unit runs the tasks of a unit until one has to be waited for.
func (r *batchRun) unit(ctx context.Context, unit []int) {
	started := r.batch.Started // counted once: the others of a lane do not wait for a slot yet
	for {
		i, ok := r.next(unit)
		if !ok {
			return
		}
		r.finish(r.guarded(ctx, i, started))
		started = nil
	}
}

// panicPause is how long a task is put off around which Drakkar itself panicked.
const panicPause = 30 * time.Second

// guarded is one. A panic outside of any hook is a mistake of Drakkar's own: it
// says nothing about the task, which is put off and loses no attempt.
func (r *batchRun) guarded(ctx context.Context, i int, started func()) (d *taskDone) {
	err := guard("execute", func() error { d = r.one(ctx, i, started); return nil })
	if err != nil {
		r.a.logPanic("execute", frozen(err))
		d = &taskDone{I: i, Again: &r.specs[i], After: panicPause}
	}
	return d
}

func (r *batchRun) finish(d *taskDone) {
	if d.Again == nil && r.specs[d.I].Precomputed == nil {
		r.a.taskBytes.observe(d.held())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done[d.I] = d
	if !d.handedBack(r.specs[d.I]) {
		r.fresh = append(r.fresh, d)
	}
}

// held is how many bytes of outputs and results the task leaves behind.
func (d *taskDone) held() (n int64) {
	for _, o := range d.Outputs {
		n += int64(len(o.Value))
	}
	result := func(r *drakkar.Result) {
		if r != nil {
			n += int64(len(r.Stdout) + len(r.Stderr))
		}
	}
	failed := func(e *drakkar.TaskError) {
		if e != nil {
			result(&e.Result)
		}
	}
	if d.Record != nil {
		result(d.Record.Result)
		failed(d.Record.Error)
	}
	if d.Call != nil {
		result(d.Call.Result)
		failed(d.Call.Error)
	}
	return n
}

// handedBack reports whether the attempt was not made, or not to its end.
func (d *taskDone) handedBack(spec workflows.TaskSpec) bool {
	return d.Again != nil && d.Again.Attempt == spec.Attempt
}

// one runs one attempt and the hooks behind it.
func (r *batchRun) one(ctx context.Context, i int, started func()) *taskDone {
	spec := r.specs[i]
	d := &taskDone{I: i}
	res, err := r.a.Pool.Run(ctx, r.job(spec, started))
	if r.a.postpone(r.in.Window, spec, err, d) {
		return d
	}
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

func (r *batchRun) job(spec workflows.TaskSpec, started func()) executor.Job {
	priority, err := r.a.Pipeline.Priority(spec.Task)
	if err != nil {
		r.a.Events.Record(events.HookRan{Hook: "task_priority", TaskID: spec.ID, Err: frozen(err)})
	}
	job := executor.Job{
		Task: spec.Task, Attempt: spec.Attempt, At: at(r.in.Window, spec.SourceOffsets[0]),
		Priority: priority, Started: started,
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
		d.Record = &workflows.TaskRecord{Task: spec.Task, Index: spec.Index, Result: &res}
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
	rec := &workflows.TaskRecord{Task: spec.Task, Index: spec.Index}
	if d.Replaced == nil {
		rec.Error = &te
	}
	return rec
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
	if from := parent.SourceOffsets[0]; slices.Min(t.SourceOffsets) != from {
		// Among the tasks of another message, which has an index like this.
		index = "o" + strconv.FormatInt(from, 10) + "." + index
	}
	return workflows.TaskSpec{Task: t, Index: index, Attempt: 1, Depth: parent.Depth + 1, Lane: parent.Lane}
}
