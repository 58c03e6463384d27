package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

// dispatch cuts and starts windows, one after the other, until the partition is
// forgotten. The next is started only when the one before it was acknowledged.
func (i *Ingest) dispatch(p *partition) {
	for {
		if i.awaitWork(p) != nil || p.share.acquire(p.ctx) != nil {
			return
		}
		w, err := i.startNext(p)
		if err != nil {
			p.share.release()
			return
		}
		i.goFollow(p, w)
	}
}

// gatherFor is for how long messages wait for others while windows of their
// partition are open. It is what a message may be late by, and what bounds the
// windows a second that little load makes of many places.
const gatherFor = 250 * time.Millisecond

// lookEvery is how often a dispatcher looks at the age of the oldest window, a
// limit that nobody wakes it for.
const lookEvery = time.Second

// awaitWork waits until the partition has messages and may open a window for
// them. While it may not, messages gather: that makes windows large when there
// is much to do and small when there is little.
func (i *Ingest) awaitWork(p *partition) error {
	look := time.NewTimer(lookEvery)
	defer look.Stop()

	for {
		cut, again := i.mayCut(p)
		if cut {
			return nil
		}
		look.Reset(again)
		select {
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		case <-p.wake:
		case <-look.C:
		}
	}
}

// mayCut reports whether the partition has messages that make a window, and room
// for it; if not, it is to be asked again after that time at the latest.
func (i *Ingest) mayCut(p *partition) (cut bool, again time.Duration) {
	p.mu.Lock()
	why, tooOld := i.blocks(p)
	p.blocked = why
	waits := len(p.queue.messages) > 0
	left := p.gathers(i.cutter, time.Now())
	p.mu.Unlock()

	switch {
	case tooOld:
		i.report(p, failure{key: problemRetention, doing: "opening windows", err: errors.New(why), stuck: true})
		return false, lookEvery
	case !waits || why != "":
		p.problem(problemRetention, "")
		return false, lookEvery
	default:
		p.problem(problemRetention, "")
		return left <= 0, min(left, lookEvery)
	}
}

// gathers is for how long the waiting messages still wait for others, of which
// nothing is left when they make a window now; p.mu is held. A window costs
// about the same whatever it holds, so one that is opened beside others should
// be as large as those together, full, or late. What is full is reckoned: the
// cutter counts bytes as they travel, which are some more.
func (p *partition) gathers(c cutter, now time.Time) (left time.Duration) {
	open := 0
	for _, w := range p.chain {
		if !w.finished {
			open += w.messages
		}
	}
	waiting := p.queue.load()
	full := waiting.messages >= c.maxMessages || waiting.bytes >= c.maxBytes
	if full || p.shownPaused || waiting.messages >= open {
		return 0
	}
	return gatherFor - now.Sub(p.chain[len(p.chain)-1].since)
}

// blocks says which limit keeps the partition from opening a window, if any
// does; p.mu is held.
func (i *Ingest) blocks(p *partition) (why string, tooOld bool) {
	switch {
	case len(p.queue.messages) == 0:
		return "", false
	case p.tracker.Len() >= i.maxOpen():
		return i.opensNoMore(), false
	case p.tracker.Ahead() >= i.opt.Ingest.MaxWindowsAhead:
		return "ingest.max_windows_ahead of the committed offset", false
	case i.tooOld(p):
		return fmt.Sprintf("window %s is older than half of the namespace's retention and not committed: "+
			"what is started behind it could be forgotten before it is committed", p.chain[0].id), true
	default:
		return "", false
	}
}

// orderKey is the value of windows.order that keeps the messages of a key in
// order.
const orderKey = "key"

// maxOpen is how many windows of a partition may be open: one, when messages of
// one key may not overtake each other in the next.
func (i *Ingest) maxOpen() int {
	if i.opt.Windows.Order == orderKey {
		return 1
	}
	return i.opt.Ingest.MaxOpenWindows
}

func (i *Ingest) opensNoMore() string {
	if i.opt.Windows.Order == orderKey {
		return "a window is open, and windows.order is key"
	}
	return "ingest.max_open_windows are open"
}

// Keys of what keeps a partition from going on; windows use their ids.
const (
	problemPrepare   = "prepare"
	problemStart     = "start"
	problemRetention = "retention"
	problemOld       = "old"
)

// tooOld reports whether the oldest uncommitted window is so old that those
// behind it could be forgotten by Temporal before their offsets are committed.
func (i *Ingest) tooOld(p *partition) bool {
	return len(p.chain) > 0 && time.Since(p.chain[0].started) > i.retention/2
}

var errForgotten = errors.New("the partition was forgotten")

// startNext starts the next window of the chain, or adopts the one that is
// there. It repeats for as long as it takes; its error is that of the
// partition's context.
func (i *Ingest) startNext(p *partition) (*openWindow, error) {
	c := i.cutter
	strip := false
	for attempt := 1; ; attempt++ {
		in, bytes, ok := i.nextInput(p, c, strip)
		if !ok {
			return nil, errForgotten
		}
		w, err := i.startOnce(p, in, bytes)
		if err == nil {
			p.problem(problemStart, "")
			return w, nil
		}
		if p.ctx.Err() != nil {
			return nil, context.Cause(p.ctx)
		}
		if errors.Is(err, ErrTooLarge) && !strip {
			// The size was estimated, and a payload codec may have added to
			// it. Less goes into the window; a message that is too large alone
			// leaves everything but its coordinates behind.
			c.maxMessages, strip = max(1, len(in.Messages)/2), len(in.Messages) == 1
			continue
		}
		i.report(p, failure{key: problemStart, workflow: in.WorkflowID(), doing: "starting the window", err: err})
		if err := pause(p.ctx, backoff(attempt)); err != nil {
			return nil, err
		}
	}
}

// nextInput is the next window, cut from the head of the queue. The messages
// stay in the queue until the window is acknowledged. There are none when the
// partition was forgotten meanwhile.
func (i *Ingest) nextInput(p *partition, c cutter, strip bool) (in workflows.WindowInput, bytes int, ok bool) {
	p.mu.Lock()
	start := p.tracker.Next()
	head := slices.Clone(p.queue.messages[:min(len(p.queue.messages), c.maxMessages)])
	open := p.openIDs(nil)
	pl := p.plan
	p.mu.Unlock()

	n, bytes := c.cut(head)
	if n == 0 {
		return in, 0, false
	}
	head = head[:n:n]
	if strip {
		head[0] = coordinates(head[0])
	}
	return workflows.WindowInput{
		Link: pl.link(start), TopicID: shortTopicID(pl.topicID),
		Last: head[n-1].Offset, Messages: head, Open: open,
		ProgressInterval: i.opt.Ingest.ProgressInterval,
	}, bytes, true
}

// openIDs are the workflows of the open windows but one; p.mu is held.
func (p *partition) openIDs(but *openWindow) (ids []string) {
	for _, w := range p.chain {
		if !w.finished && w != but {
			ids = append(ids, w.id)
		}
	}
	return ids
}

// shortTopicID is what windows carry of the topic's id: enough to tell a topic
// from the one that was deleted before it.
func shortTopicID(id string) string { return id[:min(len(id), 8)] }

func (i *Ingest) startOnce(p *partition, in workflows.WindowInput, bytes int) (*openWindow, error) {
	began := time.Now()
	d, adopted, err := startOrAdopt(p.ctx, i.opt.Temporal, in)
	if err != nil {
		return nil, err
	}
	w := &openWindow{
		link: in.Link, id: in.WorkflowID(), last: d.Last, messages: d.Messages,
		started: d.Started, since: time.Now(),
	}
	gone, err := p.opened(w)
	if err != nil {
		return nil, fmt.Errorf("adopting %s: %w", w.id, err)
	}
	i.dequeued(gone)
	i.events.Record(events.WindowStarted{
		At: w.at(), Workflow: w.id, Last: w.last, Messages: w.messages, Bytes: bytes,
		Adopted: adopted, Took: time.Since(began),
	})
	return w, nil
}

// startOrAdopt starts the window. When its place in the chain is taken it
// returns what has it instead: another owner was faster, or the answer to our
// own start was lost.
func startOrAdopt(ctx context.Context, ws Windows, in workflows.WindowInput) (d Description, adopted bool, err error) {
	err = ws.Start(ctx, in)
	if err == nil {
		return Description{Last: in.Last, Messages: len(in.Messages), Started: time.Now()}, false, nil
	}
	if !errors.Is(err, ErrAlreadyStarted) {
		return Description{}, false, fmt.Errorf("starting %s: %w", in.WorkflowID(), err)
	}
	if d, err = ws.Describe(ctx, in.WorkflowID()); err != nil {
		return Description{}, false, fmt.Errorf("adopting %s: %w", in.WorkflowID(), err)
	}
	return d, true, nil
}
