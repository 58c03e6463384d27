package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/watermark"
	"github.com/drakkar-go/drakkar/workflows"
)

const (
	// rereads is how many windows that are gone are read again at the same
	// time: that bounds their memory when Temporal has lost all of them.
	rereads = 2

	// rereadBound bounds the reading of one window's range. It is tried again.
	rereadBound = time.Minute
)

var (
	errRereadTimeout = errors.New("the window's range could not be read in time")

	// errPassedOver ends the following of a window of which nothing is left.
	errPassedOver = errors.New("nothing is left of the window")

	// errOtherRange says that another owner has started a link anew with
	// another range: what is known of the chain does not hold any more.
	errOtherRange = errors.New("the window was started by another owner with another range")

	// errOtherLog says that a range is not in the log, or in another one: the
	// topic was truncated or made again.
	errOtherLog = errors.New("the topic is not the one that the window was read from")

	errPredecessorGone = errors.New("the window before it is gone too and comes first")
)

// windowGone starts a window that Temporal has forgotten again as the same link
// of the chain, with what its range still holds. Its error ends the following
// of the window.
func (i *Ingest) windowGone(p *partition, w *openWindow) error {
	err := i.startAgain(p, w)
	switch {
	case p.ctx.Err() != nil:
		return context.Cause(p.ctx)
	case err == nil:
		p.problem(w.id, "")
		return nil
	case errors.Is(err, errPassedOver):
		p.finish(w)
		return err
	case errors.Is(err, errPredecessorGone):
		return pause(p.ctx, backoff(3))
	}
	i.report(p, failure{key: w.id, workflow: w.id, doing: "starting a window again that is gone from Temporal", err: err})
	if errors.Is(err, errOtherRange) || errors.Is(err, errOtherLog) {
		return i.bringUpAnew(p)
	}
	return pause(p.ctx, backoff(5))
}

// bringUpAnew walks the partition's chain again. Its error is the end of this
// ownership.
func (i *Ingest) bringUpAnew(p *partition) error {
	_ = i.onPoll(i.run, func() error { i.reassign(p); return nil })
	<-p.ctx.Done()
	return context.Cause(p.ctx)
}

// startAgain makes one attempt. Two owners can make it at the same time: the
// first start wins, and the other finds a window with the same range. For that
// the links are started in their order, each only while its predecessor is
// there as it is known.
func (i *Ingest) startAgain(p *partition, w *openWindow) error {
	if err := i.isAsKnown(p.ctx, w); !errors.Is(err, ErrNotFound) {
		return err // it is back
	}
	if before := p.before(w); before != nil {
		if err := i.isAsKnown(p.ctx, before); errors.Is(err, ErrNotFound) {
			return errPredecessorGone
		} else if err != nil {
			return err
		}
	}
	select {
	case i.rereading <- struct{}{}:
		defer func() { <-i.rereading }()
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
	began := time.Now()
	in, lost, err := i.readAgain(p, w)
	if err != nil {
		return err
	}
	err = i.startWhole(p.ctx, in)
	if errors.Is(err, ErrAlreadyStarted) {
		return i.isAsKnown(p.ctx, w) // another owner was faster
	}
	if err != nil {
		return err
	}
	p.startedAgain(w)
	i.reread(p, w, in, lost, time.Since(began))
	if len(in.Messages) == 0 {
		return errPassedOver
	}
	return nil
}

// isAsKnown is nil when the window is in Temporal with the range that is known,
// and ErrNotFound when it is gone.
func (i *Ingest) isAsKnown(ctx context.Context, w *openWindow) error {
	d, err := i.opt.Temporal.Describe(ctx, w.id)
	if err != nil {
		return err
	}
	if d.Last != w.last {
		return fmt.Errorf("window %s ends at %d and not at %d: %w", w.id, d.Last, w.last, errOtherRange)
	}
	return nil
}

// startWhole starts a window whose range is given, so it cannot be cut smaller:
// when it is too large for Temporal its messages leave everything but their
// coordinates behind. A window without messages is not started at all.
func (i *Ingest) startWhole(ctx context.Context, in workflows.WindowInput) error {
	if len(in.Messages) == 0 {
		return nil
	}
	err := i.opt.Temporal.Start(ctx, in)
	if errors.Is(err, ErrTooLarge) {
		for n := range in.Messages {
			in.Messages[n] = coordinates(in.Messages[n])
		}
		err = i.opt.Temporal.Start(ctx, in)
	}
	return err
}

// loss is what of a window's range nobody can read any more.
type loss struct {
	expired  []watermark.Range // offsets in front of the log's beginning
	messages int               // at most
}

// readAgain reads a window's range, less what is known to be done.
func (i *Ingest) readAgain(p *partition, w *openWindow) (in workflows.WindowInput, lost loss, err error) {
	ctx, cancel := context.WithTimeoutCause(p.ctx, rereadBound, errRereadTimeout)
	defer cancel()

	b := i.broker.of(p.topic)
	topicID, err := b.TopicID(ctx)
	if err != nil {
		return in, lost, err
	}
	low, high, err := b.Ends(ctx, p.id)
	if err != nil {
		return in, lost, err
	}
	in = p.inputAgain(w)
	in.ProgressInterval = i.opt.Ingest.ProgressInterval
	if topicID != p.plan.topicID || high <= w.last {
		return in, lost, errOtherLog
	}
	found := 0
	if first := max(low, w.link.Start); first <= w.last {
		err = i.readRange(ctx, p, first, w.last, func(m workflows.Message) {
			found++
			if !contains(in.Finished, m.Offset) {
				in.Messages = append(in.Messages, m)
			}
		})
	}
	lost.expired = outside(in.Finished, w.link.Start, min(low-1, w.last))
	lost.messages = max(0, w.messages-found)
	return in, lost, err
}

// readRange hands the messages of a range to take. It ends behind the range, or
// at the end of what is committed of the log.
func (i *Ingest) readRange(ctx context.Context, p *partition, first, last int64, take func(workflows.Message)) error {
	r, err := i.rangeReader()
	if err != nil {
		return err
	}
	at := kafka.TopicPartition{Topic: &p.topic, Partition: p.id, Offset: kafka.Offset(first)}
	return r.from(ctx, at, func(ev kafka.Event) (done bool, err error) {
		switch e := ev.(type) {
		case *kafka.Message:
			offset := int64(e.TopicPartition.Offset)
			if offset <= last {
				take(travelling(message(e), i.opt.Windows.InlineMaxBytes))
			}
			return offset >= last, nil
		case kafka.PartitionEOF:
			return int64(e.Offset) > last, nil
		default:
			return false, nil
		}
	})
}

// rangeReader is made when it is needed first: windows are seldom gone.
func (i *Ingest) rangeReader() (*Reader, error) {
	i.mu.Lock()
	defer i.mu.Unlock()

	if i.ranges == nil {
		r, err := newReader(i.opt.Kafka, i.opt.Worker, i.opt.Logger, kafka.ConfigMap{
			"isolation.level": i.opt.Kafka.IsolationLevel,
		})
		if err != nil {
			return nil, err
		}
		i.ranges = r
	}
	return i.ranges, nil
}

// reread tells what became of a window that was gone.
func (i *Ingest) reread(p *partition, w *openWindow, in workflows.WindowInput, lost loss, took time.Duration) {
	for _, r := range lost.expired {
		i.events.Record(events.OffsetsSkipped{
			At: p.at(r.First), Next: r.Last + 1,
			Because: "their window was gone from Temporal, and the topic had removed them",
		})
	}
	i.events.Record(events.WindowReread{
		At: w.at(), Workflow: w.id, Last: w.last, Messages: len(in.Messages), Gone: lost.messages, Took: took,
	})
}

// startedAgain begins the window's age anew: Temporal keeps its new workflow as
// long as any, and it gets all of windows.max_age.
func (p *partition) startedAgain(w *openWindow) {
	p.mu.Lock()
	defer p.mu.Unlock()

	w.started, w.overdue = time.Now(), false
}

// before is the window before w in the chain, unless its result is known.
func (p *partition) before(w *openWindow) *openWindow {
	p.mu.Lock()
	defer p.mu.Unlock()

	n := slices.Index(p.chain, w)
	if n < 1 || p.chain[n-1].finished {
		return nil
	}
	return p.chain[n-1]
}

// inputAgain is the input of a window that is started again, without messages.
func (p *partition) inputAgain(w *openWindow) workflows.WindowInput {
	p.mu.Lock()
	defer p.mu.Unlock()

	in := workflows.WindowInput{
		Link: w.link, TopicID: shortTopicID(p.plan.topicID), Last: w.last, Open: p.openIDs(w),
	}
	for _, r := range p.tracker.Done(w.link.Start) {
		in.Finished = append(in.Finished, workflows.Range{First: r.First, Last: r.Last})
	}
	return in
}

func contains(ranges []workflows.Range, offset int64) bool {
	return slices.ContainsFunc(ranges, func(r workflows.Range) bool { return r.First <= offset && offset <= r.Last })
}

// outside is what of first..last is in none of the ranges, which are in order.
func outside(ranges []workflows.Range, first, last int64) (out []watermark.Range) {
	for _, r := range ranges {
		if first < r.First && first <= last {
			out = append(out, watermark.Range{First: first, Last: min(last, r.First-1)})
		}
		first = max(first, r.Last+1)
	}
	if first <= last {
		out = append(out, watermark.Range{First: first, Last: last})
	}
	return out
}
