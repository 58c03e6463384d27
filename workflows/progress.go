package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"
)

// progress is when the window last published which of its messages are done.
type progress struct {
	published time.Time
	count     int
	timer     bool
}

const (
	// progressShare bounds how often a window publishes: each time costs
	// history, so one that is open for days waits for this part of its age
	// instead of the interval. A day makes about 80 times, ten days 100.
	progressShare = 8

	// maxFinished is how many ranges are published, what a former workflow has
	// finished included. Offsets are committed from the front, so those at the
	// front matter; what is left out is in the result, when the window ends.
	maxFinished = 500
)

// published are the ranges that go into the memo, in their order.
func published(former, ranges []Range) []Range {
	all := joined(former, ranges)
	return all[:min(len(all), maxFinished)]
}

// publish puts the finished messages into the memo, from which ingest reads
// them by Describe: once the window is older than its interval, at most once in
// each, and the more seldom the older the window is. Most windows end before
// and publish nothing.
func (r *window) publish(ctx workflow.Context) {
	every := r.in.ProgressInterval
	if every <= 0 || r.progress.timer || ctx.Err() != nil {
		return
	}
	ranges, count := r.finished()
	// Messages that were done are held again while the hook of the window runs:
	// what was said of them stays.
	if count <= r.progress.count || count == len(r.msgs) {
		return
	}
	since := r.started
	if r.progress.published.After(since) {
		since = r.progress.published
	}
	every = max(every, since.Sub(r.started)/progressShare)
	if wait := every - workflow.Now(ctx).Sub(since); wait > 0 {
		r.publishLater(ctx, wait)
		return
	}
	if err := workflow.UpsertMemo(ctx, map[string]any{MemoFinished: published(r.in.Finished, ranges)}); err != nil {
		workflow.GetLogger(ctx).Error("publishing progress", "error", err)
		return
	}
	r.progress.published, r.progress.count = workflow.Now(ctx), count
}

// publishLater publishes once the interval is over. The window does not wait
// for it: when it ends before, its result says everything.
func (r *window) publishLater(ctx workflow.Context, wait time.Duration) {
	r.progress.timer = true
	workflow.Go(ctx, func(ctx workflow.Context) {
		err := workflow.NewTimerWithOptions(ctx, wait, workflow.TimerOptions{Summary: "progress"}).Get(ctx, nil)
		r.progress.timer = false
		if err == nil {
			r.publish(ctx)
		}
	})
}

// finished are the offsets that are done, gaps between messages included, and
// the number of messages that are.
//
// The last message is never among them: a committed offset behind the range of
// an open window would lead the next owner past it, and nobody would follow
// the window to its end.
func (r *window) finished() (ranges []Range, count int) {
	from := r.in.Start
	for i, m := range r.msgs {
		if m.done() {
			count++
			if i == len(r.msgs)-1 {
				break
			}
			if n := len(ranges); n > 0 && ranges[n-1].Last == from-1 {
				ranges[n-1].Last = m.Offset
			} else {
				ranges = append(ranges, Range{First: from, Last: m.Offset})
			}
		}
		from = m.Offset + 1
	}
	return ranges, count
}
