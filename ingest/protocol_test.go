package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/watermark"
	"github.com/drakkar-go/drakkar/workflows"
)

func TestMetadata(t *testing.T) {
	t.Parallel()

	m := metadata{Pipeline: "p", TopicID: "id", Epoch: "3-20260101-1", Window: 3, Offset: 5}

	t.Run("Form", func(t *testing.T) {
		t.Parallel()

		require.JSONEq(t, `{"v":1,"p":"p","t":"id","e":"3-20260101-1","w":3,"o":5}`, m.String())
		long := m
		long.Lengths = []int64{10, 7}
		require.JSONEq(t, `{"v":1,"p":"p","t":"id","e":"3-20260101-1","w":3,"o":5,"c":[10,7]}`, long.String())
		got, ours, err := parseMetadata(long.String())
		require.NoError(t, err)
		require.True(t, ours)
		long.Version = 1
		require.Equal(t, long, got)
		for start, want := range map[int64]int64{3: 12, 13: 19} {
			last, finished, known := got.window(start)
			require.True(t, known)
			require.False(t, finished)
			require.Equal(t, want, last)
		}
		for _, start := range []int64{0, 4, 12, 20} {
			_, _, known := got.window(start)
			require.False(t, known, "%d begins no window", start)
		}
	})

	t.Run("Finished", func(t *testing.T) {
		t.Parallel()

		some := m
		some.Lengths, some.Finished = []int64{10, 7, 1, 1}, digits([]bool{false, true, false, false})
		require.JSONEq(t, `{"v":1,"p":"p","t":"id","e":"3-20260101-1","w":3,"o":5,"c":[10,7,1,1],"f":"01"}`, some.String())
		got, _, err := parseMetadata(some.String())
		require.NoError(t, err)
		for start, want := range map[int64]bool{3: false, 13: true, 20: false, 21: false} {
			_, finished, known := got.window(start)
			require.True(t, known)
			require.Equal(t, want, finished)
		}
	})

	t.Run("FitsIntoWhatKafkaTakes", func(t *testing.T) {
		t.Parallel()

		long := m
		long.Lengths = slices.Repeat([]int64{123456}, 5000)
		require.Less(t, len(long.String()), 3000)
		got, ours, err := parseMetadata(long.String())
		require.NoError(t, err)
		require.True(t, ours)
		require.NotEmpty(t, got.Lengths)
		require.Equal(t, long.Lengths[:len(got.Lengths)], got.Lengths)
	})

	for _, c := range []string{"[0]", "[-1]", "[5,9223372036854775807]", `[5],"f":"01"`, `[5],"f":"x"`, `[5],"f":[1]`} {
		_, ours, err := parseMetadata(`{"v":1,"p":"p","t":"id","e":"e","w":3,"o":5,"c":` + c + `}`)
		require.NoError(t, err)
		require.False(t, ours, c)
	}
}

// Whatever the chain: its metadata is short enough, and what it says of the chain
// is so, for those who do not know which windows are finished as well.
func TestMetadata_Property(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		start := rapid.Int64Range(0, 1<<40).Draw(t, "start")
		tr := watermark.New(start, start)
		var starts []int64
		longest := rapid.Int64Range(1, 1<<40).Draw(t, "longest")
		for range rapid.IntRange(0, 1000).Draw(t, "windows") {
			starts = append(starts, tr.Next())
			require.NoError(t, tr.Open(tr.Next(), tr.Next()+rapid.Int64Range(0, longest-1).Draw(t, "length")))
			if rapid.Bool().Draw(t, "finished") {
				tr.Finish(starts[len(starts)-1])
			}
		}
		offset, window := tr.Committable()
		lengths, finished := tr.Lengths(window)
		m := metadata{
			Pipeline: strings.Repeat("p", 200), TopicID: "0123456789012345678901", Epoch: fmt.Sprint(start, "-20260101-1"),
			Window: window, Offset: offset, Lengths: lengths, Finished: digits(finished),
		}
		text := m.String()
		require.Less(t, len(text), 3000)
		got, ours, err := parseMetadata(text)
		require.NoError(t, err)
		require.True(t, ours)
		require.Equal(t, len(lengths) > 0, len(got.Lengths) > 0)
		for n := range got.Lengths {
			last, done, known := got.window(starts[len(starts)-len(lengths)+n])
			require.True(t, known)
			require.Equal(t, starts[len(starts)-len(lengths)+n]+lengths[n]-1, last)
			require.Equal(t, finished[n], done)
		}

		var old struct {
			Lengths []int64 `json:"c"`
		}
		require.NoError(t, json.Unmarshal([]byte(text), &old))
		require.Equal(t, got.Lengths, old.Lengths)
	})
}

// Whatever is committed, by whomever: it is read or refused.
func TestParseMetadata_Property(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		text := fmt.Sprintf(`{"v":1,"p":"p","t":"t","e":"e","w":%d,"o":%d,"c":[%s],"f":"%s"}`,
			rapid.Int64().Draw(t, "window"), rapid.Int64().Draw(t, "offset"),
			strings.Join(rapid.SliceOf(rapid.StringMatching(`-?[1-9][0-9]{0,18}`)).Draw(t, "lengths"), ","),
			rapid.StringMatching(`[01]{0,8}`).Draw(t, "finished"))
		m, ours, err := parseMetadata(text)
		require.NoError(t, err)
		if !ours {
			return
		}
		require.GreaterOrEqual(t, m.end(), m.Window)
		_, finished, known := m.window(m.end())
		require.False(t, known || finished, "behind the chain is nothing")
	})
}

// stubBroker is one partition's offsets, and what others do meanwhile.
type stubBroker struct {
	committed committed
	high      int64
	commit    func(position) error
}

func (b *stubBroker) Committed(context.Context, int32) (committed, error)      { return b.committed, nil }
func (b *stubBroker) Ends(context.Context, int32) (low, high int64, err error) { return 0, b.high, nil }
func (b *stubBroker) TopicID(context.Context) (string, error)                  { return "id", nil }

func TestEpoch(t *testing.T) {
	t.Parallel()

	const day = "20231114"
	setup := func() (*stubBroker, *fakeWindows, *assignment) {
		b, ws := &stubBroker{committed: committed{offset: noOffset}, high: 10}, newFakeWindows()
		b.commit = func(p position) error {
			b.committed = committed{offset: p.offset, metadata: p.metadata}
			return nil
		}
		return b, ws, &assignment{
			pipeline: "pipe", topic: testTopic, broker: b, windows: ws, record: events.Discard.Record,
			commit: func(_ context.Context, p position) error { return b.commit(p) },
			now:    func() time.Time { return time.Unix(1_700_000_000, 0) },
		}
	}
	epoch := func(n int) string { return fmt.Sprintf("0-%s-%d", day, n) }
	other := metadata{Pipeline: "pipe", TopicID: "id", Epoch: epoch(1)}
	link := workflows.Link{Pipeline: "pipe", Topic: testTopic, Epoch: epoch(1)}

	// The other has committed n and started its first window, after we have read
	// the offset and before we look whether n is free.
	t.Run("TheOthersMetadataLands", func(t *testing.T) {
		t.Parallel()

		b, ws, a := setup()
		ws.describeErr = func(string) error {
			if b.committed.offset == noOffset {
				b.committed = committed{offset: 0, metadata: other.String()}
				ws.byID[link.WorkflowID()] = &fakeWindow{in: workflows.WindowInput{Link: link, Last: 4}, status: "running"}
			}
			return nil
		}
		p, err := a.prepare(t.Context())
		require.NoError(t, err)
		require.Equal(t, epoch(1), p.chain.Epoch)
		require.Len(t, p.adopted, 1)
		require.Equal(t, int64(5), p.read)
	})

	t.Run("WhatIsReadBackDecides", func(t *testing.T) {
		t.Parallel()

		b, _, a := setup()
		other := other
		other.Epoch = "0-20231113-7"
		b.commit = func(position) error { // both are accepted, the other's last
			b.committed = committed{offset: 0, metadata: other.String()}
			return nil
		}
		p, err := a.prepare(t.Context())
		require.NoError(t, err)
		require.Equal(t, other.Epoch, p.chain.Epoch)
	})

	t.Run("ARejectedCommitBeginsNothing", func(t *testing.T) {
		t.Parallel()

		b, ws, a := setup()
		refused := errors.New("unknown member")
		b.commit = func(position) error { return refused }
		_, err := a.prepare(t.Context())
		require.ErrorIs(t, err, refused)
		require.Empty(t, ws.all())
	})

	t.Run("ItGivesUpWhileOthersKeepCommitting", func(t *testing.T) {
		t.Parallel()

		b, _, a := setup()
		b.commit = func(position) error {
			b.committed.offset++ // and without metadata
			return nil
		}
		_, err := a.prepare(t.Context())
		require.ErrorIs(t, err, errUnsettled)
	})
}

// commitRequests counts the partitions of every commit that reaches Kafka.
func (b *testBundle) commitRequests() (partitions func() []int) {
	var mu sync.Mutex
	var seen []int
	b.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		n := 0
		for _, topic := range req.(*kmsg.OffsetCommitRequest).Topics {
			n += len(topic.Partitions)
		}
		mu.Lock()
		defer mu.Unlock()

		seen = append(seen, n)
		return nil, nil, false
	})
	return func() []int {
		mu.Lock()
		defer mu.Unlock()

		return slices.Clone(seen)
	}
}

func TestCommits(t *testing.T) {
	t.Parallel()

	hourly := func(o *Options) { o.Ingest.CommitInterval = time.Hour }

	t.Run("AreCoalesced", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 3)
		b.windows.completes = true
		p := b.start(t, "w1", hourly, func(o *Options) { o.WindowSize = 1 })
		p.ready(t, 3)
		commits := b.commitRequests()
		for id := range int32(3) {
			b.produce(t, id, 5)
		}
		require.Eventually(t, func() bool {
			for _, s := range p.State().Partitions {
				if s.Watermark != 5 {
					return false
				}
			}
			return true
		}, eventually, soon)
		p.commitOnce(t.Context())
		require.Equal(t, []int{3}, commits(), "15 windows of 3 partitions are one commit")
	})

	t.Run("RevocationCommitsWhatIsFinished", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 2)
		b.windows.completes = true
		first := b.start(t, "w1", hourly)
		first.ready(t, 2)
		b.produce(t, 0, 5)
		b.produce(t, 1, 5)
		require.Eventually(t, func() bool {
			s := first.State().Partitions
			return s[0].Watermark == 5 && s[1].Watermark == 5
		}, eventually, soon)
		second := b.start(t, "w2", hourly)
		second.ready(t, 1)
		require.Equal(t, int64(5), b.committed(t, second.State().Partitions[0].Partition).offset)
		require.Empty(t, eventsOf[events.Consumed](second.events))
		first.stop(t)
		second.stop(t)
		require.Equal(t, int64(5), b.committed(t, 0).offset)
		require.Equal(t, int64(5), b.committed(t, 1).offset)
	})

	// A commit that was under way when the partition went to another owner, and
	// gets through after the new owner's.
	t.Run("ALateCommitRunsNothingAgain", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.windows.completes = true
		first := b.start(t, "w1", func(o *Options) { o.WindowSize = 2 })
		first.ready(t, 1)
		b.produce(t, 0, 10)
		b.awaitCommitted(t, 0, 10)
		epoch := first.State().Partitions[0].Epoch
		first.stop(t)
		windows := b.windows.all()
		second := windows[1].in.Start
		late := metadata{Pipeline: "pipe", TopicID: b.topicID(t), Epoch: epoch, Window: second, Offset: second}
		b.setCommitted(t, 0, committed{offset: second, metadata: late.String()})

		again := b.start(t, "w2")
		again.ready(t, 1)
		b.awaitCommitted(t, 0, 10)
		require.Len(t, b.windows.all(), len(windows))
		require.Empty(t, eventsOf[events.Consumed](again.events))
		require.Equal(t, epoch, again.State().Partitions[0].Epoch)
	})

	t.Run("IdlePartitionsAreCommittedAgain", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", func(o *Options) { o.Ingest.RecommitInterval = time.Millisecond })
		p.ready(t, 1)
		require.Eventually(t, func() bool { return len(eventsOf[events.Committed](p.events)) > 3 }, eventually, soon)
		require.Equal(t, int64(0), eventsOf[events.Committed](p.events)[3].Offset)
	})

	t.Run("TellOfTheChainBeforeAnythingIsFinished", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		p := b.start(t, "w1", func(o *Options) { o.WindowSize = 2 })
		p.ready(t, 1)
		b.produce(t, 0, 1)
		require.Eventually(t, func() bool {
			m, _, err := parseMetadata(b.committed(t, 0).metadata)
			return err == nil && slices.Equal(m.Lengths, []int64{1})
		}, eventually, soon)
		b.produce(t, 0, 2)
		require.Eventually(t, func() bool {
			m, _, err := parseMetadata(b.committed(t, 0).metadata)
			sum := int64(0)
			for _, l := range m.Lengths {
				sum += l
			}
			return err == nil && sum == 3
		}, eventually, soon)
		require.Equal(t, int64(0), b.committed(t, 0).offset)
	})
}

func TestChain(t *testing.T) {
	t.Parallel()

	t.Run("AWindowWaitsForTheStartOfItsPredecessor", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		var away atomic.Bool
		away.Store(true)
		var tried, outOfTurn atomic.Int32
		b.windows.startErr = func(in workflows.WindowInput) error {
			if !away.Load() {
				return nil
			}
			tried.Add(1)
			if in.Start != 0 {
				outOfTurn.Add(1)
			}
			return errors.New("no answer")
		}
		b.start(t, "w1", func(o *Options) { o.WindowSize = 1 }).ready(t, 1)
		b.produce(t, 0, 3)
		require.Eventually(t, func() bool { return tried.Load() > 2 }, eventually, soon)
		require.Zero(t, outOfTurn.Load())
		away.Store(false)
		all := b.awaitWindows(t, 3)
		for n, w := range all {
			require.Equal(t, int64(n), w.in.Start)
			require.Equal(t, fmt.Sprintf("pipe/in/0/0-%s-1/%d", time.Now().UTC().Format("20060102"), n), w.in.WorkflowID())
		}
	})

	t.Run("OpenWindowsOfTheProcessAreBounded", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 3)
		p := b.start(t, "w1", func(o *Options) { o.Ingest.MaxOpenWindowsTotal = 2 })
		p.ready(t, 3)
		for id := range int32(3) {
			b.produce(t, id, 1)
		}
		require.Eventually(t, func() bool { return len(b.windows.all()) == 2 && p.State().Messages == 1 }, eventually, soon)
		require.Equal(t, 2, p.State().OpenWindows)
		b.windows.end("completed", b.windows.all()[0].in.WorkflowID())
		b.awaitWindows(t, 3)
		require.Equal(t, 2, p.State().OpenWindows)
	})

	t.Run("CompactedTopics", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		require.NoError(t, b.cluster.CreateTopic("compacted", 1, map[string]string{"cleanup.policy": "compact"}))
		write := func(key string) {
			r := &kgo.Record{Topic: "compacted", Key: []byte(key), Value: []byte("v")}
			require.NoError(t, b.kafka.ProduceSync(t.Context(), r).FirstErr())
		}
		compact := func(n int) {
			for range n { // a batch each; the last is not compacted
				write("k")
			}
			b.cluster.Compact()
		}
		write("first")
		compact(5)
		b.windows.completes = true
		p := b.start(t, "w1", from("compacted"))
		require.Eventually(t, func() bool {
			s := p.State().Partitions
			return len(s) == 1 && s[0].Committed == 6
		}, eventually, soon)
		require.Equal(t, []int64{0, 4, 5}, b.windows.offsets(0), "gaps are nothing")
		compact(4)
		require.Eventually(t, func() bool { return p.State().Partitions[0].Committed == 10 }, eventually, soon)
		require.NoError(t, chainError(b.windows.all()))

		// A window that is gone has lost what was compacted since.
		b.windows.mu.Lock()
		b.windows.completes = false
		b.windows.mu.Unlock()
		p.stop(t)
		again := b.start(t, "w2", from("compacted"), oneOpen)
		require.Eventually(t, func() bool { return len(again.State().Partitions) == 1 }, eventually, soon)
		known := len(b.windows.all())
		compact(1)
		first := b.awaitWindows(t, known+1)[known].in
		for range 3 {
			write("k")
		}
		require.Eventually(t, func() bool { return again.State().Messages == 3 }, eventually, soon)
		b.windows.end("completed", first.WorkflowID())
		in := b.awaitWindows(t, known+2)[known+1].in
		require.Len(t, in.Messages, 3)
		b.cluster.Compact()
		b.windows.remove(in.WorkflowID())
		require.Eventually(t, func() bool { return len(eventsOf[events.WindowReread](again.events)) == 1 }, eventually, soon)
		reread := eventsOf[events.WindowReread](again.events)[0]
		require.Equal(t, 2, reread.Messages)
		require.Equal(t, 1, reread.Gone)
		require.Empty(t, eventsOf[events.OffsetsSkipped](again.events), "retention took nothing")
		b.windows.completeAll()
		require.Eventually(t, func() bool { return again.State().Partitions[0].Committed == in.Last+1 }, eventually, soon)
	})
}
