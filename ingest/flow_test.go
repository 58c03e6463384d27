package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

func TestFlow(t *testing.T) {
	t.Parallel()

	paused := func(p *process) (n int) {
		for _, s := range p.State().Partitions {
			if s.Paused {
				n++
			}
		}
		return n
	}

	t.Run("PartitionPausesAndResumes", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 2)
		p := b.start(t, "w1", func(o *Options) {
			o.Ingest.MaxOpenWindows = 1
			o.Ingest.PartitionHighMessages, o.Ingest.PartitionLowMessages = 20, 5
		})
		p.ready(t, 2)
		b.produce(t, 0, 500)
		require.Eventually(t, func() bool { return paused(p) == 1 }, eventually, soon)
		require.Less(t, p.State().Messages, 40)
		b.produce(t, 1, 3)
		require.Eventually(t, func() bool { return len(b.windows.offsets(1)) > 0 }, eventually, soon, "the other partition is read")

		b.windows.completeAll()
		b.awaitCommitted(t, 0, 500)
		require.Equal(t, upTo(500), b.windows.offsets(0))
		require.Eventually(t, func() bool { return paused(p) == 0 }, eventually, soon)
		require.Len(t, eventsOf[events.Resumed](p.events), len(eventsOf[events.Paused](p.events)))
		require.Zero(t, p.waiting())
	})

	t.Run("ProcessPausesByBytes", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 3)
		p := b.start(t, "w1", func(o *Options) {
			o.Ingest.MaxOpenWindows = 1
			o.Ingest.HighBytes, o.Ingest.LowBytes = 100_000, 20_000
		})
		p.ready(t, 3)
		for id := range int32(3) {
			var rs []*kgo.Record
			for range 100 {
				rs = append(rs, &kgo.Record{Value: make([]byte, 1000)})
			}
			b.produceRecords(t, id, rs...)
		}
		require.Eventually(t, func() bool { return paused(p) == 3 }, eventually, soon)
		// Each partition may have its part of low_bytes, and the message that passes it.
		require.Less(t, p.State().Bytes, 100_000+20_000+3*1_100)
		b.windows.completeAll()
		for id := range int32(3) {
			b.awaitCommitted(t, id, 100)
		}
		require.Eventually(t, func() bool { return paused(p) == 0 }, eventually, soon)
	})

	// What waits for a sink that is away fills the process, for as long as that
	// takes. Whoever does not need the sink is read all the same.
	t.Run("HeldPartitionsLeaveRoom", func(t *testing.T) {
		t.Parallel()

		const held = 5
		for name, high := range map[string]int{"TheyFillTheProcess": 100, "TheyKeepItAboveLow": 110} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()

				b := setup(t, held+1)
				p := b.start(t, "w1", func(o *Options) {
					o.Ingest.MaxOpenWindows = 1
					o.Ingest.HighMessages, o.Ingest.LowMessages = high, 60
					o.Ingest.PartitionHighMessages, o.Ingest.PartitionLowMessages = 20, 5
				})
				p.ready(t, held+1)
				for id := range int32(held) {
					b.produce(t, id, 1)
				}
				b.awaitWindows(t, held)
				for id := range int32(held) {
					b.produce(t, id, 60)
				}
				require.Eventually(t, func() bool { return paused(p) >= held && p.State().Messages == 20*held }, eventually, soon)
				b.produce(t, held, 500)
				require.Eventually(t, func() bool {
					for _, w := range b.windows.all() {
						if w.in.Partition == held && w.status == "running" {
							b.windows.end("completed", w.in.WorkflowID())
						}
					}
					require.LessOrEqual(t, p.State().Messages, high+60)
					return b.committed(t, held).offset == 500
				}, eventually, soon)
				require.Equal(t, upTo(500), b.windows.offsets(held))
				require.Eventually(t, func() bool { return paused(p) == held }, eventually, soon)
			})
		}
	})

	t.Run("OneOpenWindowKeepsTheOrder", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 2)
		p := b.start(t, "w1", func(o *Options) { o.Windows.Order = "key"; o.WindowSize = 2 })
		p.ready(t, 2)
		b.produce(t, 0, 1)
		first := b.awaitWindows(t, 1)[0].in.WorkflowID()
		b.produce(t, 0, 3)
		b.produce(t, 1, 1)
		b.awaitWindows(t, 2) // the other partition has its own
		require.Eventually(t, func() bool {
			return p.State().Partitions[0].Blocked == "a window is open, and windows.order is key"
		}, eventually, soon)
		require.Equal(t, []int64{0}, b.windows.offsets(0))
		b.windows.end("completed", first)
		b.awaitWindows(t, 3)
		require.Eventually(t, func() bool { return p.State().Partitions[0].Messages == 1 }, eventually, soon)
		require.Equal(t, []int64{0, 1, 2}, b.windows.offsets(0))
		b.windows.completeAll()
		b.awaitCommitted(t, 0, 4)
	})

	t.Run("StopsCuttingFarAhead", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", func(o *Options) { o.Ingest.MaxWindowsAhead = 3; o.WindowSize = 1 })
		p.ready(t, 1)
		b.produce(t, 0, 1)
		first := b.awaitWindows(t, 1)[0].in.WorkflowID()
		b.produce(t, 0, 9)
		all := b.awaitWindows(t, 3)
		b.windows.end("completed", all[1].in.WorkflowID(), all[2].in.WorkflowID())
		require.Eventually(t, func() bool {
			return p.State().Partitions[0].Blocked == "ingest.max_windows_ahead of the committed offset"
		}, eventually, soon)
		require.Len(t, b.windows.all(), 3)
		b.windows.end("completed", first)
		require.Len(t, b.awaitWindows(t, 6), 6)
	})

	t.Run("StopsCuttingBehindAnOldWindow", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.retention = 200 * time.Hour
		p := b.start(t, "w1")
		p.ready(t, 1)
		b.produce(t, 0, 1)
		id := b.awaitWindows(t, 1)[0].in.WorkflowID()
		p.stop(t)
		b.windows.mu.Lock()
		b.windows.byID[id].started = time.Now().Add(-101 * time.Hour)
		b.windows.mu.Unlock()

		p = b.start(t, "w2")
		p.ready(t, 1)
		b.produce(t, 0, 5)
		require.Eventually(t, func() bool { return len(p.Ready(t.Context())) == 1 }, eventually, soon)
		require.Contains(t, p.Ready(t.Context())[0], id)
		require.Len(t, b.windows.all(), 1)
		b.windows.completeAll()
		b.awaitCommitted(t, 0, 6)
		p.ready(t, 1)
	})

	t.Run("FollowsAnotherOwnersCut", func(t *testing.T) {
		t.Parallel()

		for _, last := range []int64{1, 12, 40} { // less than was cut, more, and more than is there yet
			b := setup(t, 1)
			p := b.start(t, "w1")
			p.ready(t, 1)
			epoch := p.State().Partitions[0].Epoch
			require.NoError(t, b.windows.Start(t.Context(), workflows.WindowInput{
				Link: workflows.Link{Pipeline: "pipe", Topic: testTopic, Epoch: epoch, Start: 0}, Last: last,
			}))
			b.windows.completeAll()
			b.produce(t, 0, 10)
			b.produce(t, 0, 50)
			b.awaitCommitted(t, 0, 60)
			require.NoError(t, chainError(b.windows.all()))
			require.Equal(t, upTo(60)[last+1:], b.windows.offsets(0))
			require.True(t, eventsOf[events.WindowStarted](p.events)[0].Adopted)
		}
	})

	t.Run("TooLargeWindowsAreCutSmaller", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.completes = true
		b.windows.startErr = func(in workflows.WindowInput) error {
			total := 0
			for _, m := range in.Messages {
				total += len(m.Value)
			}
			if total > 250 {
				return fmt.Errorf("%w: %d bytes", ErrTooLarge, total)
			}
			return nil
		}
		var rs []*kgo.Record
		for _, size := range []int{100, 100, 100, 100, 100, 300, 100} {
			rs = append(rs, &kgo.Record{Value: make([]byte, size)})
		}
		b.produceRecords(t, 0, rs...)
		b.start(t, "w1")
		b.awaitCommitted(t, 0, 7)
		require.Equal(t, upTo(7), b.windows.offsets(0))
		for _, w := range b.windows.all() {
			for _, m := range w.in.Messages {
				if m.Offset == 5 {
					require.Nil(t, m.Value)
					require.Equal(t, 300, m.Size)
				}
			}
		}
	})

	t.Run("ForgottenWhileStartsAreRepeated", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.startErr = func(workflows.WindowInput) error { return errors.New("Temporal is away") }
		b.produce(t, 0, 3)
		p := b.start(t, "w1")
		require.Eventually(t, func() bool { return len(eventsOf[events.IngestFailed](p.events)) == 1 }, eventually, soon)
		part := p.partition(source{testTopic, 0})
		require.NoError(t, p.onPoll(t.Context(), func() error { p.disown(part, errRevoked); return nil }))
		_, _, ok := p.nextInput(part, p.cutter, false)
		require.False(t, ok)
		require.Zero(t, p.waiting())
		require.Eventually(t, func() bool { return p.slots.inUse() == 0 }, eventually, soon)
	})

	t.Run("StartsAreRepeatedForEver", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.completes = true
		b.windows.startErr = func(workflows.WindowInput) error { return errors.New("Temporal is away") }
		b.produce(t, 0, 3)
		p := b.start(t, "w1")
		require.Eventually(t, func() bool { return len(eventsOf[events.IngestFailed](p.events)) == 1 }, eventually, soon)
		require.Contains(t, fmt.Sprint(p.Ready(t.Context())), "starting the window: ")
		b.windows.mu.Lock()
		b.windows.startErr = nil
		b.windows.mu.Unlock()
		b.awaitCommitted(t, 0, 3)
		p.ready(t, 1)
		require.Equal(t, upTo(3), b.windows.offsets(0))
	})
}

func TestStart(t *testing.T) {
	t.Parallel()

	build := func(t *testing.T, change func(*Options)) *Ingest {
		t.Helper()

		opt := (&testBundle{cluster: setup(t, 1).cluster, windows: newFakeWindows()}).options("w1")
		opt.Events = &recorded{}
		change(&opt)
		i, err := New(opt)
		require.NoError(t, err)
		return i
	}

	t.Run("RetentionIsTooShort", func(t *testing.T) {
		t.Parallel()

		i := build(t, func(o *Options) { o.Temporal.(*fakeWindows).retention = time.Hour })
		err := i.Start(t.Context())
		require.ErrorContains(t, err, "ingest.min_retention (168h0m0s)")
		require.NoError(t, i.Stop(t.Context()))
	})

	t.Run("WaitsForTemporalUntilItIsCancelled", func(t *testing.T) {
		t.Parallel()

		away := &awayWindows{fakeWindows: newFakeWindows(), err: errors.New("connection refused")}
		i := build(t, func(o *Options) { o.Temporal = away })
		require.Equal(t, []string{"ingest was not started"}, i.Ready(t.Context()))
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := background(func() error { return i.Start(ctx) })
		require.Eventually(t, func() bool {
			return fmt.Sprint(i.Ready(t.Context())) == "[waiting for Temporal: connection refused]"
		}, eventually, soon)
		why := errors.New("SIGTERM")
		cancel(why)
		require.ErrorIs(t, <-ended, why)
		require.ErrorIs(t, i.Start(t.Context()), errStartedTwice)
		require.NoError(t, i.Stop(t.Context()))
		require.Equal(t, []string{"ingest was stopped"}, i.Ready(t.Context()))
	})

	t.Run("RefusedCredentialsAreAnError", func(t *testing.T) {
		t.Parallel()

		away := &awayWindows{fakeWindows: newFakeWindows(), err: fmt.Errorf("%w: no such key", ErrRefused)}
		require.ErrorIs(t, build(t, func(o *Options) { o.Temporal = away }).Start(t.Context()), ErrRefused)
	})

	t.Run("OptionsThatGuaranteesRestOn", func(t *testing.T) {
		t.Parallel()

		_, err := New(Options{Kafka: (&testBundle{cluster: setup(t, 1).cluster}).options("").Kafka})
		require.NoError(t, err)
		err = CheckOptions(map[string]string{"fetch.min.bytes": "1", "enable.auto.commit": "true", "go.events.channel.enable": "true"})
		require.EqualError(t, err, "kafka.options.enable.auto.commit, kafka.options.go.events.channel.enable: "+
			"these properties are set by Drakkar and cannot be changed: remove them")
	})

	t.Run("KafkaAwayIsNotReady", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1")
		p.ready(t, 1)
		b.cluster.Close()
		require.Contains(t, fmt.Sprint(p.Ready(t.Context())), "Kafka: ")
	})

	t.Run("KafkaThatHangsIsNotWaitedFor", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", from("^in.*"))
		p.ready(t, 1)
		answer := make(chan struct{})
		b.cluster.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.cluster.KeepControl()
			b.cluster.SleepControl(func() { <-answer })
			return nil, nil, false
		})
		defer close(answer)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		require.Contains(t, fmt.Sprint(p.Ready(ctx)), "Kafka: ")
		require.Less(t, time.Since(began), requestTimeout)
	})

	t.Run("APartitionThatIsLetGoHoldsUpNoCheckOfTheOthers", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 2)
		p := b.start(t, "w1")
		p.ready(t, 2)
		b.cluster.Close() // the ends of no log can be asked for
		for _, owned := range p.owned() {
			owned.cancel(errRevoked)
		}
		require.Equal(t, look{}, p.look())
	})

	// Between joining and counting its partitions, nothing would be missing.
	t.Run("AssignedIsNotReadyYet", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		joined := make(chan bool, 10)
		var ingest atomic.Pointer[Ingest]
		opt := b.options("w1")
		opt.Events = events.RecorderFunc(func(e events.Event) {
			if _, ok := e.(events.Assigned); ok {
				joined <- ingest.Load().isJoined()
			}
		})
		i, err := New(opt)
		require.NoError(t, err)
		ingest.Store(i)
		require.NoError(t, i.Start(t.Context()))
		t.Cleanup(func() { require.NoError(t, i.Stop(context.WithoutCancel(t.Context()))) })
		require.False(t, <-joined)
		require.Eventually(t, func() bool { return len(i.Ready(t.Context())) == 0 }, eventually, soon)
	})

	t.Run("TemporalAwayIsNotReady", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1")
		p.ready(t, 1)
		b.windows.mu.Lock()
		b.windows.checkErr = errors.New("connection refused")
		b.windows.mu.Unlock()
		require.Equal(t, []string{"Temporal: connection refused"}, p.Ready(t.Context()))
	})

	t.Run("AnErrorForGoodIsTold", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1")
		p.ready(t, 1)
		b.produce(t, 0, 1)
		b.awaitWindows(t, 1)
		fenced := kafka.NewError(kafka.ErrFencedInstanceID, "fenced", true)
		require.NoError(t, p.onPoll(t.Context(), func() error { p.clientError(fenced); return nil }))
		require.ErrorContains(t, <-p.Err(), "failed for good: Fatal error: fenced")
		require.Contains(t, p.Ready(t.Context())[0], "failed for good")
		require.Empty(t, p.State().Partitions)
		require.Equal(t, []events.Revoked{{Topic: testTopic, Partitions: []int32{0}, Lost: true}}, eventsOf[events.Revoked](p.events))
		b.windows.completeAll()
		p.stop(t)
		require.Equal(t, int64(0), b.committed(t, 0).offset)
	})

	t.Run("StaticMembersComeBackWithoutARebalance", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 2)
		b.windows.completes = true
		static := func(name string) func(*Options) {
			return func(o *Options) { o.Kafka.GroupInstanceID = name }
		}
		first, second := b.start(t, "w1", static("a")), b.start(t, "w2", static("b"))
		first.ready(t, 1)
		second.ready(t, 1)
		second.stop(t)
		second = b.start(t, "w2", static("b"))
		second.ready(t, 1)
		first.ready(t, 1)
		b.produce(t, 0, 5)
		b.produce(t, 1, 5)
		b.awaitCommitted(t, 0, 5)
		b.awaitCommitted(t, 1, 5)
	})
}

// awayWindows is a Temporal that does not answer at the start.
type awayWindows struct {
	*fakeWindows
	err error
}

func (w *awayWindows) Retention(context.Context) (time.Duration, error) { return 0, w.err }

func background(f func() error) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	return ended
}
