package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/drakkar-go/drakkar/events"
)

// bringUp takes a partition from its assignment to its end.
func (i *Ingest) bringUp(p *partition) {
	pl, err := i.prepare(p)
	if err != nil {
		return
	}
	p.share = i.slots.join()
	defer p.share.leave()
	for _, w := range p.run(pl) {
		p.share.take()
		i.events.Record(events.WindowStarted{
			At: w.at(), Workflow: w.id, Last: w.last, Messages: w.messages, Adopted: true,
		})
		i.goFollow(p, w)
	}
	if i.beginReading(p, pl.read) != nil {
		return
	}
	i.events.Record(events.AssignmentReady{
		At: p.at(pl.read), Epoch: pl.chain.Epoch, Adopted: len(pl.adopted), NewEpoch: pl.newEpoch,
		Took: time.Since(p.assigned),
	})
	i.goCancelOld(p, pl)
	i.dispatch(p)
}

// prepare finds out where the partition goes on, for as long as it takes. Its
// error is the end of the ownership, or that the partition is refused.
func (i *Ingest) prepare(p *partition) (plan, error) {
	a := &assignment{
		pipeline: i.opt.Pipeline, topic: p.topic, partition: p.id,
		broker: i.broker.of(p.topic), windows: i.opt.Temporal,
		commit: i.committer.one, record: i.events.Record, now: time.Now,
	}
	for attempt := 1; ; attempt++ {
		pl, err := i.prepareOnce(p, a)
		var unknown *unknownVersionError
		switch {
		case p.ctx.Err() != nil:
			return plan{}, context.Cause(p.ctx)
		case errors.As(err, &unknown):
			p.refuse()
			i.report(p, failure{key: problemPrepare, doing: "taking over the partition", err: err, stuck: true})
			return plan{}, err
		case err == nil:
			p.problem(problemPrepare, "")
			return pl, nil
		}
		i.report(p, failure{key: problemPrepare, doing: "taking over the partition", err: err})
		if err := pause(p.ctx, backoff(attempt)); err != nil {
			return plan{}, err
		}
	}
}

// prepareOnce makes one attempt in its turn. Between attempts others have
// theirs: partitions that cannot be prepared hold up no other.
func (i *Ingest) prepareOnce(p *partition, a *assignment) (plan, error) {
	select {
	case i.preparing <- struct{}{}:
		defer func() { <-i.preparing }()
	case <-p.ctx.Done():
		return plan{}, context.Cause(p.ctx)
	}
	return a.prepare(p.ctx)
}

// beginReading hands the partition to the client, at the offset where it goes
// on. The client may refuse while it is busy with a rebalance, so it is tried
// again.
func (i *Ingest) beginReading(p *partition, from int64) error {
	for attempt := 1; ; attempt++ {
		err := i.onPoll(p.ctx, func() error { return i.startReading(p, from) })
		switch {
		case p.ctx.Err() != nil:
			return context.Cause(p.ctx)
		case errors.Is(err, errRevoked):
			return err
		case err == nil:
			p.problem(problemPrepare, "")
			return nil
		}
		if attempt > 5 {
			i.report(p, failure{key: problemPrepare, doing: "beginning to read the partition", err: err})
		}
		if err := pause(p.ctx, backoff(attempt)); err != nil {
			return err
		}
	}
}

// failure is what keeps a partition, or a window of it, from going on.
type failure struct {
	key      string // of the problem
	workflow string
	doing    string
	err      error
	stuck    bool // someone has to act
}

// report makes a failure visible: as a reason for not being ready for as long
// as it lasts, and as an event when it is new.
func (i *Ingest) report(p *partition, f failure) {
	if !p.problem(f.key, f.doing+": "+f.err.Error()) {
		return
	}
	i.events.Record(events.IngestFailed{
		At: p.at(p.readUpTo()), Workflow: f.workflow, Doing: f.doing, Err: f.err, Stuck: f.stuck,
	})
}

// startWaits reports why Start has not returned yet.
func (i *Ingest) startWaits(err error) {
	i.mu.Lock()
	changed := i.doing != err.Error()
	i.doing = err.Error()
	i.mu.Unlock()
	if changed {
		i.events.Record(events.IngestFailed{
			At: i.nowhere(), Doing: "waiting for Temporal", Err: err,
		})
	}
}

// nowhere is the place of what is not about one partition.
func (i *Ingest) nowhere() events.At { return events.At{Topic: i.opt.Kafka.SourceTopic, Partition: -1} }
