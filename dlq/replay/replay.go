// Package replay plays dead letters again: it reads a queue to the end it had
// when the replay began, and brings what is selected to a target.
//
// A replay can be stopped, or killed, at any point and goes on where it was:
// what reached the target is written to the audit file first and to the
// checkpoint then, so that at most the batch which was under way is sent again.
package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/time/rate"

	"github.com/drakkar-go/drakkar/dlq"
)

// maxBatch is how many dead letters are under way at the same time.
const maxBatch = 100

var (
	// errLimit ends the reading when Limit is reached.
	errLimit = errors.New("the limit is reached")
	// errBroken ends it when the outcome cannot be written down.
	errBroken = errors.New("the replay cannot go on")
)

// Run replays. It ends early, without an error and with a report that is not
// complete, when ctx ends or the limit is reached.
func Run(ctx context.Context, opts Options) (Report, error) {
	if opts.Patience <= 0 {
		opts.Patience = defaultPatience
	}
	if opts.Progress == nil {
		opts.Progress = func(Progress) {}
	}
	if opts.Each == nil {
		opts.Each = func(AuditLine) {}
	}
	r := &run{
		o: opts, by: whoami(), seen: map[[16]byte]struct{}{}, read: map[string]int64{}, ahead: map[dlq.Position]struct{}{}, size: batchSize(opts.Rate),
		limiter: rate.NewLimiter(rate.Inf, maxBatch),
	}
	if opts.Rate > 0 {
		r.limiter = rate.NewLimiter(rate.Limit(opts.Rate), r.size)
	}
	defer r.close()
	if err := r.prepare(); err != nil {
		return r.report(), err
	}
	err := r.run(ctx)
	if errors.Is(err, errLimit) || ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		err = nil
	}
	return r.report(), errors.Join(err, r.broken)
}

// batchSize is small where the rate is, so that sending is even.
func batchSize(rate float64) int {
	if rate <= 0 {
		return maxBatch
	}
	const perSecond = 4
	return int(min(maxBatch, max(1, rate/perSecond)))
}

// run is one run of a replay.
type run struct {
	o       Options
	by      string
	limiter *rate.Limiter
	size    int // of a batch

	state *state // nil in a dry run
	audit *audit // nil in a dry run
	mark  checkpoint
	// done and ahead are what the checkpoint said when the run began.
	done  map[string]int64
	ahead map[dlq.Position]struct{}

	earlier int
	sent    int                   // in this run
	seen    map[[16]byte]struct{} // what was replayed, or is in the batch
	read    map[string]int64      // how far each log is read
	batch   []item
	// doubles are settled with the batch: what they are doubles of may be in it,
	// and be left.
	doubles []item
	refused map[string]struct{} // by the target for good, of this batch
	failed  map[dlq.Position]struct{}
	lines   []AuditLine // of what is settled and not written yet

	passed, total int64
	complete      bool
	broken        error // nothing can be written down any more
}

func (r *run) prepare() (err error) {
	s := subject{Queue: r.o.Queue.Name(), Target: r.o.Target.Name(), Selection: r.o.Selection.Canonical()}
	if !r.o.DryRun {
		if r.state, err = openState(r.o.Dir, s); err != nil {
			return err
		}
		if r.audit, err = openAudit(r.o.Dir); err != nil {
			return err
		}
	}
	r.mark = newCheckpoint(s)
	if !r.o.Restart {
		if r.mark, err = loadCheckpoint(r.o.Dir, s); err != nil {
			return fmt.Errorf("%w: remove it, or pass -restart", err)
		}
	}
	if r.mark.Finished {
		r.mark.Finished, r.mark.Counts = false, Counts{}
	}
	r.earlier, r.done = r.mark.Counts.Replayed, maps.Clone(r.mark.Next)
	for _, at := range r.mark.Ahead {
		r.ahead[at] = struct{}{}
	}
	r.refused, r.failed = map[string]struct{}{}, map[dlq.Position]struct{}{}
	for _, at := range r.mark.Failed {
		r.failed[at] = struct{}{}
	}
	return nil
}

func (r *run) run(ctx context.Context) error {
	spans, err := r.o.Queue.Spans(ctx)
	if err != nil {
		return err
	}
	for _, s := range spans {
		if done := r.done[s.Log]; done > s.To {
			return fmt.Errorf("the checkpoint of %s is at %d and the log ends at %d: it lost records or was made again; "+
				"pass -restart to begin anew", s.Log, done, s.To)
		}
		r.total += s.To - s.From
	}
	// What is before the checkpoint is read too: it tells which of the later
	// dead letters are doubles.
	if err := r.o.Queue.Read(ctx, spans, func(e dlq.Entry) error { return r.take(ctx, e) }); err != nil {
		r.giveUp(r.batch, true)
		return err
	}
	for more := true; more; more = len(r.batch) > 0 {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	for _, s := range spans {
		r.mark.Next[s.Log] = max(r.mark.Next[s.Log], s.To)
	}
	r.mark.Ahead, r.mark.Finished, r.complete = nil, true, true
	r.passed = r.total
	r.tell()
	return r.save()
}

// take works on one entry.
func (r *run) take(ctx context.Context, e dlq.Entry) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_, old := r.ahead[e.At]
	r.choose(e, old || e.At.Offset < r.done[e.At.Log])
	r.read[e.At.Log] = max(e.Next, r.done[e.At.Log])
	r.passed += e.Next - e.At.Offset
	r.tell()
	if len(r.batch) < r.batchLimit() && len(r.lines)+len(r.doubles) < maxLines {
		return nil
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	if r.o.Limit > 0 && r.sent >= r.o.Limit {
		return errLimit
	}
	return nil
}

func (r *run) batchLimit() int {
	if r.o.Limit > 0 {
		return min(r.size, max(1, r.o.Limit-r.sent))
	}
	return r.size
}

// choose puts an entry into the batch, or settles it here. Old says that it was
// settled before.
func (r *run) choose(e dlq.Entry, old bool) {
	if e.Err != nil {
		if !old {
			r.settled(e, Unreadable, e.Err)
		}
		return
	}
	if !r.o.Selection.Matches(e.Envelope) {
		return
	}
	it, err := r.o.Target.prepare(e)
	if err != nil {
		if !old {
			r.mark.Counts.Selected++
			r.settled(e, Refused, err)
		}
		return
	}
	if _, failed := r.failed[e.At]; failed && old {
		return // what has the same id behind it is no double
	}
	key := sum(it.once)
	_, double := r.seen[key]
	r.seen[key] = struct{}{}
	switch {
	case old:
	case double:
		r.mark.Counts.Selected++
		r.doubles = append(r.doubles, it)
	default:
		r.mark.Counts.Selected++
		r.batch = append(r.batch, it)
	}
}

// flush sends the batch, for as long as patience lasts, and settles it.
func (r *run) flush(ctx context.Context) error {
	if r.o.DryRun {
		for _, it := range r.batch {
			r.settled(it.entry, Planned, nil)
		}
		r.sent += len(r.batch)
		r.giveUp(nil, false)
		return nil
	}
	left, err := r.batch, error(nil)
	if len(left) > 0 {
		err = r.limiter.WaitN(ctx, len(left))
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	if err == nil {
		left, err = r.send(ctx)
	}
	r.giveUp(left, err != nil)
	if r.broken != nil {
		return errBroken
	}
	return err
}

// giveUp settles what can be and keeps the checkpoint before what is left. A
// double of what is left is left too: a later run may meet it first. Of what the
// target refused for good, the first double is the next batch, unless the run
// ends.
func (r *run) giveUp(left []item, ends bool) {
	waits := map[string]struct{}{}
	for _, it := range left {
		waits[it.once] = struct{}{}
	}
	var next, later []item
	for _, it := range r.doubles {
		_, refused := r.refused[it.once]
		_, waiting := waits[it.once]
		switch {
		case waiting:
			later = append(later, it)
		case refused:
			next = append(next, it)
			waits[it.once] = struct{}{}
		default:
			r.settled(it.entry, Double, nil)
		}
	}
	clear(r.refused)
	if ends || len(left) > 0 {
		left, next, later = slices.Concat(left, next, later), nil, nil
	}
	r.mark.Counts.Selected -= len(left)
	if err := r.settle(slices.Concat(left, next, later)); err != nil {
		r.broken = err
	}
	r.batch, r.doubles = next, later
}

// settle writes down what is settled: first the audit, then the checkpoint,
// which stays before those that are left.
func (r *run) settle(left []item) error {
	lines := r.lines
	r.batch, r.lines = nil, nil
	for _, it := range left {
		at := it.entry.At
		r.read[at.Log] = min(r.read[at.Log], at.Offset)
	}
	if r.o.DryRun || r.broken != nil {
		return r.broken
	}
	if err := r.audit.write(lines); err != nil {
		return err
	}
	maps.Copy(r.mark.Next, r.read)
	for _, l := range lines {
		r.mark.Ahead = append(r.mark.Ahead, l.At)
	}
	r.mark.Ahead = slices.DeleteFunc(r.mark.Ahead, func(at dlq.Position) bool { return at.Offset < r.mark.Next[at.Log] })
	return r.save()
}

func (r *run) save() error {
	if r.o.DryRun {
		return nil
	}
	return r.state.save(r.mark)
}

// tell reports the progress.
func (r *run) tell() {
	r.o.Progress(Progress{Counts: r.mark.Counts, Earlier: r.earlier, Read: r.passed, Total: r.total})
}

func (r *run) report() Report {
	return Report{Counts: r.mark.Counts, Earlier: r.earlier, Complete: r.complete}
}

func (r *run) close() {
	if r.audit != nil {
		r.audit.close()
	}
	if r.state != nil {
		r.state.close()
	}
}
