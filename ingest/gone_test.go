package ingest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

func TestGone(t *testing.T) {
	t.Parallel()

	// chain starts windows of one message each and returns them.
	chain := func(t *testing.T, b *testBundle, n int) (ids []string) {
		t.Helper()

		b.produce(t, 0, n)
		for _, w := range b.awaitWindows(t, n) {
			ids = append(ids, w.in.WorkflowID())
		}
		return ids
	}
	single := func(o *Options) { o.WindowSize, o.Ingest.MaxOpenWindows = 1, 10 }
	rereads := func(p *process) []events.WindowReread { return eventsOf[events.WindowReread](p.events) }
	// told waits until the committed metadata tells of the chain up to next.
	told := func(t *testing.T, b *testBundle, next int64) {
		t.Helper()

		require.Eventually(t, func() bool {
			m, ours, err := parseMetadata(b.committed(t, 0).metadata)
			return err == nil && ours && m.end() == next
		}, eventually, soon)
	}

	t.Run("RunsTheRestAgain", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", oneOpen)
		in := b.openWindow(t, p, 9) // 1 to 9
		id := in.WorkflowID()
		b.windows.setFinished(id, finishedRange(1, 4), finishedRange(7, 7))
		b.awaitCommitted(t, 0, 5)
		b.windows.remove(id)
		require.Eventually(t, func() bool { return len(rereads(p)) == 1 }, eventually, soon)

		again := b.windows.all()[1].in
		require.Equal(t, in.Link, again.Link)
		require.Equal(t, in.Last, again.Last)
		require.Equal(t, in.TopicID, again.TopicID)
		require.Equal(t, []int64{5, 6, 8, 9}, inputOffsets(again))
		require.Equal(t, in.Messages[4], again.Messages[0], "the whole record")
		require.Equal(t, []workflows.Range{finishedRange(1, 4), finishedRange(7, 7)}, again.Finished)
		require.Equal(t, in.ProgressInterval, again.ProgressInterval)
		require.Zero(t, rereads(p)[0].Gone)
		require.Equal(t, 4, rereads(p)[0].Messages)
		require.Equal(t, int64(5), b.committed(t, 0).offset)
		b.windows.end("completed", id)
		b.awaitCommitted(t, 0, 10)
		p.ready(t, 1)
	})

	t.Run("InTheMiddleOfTheChain", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", single)
		ids := chain(t, b, 4)
		b.windows.remove(ids[1])
		require.Eventually(t, func() bool { return len(rereads(p)) == 1 }, eventually, soon)
		b.windows.completeAll()
		b.awaitCommitted(t, 0, 4)
		require.Equal(t, upTo(4), sorted(b.windows.offsets(0)))
		for _, w := range b.windows.all() {
			require.Equal(t, 1, w.starts)
		}
	})

	// Nobody follows the chain while a window of it is deleted. The next owner
	// knows from what was committed that it was there.
	for name, gone := range map[string][]int{"First": {0}, "Middle": {1, 2}, "Last": {3}, "All": {0, 1, 2, 3}} {
		t.Run("AtAssignment/"+name, func(t *testing.T) {
			t.Parallel()

			b := setup(t, 1)
			p := b.start(t, "w1", single)
			ids := chain(t, b, 4)
			told(t, b, 4)
			p.stop(t)
			for _, n := range gone {
				b.windows.remove(ids[n])
			}
			again := b.start(t, "w2", func(o *Options) { o.Ingest.MaxOpenWindows = 10 }) // would cut otherwise
			again.ready(t, 1)
			require.Eventually(t, func() bool { return len(rereads(again)) == len(gone) }, eventually, soon)
			b.produce(t, 0, 1)
			b.awaitWindows(t, 5)
			b.windows.completeAll()
			b.awaitCommitted(t, 0, 5)
			require.Equal(t, upTo(5), sorted(b.windows.offsets(0)), "each message is in one window")
			for n, r := range rereads(again) {
				require.Equal(t, ids[gone[n]], r.Workflow, "they are started in the order of the chain")
			}
			require.Equal(t, 4, eventsOf[events.AssignmentReady](again.events)[0].Adopted)
		})
	}

	// Temporal forgets windows that finished behind one that stays open for long.
	// They are not open again.
	t.Run("AtAssignment/FinishedBehindAnOpenOne", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", single, recommits)
		ids := chain(t, b, 5)
		b.windows.end("completed", ids[1], ids[3])
		require.Eventually(t, func() bool {
			m, _, err := parseMetadata(b.committed(t, 0).metadata)
			return err == nil && m.Finished == "0101" && len(m.Lengths) == 5
		}, eventually, soon)
		p.stop(t)
		for _, n := range []int{1, 2, 3} {
			b.windows.remove(ids[n])
		}
		again := b.start(t, "w2", single, recommits)
		again.ready(t, 1)
		require.Eventually(t, func() bool { return len(rereads(again)) == 1 }, eventually, soon)
		require.Equal(t, ids[2], rereads(again)[0].Workflow)
		require.Len(t, again.State().Partitions[0].Windows, 5)
		b.windows.completeAll()
		b.awaitCommitted(t, 0, 5)
		require.Equal(t, []int64{0, 2, 4}, sorted(b.windows.offsets(0)), "the others ran once")
	})

	// What an owner finds is told by its first commit. When it ends before the
	// watermark moves, and windows vanish, the next one knows them.
	t.Run("AdoptedWindowsAreTold", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", single, func(o *Options) { o.Ingest.CommitInterval = time.Hour })
		p.ready(t, 1)
		ids := chain(t, b, 4)
		require.NoError(t, p.onPoll(t.Context(), func() error { p.fail(errLost); return nil })) // no final commit
		p.stop(t)
		m, _, err := parseMetadata(b.committed(t, 0).metadata)
		require.NoError(t, err)
		require.Empty(t, m.Lengths)
		second := b.start(t, "w2", single)
		second.ready(t, 1)
		told(t, b, 4)
		second.stop(t)
		b.windows.remove(ids[2])
		third := b.start(t, "w3", func(o *Options) { o.Ingest.MaxOpenWindows = 10 })
		third.ready(t, 1)
		require.Eventually(t, func() bool { return len(rereads(third)) == 1 }, eventually, soon)
		require.Len(t, third.State().Partitions[0].Windows, 4)
	})

	t.Run("AtAssignment/CommittedInsideOfIt", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", oneOpen)
		in := b.openWindow(t, p, 5) // 1 to 5
		b.windows.setFinished(in.WorkflowID(), finishedRange(1, 3))
		b.awaitCommitted(t, 0, 4)
		p.stop(t)
		b.windows.remove(in.WorkflowID())
		again := b.start(t, "w2")
		again.ready(t, 1)
		require.Eventually(t, func() bool { return len(rereads(again)) == 1 }, eventually, soon)
		require.Equal(t, []int64{4, 5}, inputOffsets(b.windows.all()[1].in))
		require.Equal(t, in.Last, b.windows.all()[1].in.Last)
	})

	// What was started after the last commit cannot be told from the end of the
	// chain: the same link is started with what is read from there on.
	t.Run("AtAssignment/NotTold", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", single)
		ids := chain(t, b, 2)
		told(t, b, 2)
		epoch := p.State().Partitions[0].Epoch
		p.stop(t)
		m := metadata{Pipeline: "pipe", TopicID: b.topicID(t), Epoch: epoch}
		b.setCommitted(t, 0, committed{offset: 0, metadata: m.String()})
		b.windows.remove(ids[0])
		again := b.start(t, "w2", single)
		again.ready(t, 1)
		b.windows.completeAll()
		b.awaitCommitted(t, 0, 2)
		require.Equal(t, upTo(2), sorted(b.windows.offsets(0)))
		require.Empty(t, rereads(again))
	})

	// Both owners know the range, so whoever is first starts the same window.
	t.Run("AnotherOwnerIsFaster", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.startErr = func(in workflows.WindowInput) error {
			if id := in.WorkflowID(); b.windows.isRemoved[id] {
				other := in
				other.Open = []string{"the other's"}
				b.windows.byID[id] = &fakeWindow{in: other, status: "running", starts: 1}
			}
			return nil
		}
		p := b.start(t, "w1", single)
		ids := chain(t, b, 2)
		b.windows.remove(ids[0])
		require.Eventually(t, func() bool { return len(b.windows.all()) == 2 }, eventually, soon)
		require.Equal(t, []string{"the other's"}, b.windows.all()[0].in.Open)
		b.awaitLooks(t, ids[0], 1)
		require.Empty(t, eventsOf[events.IngestFailed](p.events))
		b.windows.completeAll()
		b.awaitCommitted(t, 0, 2)
		p.ready(t, 1)
	})

	t.Run("AnotherOwnerHasCutOtherwise", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.startErr = func(in workflows.WindowInput) error {
			if id := in.WorkflowID(); b.windows.isRemoved[id] {
				other := in
				other.Last, other.Messages = 2, in.Messages[:2]
				b.windows.byID[id] = &fakeWindow{in: other, status: "running", starts: 1}
			}
			return nil
		}
		p := b.start(t, "w1", oneOpen, func(o *Options) { o.Ingest.ProgressInterval = time.Hour })
		in := b.openWindow(t, p, 3) // 1 to 3
		b.windows.remove(in.WorkflowID())
		require.Eventually(t, func() bool { return len(eventsOf[events.AssignmentReady](p.events)) == 2 }, eventually, soon)
		b.windows.completeAll()
		b.awaitCommitted(t, 0, 4)
		require.Equal(t, upTo(4), b.windows.offsets(0))
		require.Empty(t, rereads(p))
		p.ready(t, 1)
	})

	// The other was faster between two looks, so nobody noticed that the window
	// was gone: its result is not that of the range that is known.
	t.Run("AnotherOwnersRangeIsFound", func(t *testing.T) {
		t.Parallel()

		for _, by := range []string{"result", "progress"} {
			b := setup(t, 1)
			p := b.start(t, "w1", oneOpen)
			in := b.openWindow(t, p, 5) // 1 to 5
			b.windows.mu.Lock()
			other := in
			other.Last, other.Messages = 3, in.Messages[:3]
			b.windows.byID[in.WorkflowID()] = &fakeWindow{in: other, status: "running", starts: 1}
			b.windows.mu.Unlock()
			if by == "result" {
				b.windows.end("completed", in.WorkflowID())
			}
			require.Eventually(t, func() bool { return len(eventsOf[events.AssignmentReady](p.events)) == 2 }, eventually, soon)
			b.windows.completeAll()
			b.awaitCommitted(t, 0, 6)
			require.Equal(t, upTo(6), b.windows.offsets(0))
		}
	})

	t.Run("RetentionHasPassedSomeOfIt", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", oneOpen)
		in := b.openWindow(t, p, 9) // 1 to 9
		b.windows.setFinished(in.WorkflowID(), finishedRange(3, 4))
		require.Eventually(t, func() bool {
			part := p.partition(source{testTopic, 0})
			part.mu.Lock()
			defer part.mu.Unlock()
			return len(part.tracker.Done(1)) == 1
		}, eventually, soon)
		b.deleteBefore(t, 0, 6)
		b.windows.remove(in.WorkflowID())
		require.Eventually(t, func() bool { return len(rereads(p)) == 1 }, eventually, soon)
		require.Equal(t, []int64{6, 7, 8, 9}, inputOffsets(b.windows.all()[1].in))
		require.Equal(t, 5, rereads(p)[0].Gone)
		skipped := eventsOf[events.OffsetsSkipped](p.events)
		require.Len(t, skipped, 2)
		require.Equal(t, []int64{1, 3}, []int64{skipped[0].Offset, skipped[0].Next})
		require.Equal(t, []int64{5, 6}, []int64{skipped[1].Offset, skipped[1].Next})
		b.windows.completeAll()
		b.awaitCommitted(t, 0, 10)
	})

	t.Run("RetentionHasPassedAllOfIt", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", single)
		ids := chain(t, b, 3)
		b.deleteBefore(t, 0, 2)
		b.windows.remove(ids[0])
		b.windows.remove(ids[1])
		b.awaitCommitted(t, 0, 2)
		require.Len(t, b.windows.all(), 1)
		require.Len(t, rereads(p), 2)
		require.Equal(t, 1, rereads(p)[1].Gone)
		require.Len(t, eventsOf[events.OffsetsSkipped](p.events), 2)
		p.ready(t, 1)
		b.windows.completeAll()
		b.awaitCommitted(t, 0, 3)
	})

	t.Run("GapsAreNothing", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", oneOpen)
		b.produce(t, 0, 1)
		first := b.awaitWindows(t, 1)[0].in
		tx, err := kgo.NewClient(kgo.SeedBrokers(b.cluster.ListenAddrs()...), kgo.TransactionalID("tx"))
		require.NoError(t, err)
		defer tx.Close()
		for n := range 4 { // 1 2 and a marker, 4 5 aborted and a marker, and so on
			require.NoError(t, tx.BeginTransaction())
			for range 2 {
				require.NoError(t, tx.ProduceSync(t.Context(), &kgo.Record{Topic: testTopic, Value: []byte("v")}).FirstErr())
			}
			require.NoError(t, tx.EndTransaction(t.Context(), kgo.TransactionEndTry(n%2 == 0)))
		}
		require.Eventually(t, func() bool { return p.State().Messages == 4 }, eventually, soon)
		b.windows.end("completed", first.WorkflowID())
		in := b.awaitWindows(t, 2)[1].in
		require.Equal(t, []int64{1, 2, 7, 8}, inputOffsets(in))
		b.windows.remove(in.WorkflowID())
		require.Eventually(t, func() bool { return len(rereads(p)) == 1 }, eventually, soon)
		require.Equal(t, []int64{1, 2, 7, 8}, inputOffsets(b.windows.all()[1].in))
		require.Zero(t, rereads(p)[0].Gone)
	})

	// The new workflow is as young as any: it is not ended for the age of the one
	// that is gone.
	t.Run("ItsAgeBeginsAnew", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1")
		b.produce(t, 0, 1)
		id := b.awaitWindows(t, 1)[0].in.WorkflowID()
		p.stop(t)
		b.windows.mu.Lock()
		b.windows.byID[id].started = time.Now().Add(-2 * time.Hour)
		b.windows.mu.Unlock()
		p = b.start(t, "w2", func(o *Options) { o.Windows.MaxAge = 4 * time.Hour })
		p.ready(t, 1)
		b.windows.remove(id)
		require.Eventually(t, func() bool { return len(rereads(p)) == 1 }, eventually, soon)
		require.WithinDuration(t, time.Now(), p.State().Partitions[0].Windows[0].Started, time.Hour)
	})

	t.Run("TooLargeLeavesContentBehind", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.startErr = func(in workflows.WindowInput) error {
			if b.windows.isRemoved[in.WorkflowID()] && in.Messages[0].Size == 0 {
				return ErrTooLarge
			}
			return nil
		}
		p := b.start(t, "w1", oneOpen)
		in := b.openWindow(t, p, 3)
		b.windows.remove(in.WorkflowID())
		require.Eventually(t, func() bool { return len(rereads(p)) == 1 }, eventually, soon)
		for _, m := range b.windows.all()[1].in.Messages {
			require.Nil(t, m.Value)
			require.Equal(t, 3, m.Size)
		}
	})
}
