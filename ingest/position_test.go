package ingest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

func TestPosition(t *testing.T) {
	t.Parallel()

	// epochOf is the id of the nth epoch that begins at start today.
	epochOf := func(start int64, n int) string {
		return fmt.Sprintf("%d-%s-%d", start, time.Now().UTC().Format("20060102"), n)
	}
	// run starts a process on a partition of 20 records and returns why a new
	// epoch was begun, and the offsets of windows from the one with index
	// `known` on.
	run := func(t *testing.T, b *testBundle, known int) (ready events.AssignmentReady, offsets []int64) {
		t.Helper()

		b.windows.completeAll()
		p := b.start(t, "w1")
		p.ready(t, 1)
		b.awaitCommitted(t, 0, 20)
		for _, w := range b.windows.all()[known:] {
			for _, m := range w.in.Messages {
				offsets = append(offsets, m.Offset)
			}
		}
		return eventsOf[events.AssignmentReady](p.events)[0], offsets
	}
	// known commits an offset with metadata that is right but for a change.
	known := func(t *testing.T, b *testBundle, c committed, change func(*metadata)) {
		t.Helper()

		m := metadata{Pipeline: "pipe", TopicID: b.topicID(t), Epoch: "0-20200101-1", Window: c.offset, Offset: c.offset}
		change(&m)
		b.setCommitted(t, 0, committed{offset: c.offset, metadata: m.String()})
	}
	// window is a window of the epoch known uses.
	window := func(t *testing.T, b *testBundle, start, last int64) string {
		t.Helper()

		in := workflows.WindowInput{
			Link: workflows.Link{Pipeline: "pipe", Topic: testTopic, Epoch: "0-20200101-1", Start: start}, Last: last,
		}
		require.NoError(t, b.windows.Start(t.Context(), in))
		return in.WorkflowID()
	}

	for _, tt := range []struct {
		name string
		c    committed
		why  string
	}{
		{"WithoutMetadata", committed{offset: 5}, "was not committed by Drakkar"},
		{"ForeignMetadata", committed{offset: 5, metadata: "consumer-7"}, "was not committed by Drakkar"},
		{"ForeignJSON", committed{offset: 5, metadata: `{"version":3,"e":"x"}`}, "was not committed by Drakkar"},
		{"TornMetadata", committed{offset: 5, metadata: `{"v":1,"p":"pipe"`}, "was not committed by Drakkar"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			b := setup(t, 1)
			b.produce(t, 0, 20)
			b.setCommitted(t, 0, tt.c)
			ready, offsets := run(t, b, 0)
			require.Contains(t, ready.NewEpoch, tt.why)
			require.Equal(t, epochOf(5, 1), ready.Epoch)
			require.Equal(t, upTo(20)[5:], offsets)
		})
	}

	for _, tt := range []struct {
		name   string
		change func(*metadata)
		why    string
		from   int64
	}{
		{"OffsetWasReset", func(m *metadata) { m.Offset, m.Window = 9, 9 }, "behind our back", 5},
		{"OtherPipeline", func(m *metadata) { m.Pipeline = "other" }, `pipeline "other"`, 5},
		{"TopicMadeAgain", func(m *metadata) { m.TopicID = "other" }, "deleted and made again", 0},
		{"TopicHadNoID", func(m *metadata) { m.TopicID = strings.Repeat("A", 22) }, "has an id since", 5},
		{"TopicMadeAgainAndReset", func(m *metadata) { m.TopicID, m.Offset, m.Window = "other", 9, 9 }, "behind our back", 5},
		{"TopicMadeAgainOfOtherPipeline", func(m *metadata) { m.TopicID, m.Pipeline = "other", "other" }, `pipeline "other"`, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			b := setup(t, 1)
			b.produce(t, 0, 20)
			known(t, b, committed{offset: 5}, tt.change)
			ready, offsets := run(t, b, 0)
			require.Contains(t, ready.NewEpoch, tt.why)
			require.Equal(t, upTo(20)[tt.from:], offsets)
		})
	}

	for _, cancelOld := range []bool{false, true} {
		t.Run(fmt.Sprintf("OldWindowsAfterAReset/cancel_old=%v", cancelOld), func(t *testing.T) {
			t.Parallel()

			b := setup(t, 1)
			b.produce(t, 0, 20)
			old := window(t, b, 5, 9)
			known(t, b, committed{offset: 5}, func(*metadata) {})
			b.setCommitted(t, 0, committed{offset: 0})
			p := b.start(t, "w1", func(o *Options) { o.CancelOld = cancelOld })
			p.ready(t, 1)
			b.awaitWindows(t, 2)
			if cancelOld {
				require.Eventually(t, func() bool { return len(eventsOf[events.OldWindowsCancelled](p.events)) == 1 }, eventually, soon)
			}
			p.stop(t) // nothing is under way any more
			_, err := b.windows.Wait(t.Context(), old)
			if cancelOld {
				var closed *ClosedError
				require.ErrorAs(t, err, &closed)
			} else {
				require.ErrorIs(t, err, ErrNotYet)
			}
			for _, w := range b.windows.all()[1:] {
				require.Equal(t, "running", w.status)
			}
			require.Equal(t, int64(0), b.windows.all()[1].in.Start, "what the operator asked for is done again")
		})
	}

	t.Run("EpochIDsThatWereUsedArePassedOver", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.produce(t, 0, 20)
		for n := 1; n <= 2; n++ {
			require.NoError(t, b.windows.Start(t.Context(), workflows.WindowInput{
				Link: workflows.Link{Pipeline: "pipe", Topic: testTopic, Epoch: epochOf(0, n), Start: 0}, Last: 3,
			}))
		}
		ready, offsets := run(t, b, 2)
		require.Equal(t, epochOf(0, 3), ready.Epoch)
		require.Equal(t, upTo(20), offsets)
	})

	t.Run("CommittedInsideOfAWindow", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.produce(t, 0, 20)
		id := window(t, b, 3, 9)
		known(t, b, committed{offset: 5}, func(m *metadata) { m.Window = 3 })
		p := b.start(t, "w1")
		p.ready(t, 1)
		require.Equal(t, int64(5), p.State().Partitions[0].Watermark)
		require.Equal(t, int64(10), b.awaitWindows(t, 2)[1].in.Start)
		b.windows.end("completed", id)
		b.awaitCommitted(t, 0, 10)
	})

	t.Run("ChainBehindTheLogsEnd", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.produce(t, 0, 20)
		window(t, b, 5, 30)
		known(t, b, committed{offset: 5}, func(*metadata) {})
		ready, offsets := run(t, b, 1)
		require.Contains(t, ready.NewEpoch, "behind the log's end")
		require.Equal(t, upTo(20)[5:], offsets)
	})

	t.Run("OffsetBehindTheLogsEnd", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.produce(t, 0, 20)
		known(t, b, committed{offset: 50}, func(*metadata) {})
		b.windows.completes = true
		p := b.start(t, "w1")
		p.ready(t, 1)
		require.Equal(t, epochOf(20, 1), p.State().Partitions[0].Epoch)
		b.produce(t, 0, 2)
		b.awaitCommitted(t, 0, 22)
		require.Equal(t, []int64{20, 21}, b.windows.offsets(0))
	})

	t.Run("UnknownVersionRefusesOnlyItsPartition", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 2)
		b.windows.completes = true
		b.produce(t, 0, 5)
		b.produce(t, 1, 5)
		b.setCommitted(t, 0, committed{offset: 2, metadata: `{"v":7}`})
		p := b.start(t, "w1")
		b.awaitCommitted(t, 1, 5)
		require.Eventually(t, func() bool { return len(p.Ready(t.Context())) == 1 }, eventually, soon)
		require.Contains(t, p.Ready(t.Context())[0], "metadata of version 7")
		require.Equal(t, Refused, p.State().Partitions[0].Phase)
		require.True(t, eventsOf[events.IngestFailed](p.events)[0].Stuck)
		require.Equal(t, int64(2), b.committed(t, 0).offset)
		require.Empty(t, b.windows.offsets(0))
	})

	// What the offset said was about another log: nothing of this one is skipped.
	t.Run("TopicMadeAgainAndExpired", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.produce(t, 0, 20)
		b.deleteBefore(t, 0, 12)
		known(t, b, committed{offset: 5}, func(m *metadata) { m.TopicID = "other" })
		b.windows.completes = true
		p := b.start(t, "w1")
		p.ready(t, 1)
		b.awaitCommitted(t, 0, 20)
		require.Equal(t, upTo(20)[12:], b.windows.offsets(0))
		require.Empty(t, eventsOf[events.OffsetsSkipped](p.events))
	})

	t.Run("ExpiredOffset", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.produce(t, 0, 20)
		b.deleteBefore(t, 0, 12)
		known(t, b, committed{offset: 5}, func(*metadata) {})
		b.windows.completes = true
		p := b.start(t, "w1")
		p.ready(t, 1)
		b.awaitCommitted(t, 0, 20)
		require.Equal(t, upTo(20)[12:], b.windows.offsets(0))
		skipped := eventsOf[events.OffsetsSkipped](p.events)
		require.Len(t, skipped, 1)
		require.Equal(t, int64(5), skipped[0].Offset)
		require.Equal(t, int64(12), skipped[0].Next)
		require.Empty(t, eventsOf[events.AssignmentReady](p.events)[0].NewEpoch)
	})

	t.Run("ExpiredBehindOpenWindows", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.produce(t, 0, 20)
		b.deleteBefore(t, 0, 12)
		id := window(t, b, 5, 7)
		known(t, b, committed{offset: 5}, func(*metadata) {})
		p := b.start(t, "w1")
		p.ready(t, 1)
		all := b.awaitWindows(t, 2)
		require.Equal(t, int64(8), all[1].in.Start)
		require.Equal(t, int64(12), all[1].in.Messages[0].Offset)
		skipped := eventsOf[events.OffsetsSkipped](p.events)
		require.Len(t, skipped, 1)
		require.Equal(t, []int64{8, 12}, []int64{skipped[0].Offset, skipped[0].Next})
		require.Equal(t, int64(5), b.committed(t, 0).offset)
		b.windows.end("completed", id)
		b.awaitCommitted(t, 0, 8)
	})

	// hold fills partitions until they are paused behind an open window each.
	hold := func(t *testing.T, b *testBundle, p *process, partitions ...int32) {
		t.Helper()

		for _, id := range partitions {
			b.produce(t, id, 1)
		}
		b.awaitWindows(t, len(partitions))
		for _, id := range partitions {
			b.produce(t, id, 30)
			require.Eventually(t, func() bool { return p.State().Partitions[id].Paused }, eventually, soon)
		}
	}
	small := func(o *Options) {
		o.Ingest.MaxOpenWindows = 1
		o.Ingest.PartitionHighMessages, o.Ingest.PartitionLowMessages = 3, 0
	}
	// begun is how often a partition was brought up.
	begun := func(p *process, partition int32) (n int) {
		for _, r := range eventsOf[events.AssignmentReady](p.events) {
			if r.Partition == partition {
				n++
			}
		}
		return n
	}

	for _, protocol := range []string{"classic", "consumer"} {
		t.Run("ExpiredWhileItIsRead/"+protocol, func(t *testing.T) {
			t.Parallel()

			b := setup(t, 1)
			p := b.start(t, "w1", small, func(o *Options) { o.Kafka.GroupProtocol = protocol })
			p.ready(t, 1)
			hold(t, b, p, 0)
			read := p.State().Partitions[0].Read
			b.deleteBefore(t, 0, 25)
			b.windows.completeAll()
			b.awaitCommitted(t, 0, 31)
			skipped := eventsOf[events.OffsetsSkipped](p.events)
			require.Len(t, skipped, 1)
			require.Equal(t, []int64{read, 25}, []int64{skipped[0].Offset, skipped[0].Next})
			require.Equal(t, append(upTo(read), upTo(31)[25:]...), b.windows.offsets(0))

			// The group goes on as before.
			second := b.start(t, "w2", func(o *Options) { o.Kafka.GroupProtocol = protocol })
			require.Eventually(t, func() bool { return len(second.Ready(t.Context())) == 0 }, eventually, soon)
			b.produce(t, 0, 3)
			b.awaitCommitted(t, 0, 34)
		})
	}

	t.Run("ExpiredBesideALogThatCannotBeAskedFor", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 3)
		p := b.start(t, "w1", small)
		p.ready(t, 3)
		hold(t, b, p, 0)
		b.deleteBefore(t, 0, 25)
		b.refuseEnds(func(partition int32) bool { return partition == 1 })
		b.windows.completeAll()
		b.awaitCommitted(t, 0, 31)
		require.Equal(t, []int{2, 1, 1}, []int{begun(p, 0), begun(p, 1), begun(p, 2)})
	})

	// The second is about a partition that has been looked at already.
	t.Run("ExpiredWhileItIsLookedForAnother", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 2)
		p := b.start(t, "w1", small)
		p.ready(t, 2)
		hold(t, b, p, 0, 1)
		looking, goOn := make(chan struct{}), make(chan struct{})
		var once sync.Once
		b.cluster.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.cluster.KeepControl()
			asked := req.(*kmsg.ListOffsetsRequest).Topics[0].Partitions[0]
			if asked.Partition == 1 && asked.Timestamp == -1 { // its beginning is known
				once.Do(func() {
					close(looking)
					b.cluster.SleepControl(func() { <-goOn })
				})
			}
			return nil, nil, false
		})
		tell := func() {
			stray := kafka.NewError(kafka.ErrAutoOffsetReset, "out of range", false)
			require.NoError(t, p.onPoll(t.Context(), func() error { p.clientError(stray); return nil }))
		}
		b.deleteBefore(t, 0, 25)
		tell()
		<-looking
		b.deleteBefore(t, 1, 25)
		tell()
		close(goOn)
		for id := range int32(2) {
			require.Eventually(t, func() bool { return begun(p, id) == 2 }, eventually, soon, "partition %d", id)
		}
		require.Len(t, eventsOf[events.OffsetsSkipped](p.events), 2)
	})

	// The client knows of one, and its position may be in the log again.
	t.Run("AllAreBroughtUpWhenNoneIsFound", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 2)
		p := b.start(t, "w1")
		p.ready(t, 2)
		stray := kafka.NewError(kafka.ErrAutoOffsetReset, "out of range", false)
		require.NoError(t, p.onPoll(t.Context(), func() error { p.clientError(stray); return nil }))
		for id := range int32(2) {
			require.Eventually(t, func() bool { return begun(p, id) == 2 }, eventually, soon, "partition %d", id)
		}
	})

	t.Run("Gaps", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.completes = true
		tx, err := kgo.NewClient(
			kgo.SeedBrokers(b.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.TransactionalID("tx"),
		)
		require.NoError(t, err)
		defer tx.Close()
		for n := range 6 { // each leaves a marker behind it; every other one is aborted
			require.NoError(t, tx.BeginTransaction())
			for range 3 {
				require.NoError(t, tx.ProduceSync(t.Context(), &kgo.Record{Topic: testTopic, Value: []byte("v")}).FirstErr())
			}
			require.NoError(t, tx.EndTransaction(t.Context(), kgo.TransactionEndTry(n%2 == 0)))
		}
		b.start(t, "w1").ready(t, 1)
		b.awaitCommitted(t, 0, 19)
		require.Equal(t, []int64{0, 1, 2, 8, 9, 10, 16, 17, 18}, b.windows.offsets(0))
		require.NoError(t, chainError(b.windows.all()))
	})
}

// topicID is the topic's id as it is committed.
func (b *testBundle) topicID(t *testing.T) string {
	t.Helper()

	opt := b.options("probe")
	opt.Events = &recorded{}
	i, err := New(opt)
	require.NoError(t, err)
	require.NoError(t, i.connect())
	defer func() { require.NoError(t, i.close(context.Background())) }()
	id, err := i.broker.of(testTopic).TopicID(t.Context())
	require.NoError(t, err)
	require.False(t, strings.HasPrefix(id, "AAAAAAAA"), "the topic has no id")
	return id
}
