package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/drakkar-go/drakkar/events"
)

const (
	// commitBound is how long the committer waits for an answer before it says
	// so. The commit stays under way: the client offers no way to give it up.
	commitBound = 10 * time.Second

	// lastCommitBound is how long a revocation may wait for its final commit.
	lastCommitBound = 2 * time.Second
)

var errCommitHangs = errors.New("no answer from Kafka to a commit in time; it is still awaited")

// committer commits offsets, one request at a time.
type committer struct {
	broker positions
	events events.Recorder

	// turn is held while a commit is under way, by the goroutine that waits for
	// the client, which may be longer than its caller does.
	turn chan struct{}
}

func newCommitter(b positions, r events.Recorder) *committer {
	return &committer{broker: b, events: r, turn: make(chan struct{}, 1)}
}

// batch are positions and what is to be told about each answer.
type batch struct {
	positions []position
	answered  func(index int, err error, took time.Duration)
}

// commit waits for its turn, collects what is due, and commits it. Collecting
// under the turn keeps the offsets of a partition in order: nothing older is
// under way then. It returns once the answers are told, or when ctx ends;
// answers that come later are told then.
func (c *committer) commit(ctx context.Context, collect func() batch) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if ctx.Err() != nil {
		<-c.turn
		return context.Cause(ctx)
	}
	b := collect()
	if len(b.positions) == 0 {
		<-c.turn
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { <-c.turn }()

		began := time.Now()
		for i, err := range c.broker.Commit(b.positions) {
			b.answered(i, err, time.Since(began))
		}
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// one commits a single position and returns its answer.
func (c *committer) one(ctx context.Context, pos position) error {
	ctx, cancel := context.WithTimeoutCause(ctx, commitBound, errCommitHangs)
	defer cancel()

	answer := make(chan error, 1)
	err := c.commit(ctx, func() batch {
		return batch{
			positions: []position{pos},
			answered:  func(_ int, err error, _ time.Duration) { answer <- err },
		}
	})
	if err != nil {
		return err
	}
	return <-answer
}

// partitions commits what is due of some partitions.
func (c *committer) partitions(ctx context.Context, ps func() []*partition, recommit time.Duration) error {
	return c.commit(ctx, func() batch {
		var b batch
		var owners []*partition
		for _, p := range ps() {
			if pos, ok := p.due(recommit); ok {
				b.positions, owners = append(b.positions, pos), append(owners, p)
			}
		}
		b.answered = func(i int, err error, took time.Duration) {
			c.answered(owners[i], b.positions[i].offset, err, took)
		}
		return b
	})
}

func (c *committer) answered(p *partition, offset int64, err error, took time.Duration) {
	if err != nil {
		c.events.Record(events.CommitFailed{At: p.at(offset), Err: err})
		return
	}
	p.accepted(offset)
	c.events.Record(events.Committed{At: p.at(offset), Took: took})
}

// never is the recommit interval of commits that are made only when the
// watermark moved.
const never = time.Duration(1<<63 - 1)

// commitLoop commits on a timer until ctx ends.
func (i *Ingest) commitLoop(ctx context.Context) {
	tick := time.NewTicker(i.opt.Ingest.CommitInterval)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			i.commitOnce(ctx)
		}
	}
}

// commitOnce commits what is due of all partitions.
func (i *Ingest) commitOnce(ctx context.Context) {
	bounded, cancel := context.WithTimeoutCause(ctx, commitBound, errCommitHangs)
	defer cancel()

	err := i.committer.partitions(bounded, i.owned, i.opt.Ingest.RecommitInterval)
	hangs := errors.Is(err, errCommitHangs)
	if hangs {
		i.events.Record(events.CommitFailed{At: i.nowhere(), Err: err})
	}
	i.commitHangs.Store(hangs)
}

// finalCommit commits what is finished of partitions that are about to go.
func (i *Ingest) finalCommit(ps []*partition) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), lastCommitBound, errCommitHangs)
	defer cancel()

	err := i.committer.partitions(ctx, func() []*partition { return ps }, never)
	if err != nil {
		i.events.Record(events.CommitFailed{At: i.nowhere(), Err: err})
	}
}
