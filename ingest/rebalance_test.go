package ingest

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

func TestRebalance(t *testing.T) {
	t.Parallel()

	const partitions = 4

	// everyOffsetOnce asserts that windows hold each of n offsets of every
	// partition exactly once.
	everyOffsetOnce := func(t *testing.T, b *testBundle, n int64) {
		t.Helper()

		require.NoError(t, chainError(b.windows.all()))
		for id := range int32(partitions) {
			require.Equal(t, upTo(n), b.windows.offsets(id), "partition %d", id)
		}
	}

	t.Run("TwoConsumersAndBack", func(t *testing.T) {
		t.Parallel()

		b := setup(t, partitions)
		b.windows.completes = true
		fill := func() {
			for id := range int32(partitions) {
				b.produce(t, id, 100)
			}
		}
		first := b.start(t, "w1")
		first.ready(t, partitions)
		fill()
		second := b.start(t, "w2")
		second.ready(t, partitions/2)
		first.ready(t, partitions/2)
		fill()
		second.stop(t)
		first.ready(t, partitions)
		fill()
		for id := range int32(partitions) {
			b.awaitCommitted(t, id, 300)
		}
		everyOffsetOnce(t, b, 300)

		for _, r := range eventsOf[events.AssignmentReady](second.events) {
			require.Empty(t, r.NewEpoch)
		}
		revoked := eventsOf[events.Revoked](first.events)
		require.Len(t, revoked, 1)
		require.False(t, revoked[0].Lost)
		require.Len(t, revoked[0].Partitions, partitions/2)
		b.windows.mu.Lock()
		defer b.windows.mu.Unlock()
		require.Contains(t, b.windows.rebalance, workflows.RebalanceInput{
			Topic: testTopic, Partitions: revoked[0].Partitions, Revoked: true,
		})
	})

	t.Run("ConsumerProtocol", func(t *testing.T) {
		t.Parallel()

		b := setup(t, partitions)
		b.windows.completes = true
		next := func(o *Options) { o.Kafka.GroupProtocol = "consumer" }
		first := b.start(t, "w1", next)
		first.ready(t, partitions)
		second := b.start(t, "w2", next)
		second.ready(t, partitions/2)
		for id := range int32(partitions) {
			b.produce(t, id, 20)
		}
		for id := range int32(partitions) {
			b.awaitCommitted(t, id, 20)
		}
		everyOffsetOnce(t, b, 20)
	})

	for _, protocol := range []string{"classic", "consumer"} {
		t.Run("MoreProcessesThanPartitions/"+protocol, func(t *testing.T) {
			t.Parallel()

			b := setup(t, 1)
			with := func(o *Options) { o.Kafka.GroupProtocol = protocol }
			first := b.start(t, "w1", with)
			first.ready(t, 1)
			second := b.start(t, "w2", with)
			require.Eventually(t, func() bool { return len(second.Ready(t.Context())) == 0 }, eventually, soon)
		})
	}

	// The Kafka client can hang when it is closed in its first rebalance. What
	// ingest waits for is held up here; the client itself cannot be made to.
	t.Run("StopDoesNotWaitForAClientThatOwnsNothing", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		first := b.start(t, "w1")
		first.ready(t, 1)
		log, logged := observer.New(zap.WarnLevel)
		second := b.start(t, "w2", func(o *Options) { o.Logger = zap.New(log) })
		second.tells.Add(1)
		defer second.tells.Done()
		second.stop(t)
		require.Equal(t, 1, logged.FilterMessageSnippet(errJoining.Error()).Len())
	})

	t.Run("RevokedWindowsAreAdopted", func(t *testing.T) {
		t.Parallel()

		b := setup(t, partitions)
		first := b.start(t, "w1")
		first.ready(t, partitions)
		for id := range int32(partitions) {
			b.produce(t, id, 5)
		}
		require.Eventually(t, func() bool {
			n := 0
			for id := range int32(partitions) {
				n += len(b.windows.offsets(id))
			}
			return n == partitions*5
		}, eventually, soon)
		second := b.start(t, "w2")
		second.ready(t, partitions/2)
		b.windows.completeAll()
		for id := range int32(partitions) {
			b.awaitCommitted(t, id, 5)
		}
		everyOffsetOnce(t, b, 5)
		require.Empty(t, eventsOf[events.Consumed](second.events))
		require.NotEmpty(t, eventsOf[events.WindowFinished](second.events))
	})

	t.Run("LostPartitionsAreNotCommitted", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", func(o *Options) {
			o.Ingest.CommitInterval = time.Hour // only a revocation would commit
		})
		p.ready(t, 1)
		b.produce(t, 0, 5)
		b.awaitWindows(t, 1)
		b.windows.completeAll()
		require.Eventually(t, func() bool { return p.State().Partitions[0].Watermark == 5 }, eventually, soon)

		b.forgetMember()
		require.Eventually(t, func() bool { return len(eventsOf[events.Revoked](p.events)) == 1 }, eventually, soon)
		require.True(t, eventsOf[events.Revoked](p.events)[0].Lost)
		require.Empty(t, eventsOf[events.CommitFailed](p.events), "a commit was tried")
		require.Equal(t, int64(0), b.committed(t, 0).offset)

		p.ready(t, 1) // it joins again and finds everything done
		require.Eventually(t, func() bool { return p.State().Partitions[0].Watermark == 5 }, eventually, soon)
		require.Equal(t, upTo(5), b.windows.offsets(0))
	})

	// Taking a partition from the client would make it forget that all are lost:
	// their offsets would be committed.
	t.Run("NothingIsBroughtUpAnewOnceAllIsLost", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 2)
		p := b.start(t, "w1", func(o *Options) { o.Ingest.CommitInterval = time.Hour })
		p.ready(t, 2)
		b.produce(t, 0, 5)
		b.awaitWindows(t, 1)
		b.windows.completeAll()
		require.Eventually(t, func() bool { return p.State().Partitions[0].Watermark == 5 }, eventually, soon)
		b.forgetMember()
		require.NoError(t, p.onPoll(t.Context(), func() error {
			for began := time.Now(); !p.consumer.AssignmentLost() && time.Since(began) < eventually; {
				runtime.Gosched() // the event waits for the next poll
			}
			p.reassign(p.partition(source{testTopic, 1}))
			return nil
		}))
		require.Eventually(t, func() bool { return len(eventsOf[events.Revoked](p.events)) == 1 }, eventually, soon)
		require.True(t, eventsOf[events.Revoked](p.events)[0].Lost)
		require.Equal(t, int64(0), b.committed(t, 0).offset)
		p.ready(t, 2)
	})

	t.Run("RevokedWhileItIsPrepared", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.produce(t, 0, 3)
		b.windows.completes = true
		var away atomic.Bool
		away.Store(true)
		b.windows.describeErr = func(string) error {
			if away.Load() {
				return errors.New("Temporal is away")
			}
			return nil
		}
		p := b.start(t, "w1")
		require.Eventually(t, func() bool { return len(eventsOf[events.IngestFailed](p.events)) == 1 }, eventually, soon)
		require.Contains(t, fmt.Sprint(p.Ready(t.Context())), "Temporal is away")
		p.stop(t)
		away.Store(false)
		b.start(t, "w2").ready(t, 1)
		b.awaitCommitted(t, 0, 3)
		require.Equal(t, upTo(3), b.windows.offsets(0))
	})

	// As many as are prepared at a time cannot be, and the others are.
	t.Run("PartitionsThatCannotBePreparedHoldUpNoOther", func(t *testing.T) {
		t.Parallel()

		const stuck = preparations
		b := setup(t, stuck+4)
		var away atomic.Bool
		away.Store(true)
		b.refuseEnds(func(partition int32) bool { return away.Load() && partition < stuck })
		p := b.start(t, "w1")
		running := func() (n int) {
			for _, s := range p.State().Partitions {
				if s.Phase == Running {
					n++
				}
			}
			return n
		}
		require.Eventually(t, func() bool { return running() == 4 }, eventually, soon)
		require.NotEmpty(t, p.Ready(t.Context()))
		away.Store(false)
		p.ready(t, stuck+4)
	})

	// The client looks up a logical offset in its own time and goes there, even
	// if it was sent elsewhere meanwhile. Whatever lay before it was lost then.
	t.Run("TheClientLooksUpNoOffset", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.produce(t, 0, 3)
		b.windows.completes = true
		var ofTheLog, ofItsEnd atomic.Int32
		b.cluster.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.cluster.KeepControl()
			switch req.(*kmsg.ListOffsetsRequest).Topics[0].Partitions[0].Timestamp {
			case -2:
				ofTheLog.Add(1)
			case -1:
				ofItsEnd.Add(1)
			}
			return nil, nil, false
		})
		b.start(t, "w1").ready(t, 1)
		b.awaitCommitted(t, 0, 3)
		require.Positive(t, ofTheLog.Load())
		require.Equal(t, ofTheLog.Load(), ofItsEnd.Load(), "we ask for both ends at once, so one more is the client's")
	})

	t.Run("ACommitThatHangsHoldsNothing", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1")
		p.ready(t, 1)
		b.cluster.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.cluster.KeepControl()
			b.cluster.SleepControl(func() { <-t.Context().Done() })
			return nil, nil, false
		})
		b.produce(t, 0, 5)
		b.awaitWindows(t, 1)
		b.windows.completeAll()
		require.Eventually(t, func() bool { return len(p.committer.turn) == 1 }, eventually, soon)
		p.finalCommit(p.owned()) // comes back
		require.NotEmpty(t, eventsOf[events.CommitFailed](p.events))
	})

	t.Run("FailedCommitsAreRepeated", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.completes = true
		p := b.start(t, "w1")
		p.ready(t, 1)
		var failures atomic.Int32
		b.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.cluster.KeepControl()
			if failures.Add(1) > 2 {
				return nil, nil, false
			}
			res := req.ResponseKind().(*kmsg.OffsetCommitResponse)
			topic := kmsg.NewOffsetCommitResponseTopic()
			topic.Topic = testTopic
			part := kmsg.NewOffsetCommitResponseTopicPartition()
			part.ErrorCode = kerr.RebalanceInProgress.Code
			topic.Partitions = append(topic.Partitions, part)
			res.Topics = append(res.Topics, topic)
			return res, nil, true
		})
		b.produceRecords(t, 0, &kgo.Record{Value: []byte("v")})
		b.awaitCommitted(t, 0, 1)
		require.NotEmpty(t, eventsOf[events.CommitFailed](p.events))
		require.Eventually(t, func() bool {
			committed := eventsOf[events.Committed](p.events)
			return len(committed) > 0 && committed[len(committed)-1].Offset == 1
		}, eventually, soon)
	})
}
