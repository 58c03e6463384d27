package activities

import (
	"context"
	"maps"
	"slices"

	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/workflows"
)

// merge is what the tasks of this run came to, in the order of the batch.
func (r *batchRun) merge() *merged {
	m := &merged{}
	for _, u := range r.units {
		specs, done := make([]workflows.TaskSpec, len(u)), make([]*taskDone, len(u))
		for n, i := range u {
			specs[n], done[n] = r.specs[i], r.done[i]
		}
		m.unit(specs, done)
	}
	return m
}

// goesOn decides whether Temporal repeats this run, since the window asks for
// patience: nil means that the window goes on with what came of it. What a
// stopping worker hands back goes to the window at once.
func (r *batchRun) goesOn(ctx context.Context) *nextRun {
	m := r.merge()
	if !r.in.Patient || ctx.Err() != nil || len(m.handed) > 0 || m.unfinished == "" {
		return nil
	}
	next := &nextRun{why: m.unfinished}
	for _, p := range slices.Sorted(maps.Keys(m.again)) {
		next.after = p // nobody waits less than was asked for
		next.specs = append(next.specs, m.again[p]...)
	}
	next.specs = append(next.specs, m.replaced...)
	next.done = r.over()
	fresh := slices.DeleteFunc(slices.Clone(m.replaced), func(s workflows.TaskSpec) bool { return !m.fresh[keyOf(s)] })
	next.New, next.NewTasks = counts(fresh), len(fresh)
	if r.from != nil {
		next.Earlier = r.from.Earlier
		if r.from.Done.Len > 0 {
			next.Earlier = append(slices.Clip(next.Earlier), r.from.Done)
		}
		next.New, next.NewTasks = sum(r.from.New, next.New), r.from.NewTasks+next.NewTasks
	}
	return next
}

// over are the tasks which need no further run: settled, or waiting for a hook
// together with what is behind them.
func (r *batchRun) over() []finished {
	var out []finished
	for _, u := range r.units {
		for n, i := range u {
			d := r.done[i]
			if d == nil || !d.Settled && d.Call == nil {
				break
			}
			out = append(out, finished{Spec: r.specs[i], Done: *d})
			if d.Call != nil {
				for _, behind := range u[n+1:] {
					out = append(out, finished{Spec: r.specs[behind]})
				}
			}
			if !d.over() {
				break
			}
		}
	}
	return out
}

// sum adds counts.
func sum(a, b workflows.Counts) workflows.Counts {
	n := map[int64]int{}
	for _, c := range slices.Concat(a, b) {
		for o := c.First; o <= c.Last; o++ {
			n[o] += c.N
		}
	}
	return workflows.CountsOf(n)
}

// maxEarlier is how many lists of finished tasks a run hands on before it makes
// one of them.
const maxEarlier = 50

// pack makes what the next run needs ready to travel in a heartbeat.
func (r *batchRun) pack(ctx context.Context, next *nextRun) (err error) {
	if len(next.Earlier) > maxEarlier {
		earlier, err := unpackAll(ctx, r.a.Blobs, next.Earlier)
		if err != nil {
			return err
		}
		next.done, next.Earlier = append(earlier, next.done...), nil
	}
	p := prefix(r.in.Window)
	if next.Specs, err = blobs.Pack(ctx, r.a.Blobs, p, beatInline, next.specs); err != nil {
		return err
	}
	next.Done, err = blobs.Pack(ctx, r.a.Blobs, p, beatInline/maxEarlier, next.done)
	return err
}

// outcome is what the tasks of this run and of those before came to.
func (r *batchRun) outcome(ctx context.Context) (workflows.Outcome, error) {
	m := r.merge()
	if r.from != nil {
		lists := append(slices.Clip(r.from.Earlier), r.from.Done)
		done, err := unpackAll(ctx, r.a.Blobs, lists)
		if err != nil {
			return workflows.Outcome{}, err
		}
		m.earlier(done)
		m.counted, m.newTasks = r.from.New, r.from.NewTasks
	}
	return r.a.outcome(ctx, r.in.Window, m, limits{records: r.in.RecordLimit, followUps: r.in.MaxFollowUps})
}

// earlier adds what runs before have finished. Their replacements have been run
// since.
func (m *merged) earlier(done []finished) {
	for i := 0; i < len(done); i++ {
		spec, d := done[i].Spec, done[i].Done
		m.add(spec, &d)
		if d.Call == nil {
			continue
		}
		c := workflows.HookCall{Stage: d.Stage, Task: d.Call, Attempts: 1, Error: d.Error}
		for ; spec.Lane != "" && i+1 < len(done) && done[i+1].waits(spec.Lane); i++ {
			c.Rest = append(c.Rest, done[i+1].Spec)
		}
		m.call(c)
	}
}

// waits reports whether the task has not run, since one before it in the lane
// waits for its hook.
func (f finished) waits(lane string) bool {
	return f.Spec.Lane == lane && !f.Done.Settled && f.Done.Call == nil
}
