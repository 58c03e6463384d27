package ingest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

func TestIngest(t *testing.T) {
	t.Parallel()

	t.Run("ConsumesAndCommits", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 2)
		b.windows.completes = true
		b.produce(t, 0, 55)
		b.produce(t, 1, 7)
		p := b.start(t, "w1")
		p.ready(t, 2)

		b.awaitCommitted(t, 0, 55)
		b.awaitCommitted(t, 1, 7)
		require.Equal(t, upTo(55), b.windows.offsets(0))
		require.Equal(t, upTo(7), b.windows.offsets(1))
		require.NoError(t, chainError(b.windows.all()))

		m, ours, err := parseMetadata(b.committed(t, 0).metadata)
		require.NoError(t, err)
		require.True(t, ours)
		day := time.Now().UTC().Format("20060102")
		require.Equal(t, metadata{
			Version: 1, Pipeline: "pipe", TopicID: m.TopicID, Epoch: fmt.Sprintf("0-%s-1", day), Window: 55, Offset: 55,
		}, m)
		require.NotEmpty(t, m.TopicID)

		first := b.windows.all()[0].in
		require.Len(t, first.TopicID, 8)
		require.Equal(t, m.TopicID[:8], first.TopicID)
		require.Equal(t, 50*time.Millisecond, first.ProgressInterval)
		require.Len(t, eventsOf[events.Consumed](p.events), 62)
		require.Len(t, eventsOf[events.AssignmentReady](p.events), 2)
		require.Equal(t, "the group has committed no offset", eventsOf[events.AssignmentReady](p.events)[0].NewEpoch)
		require.Eventually(t, func() bool { return len(eventsOf[events.QueueDepth](p.events)) > 0 }, eventually, soon)
	})

	t.Run("KeepsTheWholeRecord", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.completes = true
		at := time.UnixMilli(1_700_000_000_123)
		b.produceRecords(t, 0,
			&kgo.Record{Key: []byte("k"), Value: nil, Timestamp: at, Headers: []kgo.RecordHeader{
				{Key: "a", Value: []byte{0xff}}, {Key: "a", Value: nil}, {Key: "b", Value: []byte{}},
			}},
			&kgo.Record{Key: []byte{}, Value: []byte{}},
			&kgo.Record{Value: make([]byte, 100_000)},
		)
		b.start(t, "w1")
		b.awaitCommitted(t, 0, 3)

		var got []struct {
			key, value drakkar.Bytes
			size       int
		}
		for _, w := range b.windows.all() {
			for _, m := range w.in.Messages {
				got = append(got, struct {
					key, value drakkar.Bytes
					size       int
				}{m.Key, m.Value, m.Size})
			}
		}
		require.Equal(t, drakkar.Bytes("k"), got[0].key)
		require.Nil(t, got[0].value)
		require.Zero(t, got[0].size)
		require.NotNil(t, got[1].key)
		require.NotNil(t, got[1].value)
		require.Empty(t, got[1].value)
		require.Nil(t, got[2].key)
		require.Nil(t, got[2].value)
		require.Equal(t, 100_000, got[2].size)

		first := b.windows.all()[0].in.Messages[0]
		require.Equal(t, at.UnixMilli(), first.Timestamp)
		require.Equal(t, []drakkar.Header{
			{Key: "a", Value: drakkar.Bytes{0xff}}, {Key: "a", Value: nil}, {Key: "b", Value: drakkar.Bytes{}},
		}, first.Headers)
	})

	t.Run("RestartAdoptsOpenWindows", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.produce(t, 0, 25)
		many := func(o *Options) { o.Ingest.MaxOpenWindows = 30 }
		p := b.start(t, "w1", many)
		require.Eventually(t, func() bool { return len(b.windows.offsets(0)) == 25 }, eventually, soon)
		before := b.windows.all()
		p.stop(t)
		require.Equal(t, int64(0), b.committed(t, 0).offset)

		b.windows.end("completed", before[0].in.WorkflowID())
		again := b.start(t, "w2", many)
		again.ready(t, 1)
		b.awaitCommitted(t, 0, before[0].in.Last+1)
		b.produce(t, 0, 5)
		b.awaitWindows(t, len(before)+1)
		b.windows.completeAll()
		b.awaitCommitted(t, 0, 30)

		require.Equal(t, upTo(30), b.windows.offsets(0))
		for _, w := range b.windows.all() {
			require.Equal(t, 1, w.starts, "window %s was started again", w.in.WorkflowID())
		}
		require.Equal(t, len(before), eventsOf[events.AssignmentReady](again.events)[0].Adopted)
		require.Empty(t, eventsOf[events.AssignmentReady](again.events)[0].NewEpoch)
		require.Len(t, eventsOf[events.Consumed](again.events), 5, "messages of adopted windows are not read again")
	})

	t.Run("GathersWhileWindowsAreOpen", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", func(o *Options) { o.Ingest.MaxOpenWindows = 2 })
		p.ready(t, 1)
		b.produce(t, 0, 1)
		b.awaitWindows(t, 1)
		b.produce(t, 0, 1)
		b.awaitWindows(t, 2)
		b.produce(t, 0, 25)
		require.Eventually(t, func() bool { return p.State().Messages == 25 }, eventually, soon)
		all := b.windows.all()
		require.Len(t, all, 2)
		require.Eventually(t, func() bool {
			return p.State().Partitions[0].Blocked == "ingest.max_open_windows are open"
		}, eventually, soon)

		b.windows.end("completed", all[1].in.WorkflowID())
		all = b.awaitWindows(t, 3)
		require.Len(t, all[2].in.Messages, 10)
		require.Equal(t, []string{all[0].in.WorkflowID()}, all[2].in.Open)
		b.windows.completeAll()
		b.awaitCommitted(t, 0, 27)
		require.NoError(t, chainError(b.windows.all()))
	})

	t.Run("ProgressMovesTheOffset", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", func(o *Options) { o.Ingest.MaxOpenWindows = 1 })
		b.produce(t, 0, 1)
		first := b.awaitWindows(t, 1)[0].in
		b.produce(t, 0, 10)
		require.Eventually(t, func() bool { return p.State().Messages == 10 }, eventually, soon)
		b.windows.end("completed", first.WorkflowID())
		w := b.awaitWindows(t, 2)[1].in
		require.Len(t, w.Messages, 10)
		b.windows.setFinished(w.WorkflowID(), finishedRange(1, 4), finishedRange(7, 9))
		b.awaitCommitted(t, 0, 5)
		m, _, err := parseMetadata(b.committed(t, 0).metadata)
		require.NoError(t, err)
		require.Equal(t, int64(1), m.Window)
		require.Equal(t, int64(5), m.Offset)
	})

	t.Run("TerminatedWindowsRunAgain", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.produce(t, 0, 1)
		p := b.start(t, "w1", func(o *Options) { o.Windows.MaxReruns = 2 })
		p.ready(t, 1)
		id := b.awaitWindows(t, 1)[0].in.WorkflowID()
		for run := 1; run <= 2; run++ {
			b.windows.end("terminated", id)
			require.Eventually(t, func() bool { return len(eventsOf[events.WindowRerun](p.events)) == run }, eventually, soon)
		}
		b.windows.end("failed", id)
		require.Eventually(t, func() bool { return len(eventsOf[events.WindowDeadLettered](p.events)) == 1 }, eventually, soon)
		w := b.windows.all()[0]
		require.True(t, w.in.DeadLetter)
		require.Contains(t, w.in.Because, "windows.max_reruns (2) times and ended without a result again: workflow failed")
		require.Equal(t, int64(0), b.committed(t, 0).offset)

		// The dead letters' own run is run again like any other.
		b.windows.end("terminated", id)
		require.Eventually(t, func() bool { return len(eventsOf[events.WindowRerun](p.events)) == 3 }, eventually, soon)
		b.windows.end("completed", id)
		b.awaitCommitted(t, 0, 1)
	})
}

func finishedRange(first, last int64) workflows.Range {
	return workflows.Range{First: first, Last: last}
}
