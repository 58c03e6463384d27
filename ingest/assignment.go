package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/watermark"
	"github.com/drakkar-go/drakkar/workflows"
)

// errUnsettled says that other owners keep committing. It is tried again.
var errUnsettled = errors.New("other owners keep committing offsets of the partition")

// assignment finds out where an assigned partition goes on. It does one thing
// after the other and keeps nothing but its answer, so it can be repeated after
// any error.
type assignment struct {
	pipeline  string
	topic     string
	partition int32

	broker  broker
	windows Windows
	// commit commits one position under the committer's turn.
	commit func(context.Context, position) error
	record func(events.Event)
	now    func() time.Time

	// newEpoch says why an epoch was begun, over all rounds.
	newEpoch string
}

// plan is where a partition goes on.
type plan struct {
	chain   workflows.Link // without a start
	topicID string

	// tracker holds the chain as it was found, adopted its windows.
	tracker *watermark.Tracker
	adopted []adoptedWindow

	committed int64
	told      int64 // where the chain ends by what is committed
	read      int64 // the first offset to read
	newEpoch  string
}

// link is the link of the chain that begins at start.
func (p plan) link(start int64) workflows.Link {
	l := p.chain
	l.Start = start
	return l
}

// adoptedWindow is a window that an earlier owner has started.
type adoptedWindow struct {
	link workflows.Link
	Description
}

// roundsMax is how often an epoch is begun before pausing: each round reads what
// was committed, and needs another one only when it was not what it is to be.
const roundsMax = 4

// prepare returns where the partition goes on. An *unknownVersionError is final;
// other errors may pass.
func (a *assignment) prepare(ctx context.Context) (plan, error) {
	for range roundsMax {
		p, settled, err := a.round(ctx)
		if err != nil {
			return plan{}, err
		}
		if settled {
			p.newEpoch = a.newEpoch
			return p, nil
		}
	}
	return plan{}, errUnsettled
}

// round reads what is committed and follows it, or commits a new epoch: then
// settled is false, and the next round reads it back.
func (a *assignment) round(ctx context.Context) (p plan, settled bool, err error) {
	f, err := a.find(ctx)
	if err != nil {
		return plan{}, false, err
	}
	m, why, err := a.trusted(f)
	if err != nil {
		return plan{}, false, err
	}
	if why != "" {
		return plan{}, false, a.begin(ctx, f, why)
	}
	if p, err = a.walk(ctx, f, m); err != nil {
		return plan{}, false, err
	}
	// The log's ends are read again: windows may have been started, by an owner
	// that is on its way out, after they were read before.
	if f.low, f.high, err = a.broker.Ends(ctx, a.partition); err != nil {
		return plan{}, false, err
	}
	if why = p.beyond(f.high); why != "" {
		return plan{}, false, a.begin(ctx, f, why)
	}
	if p.read < f.low {
		// The epoch goes on: a former owner may still start windows of it.
		a.skipped(p.read, f.low)
		p.read = f.low
	}
	return p, true, nil
}

func (a *assignment) find(ctx context.Context) (f found, err error) {
	if f.topicID, err = a.broker.TopicID(ctx); err != nil {
		return f, err
	}
	if f.committed, err = a.broker.Committed(ctx, a.partition); err != nil {
		return f, err
	}
	f.low, f.high, err = a.broker.Ends(ctx, a.partition)
	return f, err
}

// trusted returns the metadata of the committed offset, or why there is none
// that can be followed.
func (a *assignment) trusted(f found) (m metadata, why string, err error) {
	if f.offset == noOffset {
		return m, "the group has committed no offset", nil
	}
	m, ours, err := parseMetadata(f.metadata)
	if err != nil {
		return m, "", err
	}
	if !ours {
		return m, "the offset was not committed by Drakkar", nil
	}
	return m, m.distrust(f.committed, a.pipeline, f.topicID), nil
}

// walk adopts the windows of the chain from the one that holds the committed
// offset on, until there is none.
//
// A window that is gone from Temporal looks like the end of the chain, while
// those behind it may run or be finished. The metadata tells them apart: a
// window whose range it knows has been there and is adopted like the others. It
// is started again by whoever follows it, unless it is known to be finished. One
// that the metadata does not know was started after the last commit, if ever:
// then the same link is started with what is read from there on, from the
// committed offset on when that lies inside of it.
func (a *assignment) walk(ctx context.Context, f found, m metadata) (plan, error) {
	p := plan{
		chain: a.link(m.Epoch, 0), topicID: f.topicID,
		tracker: watermark.New(m.Window, f.offset), committed: f.offset, told: m.end(),
	}
	for {
		next := a.link(m.Epoch, p.tracker.Next())
		d, err := a.windows.Describe(ctx, next.WorkflowID())
		if errors.Is(err, ErrNotFound) {
			last, finished, known := m.window(next.Start)
			if !known {
				p.read = max(p.tracker.Next(), f.offset)
				return p, nil
			}
			d, err = Description{Last: last, Completed: finished, Started: a.now()}, nil
		}
		if err != nil {
			return plan{}, fmt.Errorf("walking the chain at %s: %w", next.WorkflowID(), err)
		}
		if err := adopt(p.tracker, next.Start, d); err != nil {
			return plan{}, fmt.Errorf("adopting %s: %w", next.WorkflowID(), err)
		}
		p.adopted = append(p.adopted, adoptedWindow{link: next, Description: d})
	}
}

// beyond says what of the plan lies behind the end of the log, if anything: the
// log is not the one the offset was committed for.
func (p plan) beyond(high int64) string {
	switch {
	case len(p.adopted) > 0 && p.tracker.Next() > high:
		return fmt.Sprintf("its windows end at %d, behind the log's end at %d", p.tracker.Next(), high)
	case p.committed > high:
		return fmt.Sprintf("the committed offset %d is behind the log's end at %d", p.committed, high)
	default:
		return ""
	}
}

// adopt puts a window that was started by whomever into the tracker.
func adopt(t *watermark.Tracker, start int64, d Description) error {
	if err := t.Open(start, d.Last); err != nil {
		return err
	}
	if d.Completed {
		t.Finish(start)
		return nil
	}
	t.Progress(start, finishedRanges(d))
	return nil
}

func finishedRanges(d Description) []watermark.Range {
	out := make([]watermark.Range, len(d.Finished))
	for i, r := range d.Finished {
		out[i] = watermark.Range{First: r.First, Last: r.Last}
	}
	return out
}
