package ingest

import (
	"context"
	"errors"
	"fmt"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

// begin commits the start of a new epoch. What was committed is read again by
// the next round and decides: of two owners that begin one at the same time,
// both end up with the same.
//
// The epoch begins at the committed position, or where the log begins when
// there is none. One that we have committed for a topic that was made again
// since is none: commits go by name, so it has landed in the new topic before
// that was noticed. A position that is not in the log any more moves into it;
// what is skipped so is reported.
func (a *assignment) begin(ctx context.Context, f found, why string) error {
	from := f.offset
	if why == topicMadeAgain {
		from = noOffset
	}
	start := from
	if start == noOffset {
		start = f.low
	}
	start = min(max(start, f.low), max(f.low, f.high))
	epoch, err := a.freeEpoch(ctx, f, start)
	if err != nil || epoch == "" {
		return err
	}
	m := metadata{Pipeline: a.pipeline, TopicID: f.topicID, Epoch: epoch, Window: start, Offset: start}
	if err := a.commit(ctx, position{topic: a.topic, partition: a.partition, offset: start, metadata: m.String()}); err != nil {
		return fmt.Errorf("beginning epoch %s: %w", epoch, err)
	}
	a.newEpoch = why
	if from != noOffset && from < start {
		a.skipped(from, start)
	}
	return nil
}

// freeEpoch is the first epoch id of today that was not used. One whose first
// window exists was, and so was the one that the untrusted metadata names: its
// first window may have been deleted. It is empty when another owner has
// committed meanwhile.
//
// Ids are found, not drawn: two owners that race find the same one, commit the
// same metadata, and the chain decides between them. The committed offset is
// read again before an id that is in use is passed over, because the one who
// uses it may be an owner whose metadata has just landed. Without that, owner A
// begins n and starts its first window, owner B, which had read the offset
// before, finds n in use and begins n+1: two chains over the same messages.
func (a *assignment) freeEpoch(ctx context.Context, f found, start int64) (string, error) {
	day := a.now().UTC().Format("20060102")
	m, _, _ := parseMetadata(f.metadata) // of an unknown version it is refused
	for n := 1; ; n++ {
		epoch := fmt.Sprintf("%d-%s-%d", start, day, n)
		if epoch == m.Epoch {
			continue
		}
		_, err := a.windows.Describe(ctx, a.link(epoch, start).WorkflowID())
		if errors.Is(err, ErrNotFound) {
			return epoch, nil
		}
		if err != nil {
			return "", fmt.Errorf("looking for a free epoch: %w", err)
		}
		again, err := a.broker.Committed(ctx, a.partition)
		if err != nil {
			return "", err
		}
		if again != f.committed {
			return "", nil
		}
	}
}

// skipped reports messages that nobody can read any more.
func (a *assignment) skipped(from, to int64) {
	a.record(events.OffsetsSkipped{
		At: events.At{Topic: a.topic, Partition: a.partition, Offset: from}, Next: to,
		Because: "they were removed from the topic before they were read",
	})
}

func (a *assignment) link(epoch string, start int64) workflows.Link {
	return workflows.Link{Pipeline: a.pipeline, Topic: a.topic, Partition: a.partition, Epoch: epoch, Start: start}
}

// found is what a round of preparation has read.
type found struct {
	committed
	topicID   string
	low, high int64
}
