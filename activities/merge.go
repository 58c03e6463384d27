package activities

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/workflows"
)

// limits are what an outcome may hold.
type limits struct {
	records   int // bytes of records
	followUps int // batches of replacements
}

// merged are the parts of an outcome.
type merged struct {
	settled   []workflows.TaskSpec
	outputs   []workflows.Output
	records   []workflows.TaskRecord
	letters   []workflows.Letter
	calls     []workflows.HookCall
	succeeded int
	failed    int

	// What is still to be run: what a stopping worker hands back, attempts to
	// repeat by their pause, and replacements. Each unit goes whole, so that
	// what is behind a task of a lane goes with it.
	handed   []workflows.TaskSpec
	again    map[time.Duration][]workflows.TaskSpec
	replaced []workflows.TaskSpec
	fresh    map[taskKey]bool // places of replacements

	// New are counted apart: see workflows.Outcome.
	counted    workflows.Counts
	newTasks   int
	messages   []int64 // of the calls
	buried     []int64
	attempts   int    // made at each call
	unfinished string // why what is to be run is not over
}

// taskKey tells a task from all others of its window. Ids need not: a handler may
// give the replacements of several tasks the same.
type taskKey struct {
	offset int64 // its lowest
	index  string
}

func keyOf(s workflows.TaskSpec) taskKey { return taskKey{offset: s.SourceOffsets[0], index: s.Index} }

// unit adds tasks that run one after the other, in their order. Done is nil for
// those that did not run.
func (m *merged) unit(specs []workflows.TaskSpec, done []*taskDone) {
	for i, spec := range specs {
		d := done[i]
		if d == nil {
			m.handed = append(m.handed, specs[i:]...)
			return
		}
		m.add(spec, d)
		rest := specs[i+1:]
		switch {
		case d.over():
			continue
		case d.Call != nil:
			m.call(workflows.HookCall{Stage: d.Stage, Task: d.Call, Rest: rest, Attempts: 1, Error: d.Error})
		case d.Settled:
			m.replace(d.Replaced, rest)
		case d.After > 0:
			if m.again == nil {
				m.again = map[time.Duration][]workflows.TaskSpec{}
			}
			m.again[d.After] = append(append(m.again[d.After], *d.Again), rest...)
			m.unfinished = "a task is to be repeated"
		default:
			m.handed = append(append(m.handed, *d.Again), rest...)
		}
		return
	}
}

// replace adds tasks instead of one, and those that wait behind it.
func (m *merged) replace(replaced, rest []workflows.TaskSpec) {
	if m.fresh == nil {
		m.fresh = map[taskKey]bool{}
	}
	for _, s := range replaced {
		m.fresh[keyOf(s)] = true
	}
	m.replaced = append(append(m.replaced, replaced...), rest...)
	m.unfinished = "a task was replaced"
}

// call adds a hook to call again.
func (m *merged) call(c workflows.HookCall) {
	m.calls = append(m.calls, c)
	if c.Task == nil {
		if c.Stage == workflows.StageMessage { // that of a window names no message
			m.messages = append(m.messages, c.Offset)
		}
		return
	}
	for _, s := range append([]workflows.TaskSpec{c.Task.Spec}, c.Rest...) {
		m.messages = append(m.messages, s.SourceOffsets...)
	}
}

// add adds what became of one task.
func (m *merged) add(spec workflows.TaskSpec, d *taskDone) {
	m.outputs = append(m.outputs, d.Outputs...)
	if d.Record != nil {
		m.records = append(m.records, *d.Record)
	}
	if d.Letter != nil {
		m.letters = append(m.letters, *d.Letter)
	}
	if d.Settled {
		m.settled = append(m.settled, spec)
	}
	switch {
	case d.Succeeded:
		m.succeeded++
	case d.Settled && d.Replaced == nil:
		m.failed++
	}
}

// outcome is what tasks and hooks came to, as the workflow needs it.
func (a *Activities) outcome(ctx context.Context, w workflows.WindowRef, m *merged, l limits) (out workflows.Outcome, err error) {
	out.Settled = counts(m.settled)
	out.Succeeded, out.Failed = m.succeeded, m.failed
	out.New, out.NewTasks = m.counted, m.newTasks
	out.Buried = workflows.Ranges(m.buried)
	p := prefix(w)
	if out.Outputs, err = blobs.Pack(ctx, a.Blobs, p, w.InlineLimit, m.outputs); err != nil {
		return out, err
	}
	if out.Records, err = blobs.Pack(ctx, a.Blobs, p, min(l.records, w.InlineLimit), m.records); err != nil {
		return out, err
	}
	if out.Letters, err = blobs.Pack(ctx, a.Blobs, p, w.InlineLimit/2, m.letters); err != nil {
		return out, err
	}
	out.LetterOffsets = letterOffsets(m.letters)
	if out.Calls, err = a.calls(ctx, w, m); err != nil {
		return out, err
	}
	out.FollowUps, err = a.followUps(ctx, w, m, l)
	return out, err
}

// calls packs the hooks to call again into one list.
func (a *Activities) calls(ctx context.Context, w workflows.WindowRef, m *merged) (out workflows.Calls, err error) {
	if len(m.calls) == 0 {
		return out, nil
	}
	var open []workflows.TaskSpec
	for _, c := range m.calls {
		if c.Task != nil {
			open = append(append(open, c.Task.Spec), c.Rest...)
		}
	}
	out = workflows.Calls{Messages: workflows.Ranges(m.messages), Tasks: counts(open), Attempts: max(1, m.attempts)}
	out.List, err = blobs.Pack(ctx, a.Blobs, prefix(w), w.InlineLimit/2, m.calls)
	return out, err
}

// followUps are the batches that follow: what a stopping worker hands back,
// attempts to repeat, one batch for each pause, and replacements.
func (a *Activities) followUps(ctx context.Context, w workflows.WindowRef, m *merged, l limits) ([]workflows.Batch, error) {
	room := w.InlineLimit / 2
	var out []workflows.Batch
	add := func(specs []workflows.TaskSpec, after time.Duration) error {
		if len(specs) == 0 {
			return nil
		}
		b, err := a.batch(ctx, w, specs, room)
		if err != nil {
			return err
		}
		room -= b.Tasks.Inline()
		b.After = after
		fresh := slices.DeleteFunc(slices.Clone(specs), func(s workflows.TaskSpec) bool { return !m.fresh[keyOf(s)] })
		b.New, b.NewTasks = counts(fresh), len(fresh)
		out = append(out, b)
		return nil
	}
	if err := add(m.handed, 0); err != nil {
		return nil, err
	}
	for after, specs := range coarse(m.again) {
		if err := add(specs, after); err != nil {
			return nil, err
		}
	}
	for _, part := range cutWithin(m.replaced, a.pace(), max(1, l.followUps)) {
		if err := add(part, 0); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// maxPauses is how many batches the retries of one outcome make: handlers may
// ask for another pause for every task.
const maxPauses = 8

// coarse yields the tasks of each pause, the shortest first. Where there are
// too many pauses, or the counts of their batches were too long, neighbours
// share the longest of theirs.
func coarse(again map[time.Duration][]workflows.TaskSpec) func(func(time.Duration, []workflows.TaskSpec) bool) {
	return func(yield func(time.Duration, []workflows.TaskSpec) bool) {
		pauses := slices.Sorted(maps.Keys(again))
		size := max(1, (len(pauses)+maxPauses-1)/maxPauses)
		taken := 0
		for _, specs := range again {
			taken += counts(specs).EncodedLen()
		}
		if taken > maxCounts {
			size = max(1, len(pauses))
		}
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
