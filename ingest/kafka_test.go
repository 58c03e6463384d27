package ingest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/events"
)

const (
	testTopic = "in"
	testGroup = "group"
	// eventually is how long anything may take on a busy machine.
	eventually = 20 * time.Second
	soon       = 10 * time.Millisecond
)

// testBundle is a Kafka cluster in this process and a Temporal that is faked.
type testBundle struct {
	cluster *kfake.Cluster
	kafka   *kgo.Client
	windows *fakeWindows
}

func setup(t *testing.T, partitions int32) *testBundle {
	t.Helper()

	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, testTopic))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxVersions(kversion.V3_7_0()), // later ones name topics by id in commits
	)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return &testBundle{cluster: cluster, kafka: client, windows: newFakeWindows()}
}

// produce writes records with the values "<partition>-<n>", n from 0 on.
func (b *testBundle) produce(t *testing.T, partition int32, n int) {
	t.Helper()

	rs := make([]*kgo.Record, n)
	for i := range rs {
		rs[i] = &kgo.Record{Value: fmt.Appendf(nil, "%d-%d", partition, i)}
	}
	b.produceRecords(t, partition, rs...)
}

func (b *testBundle) produceRecords(t *testing.T, partition int32, rs ...*kgo.Record) {
	t.Helper()

	for _, r := range rs {
		r.Topic, r.Partition = testTopic, partition
	}
	require.NoError(t, b.kafka.ProduceSync(t.Context(), rs...).FirstErr())
}

// committed is what the group has committed.
func (b *testBundle) committed(t *testing.T, partition int32) committed {
	t.Helper()

	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = testGroup
	topic := kmsg.NewOffsetFetchRequestTopic()
	topic.Topic, topic.Partitions = testTopic, []int32{partition}
	req.Topics = append(req.Topics, topic)
	group := kmsg.NewOffsetFetchRequestGroup() // of version 8 and later
	group.Group = testGroup
	gt := kmsg.NewOffsetFetchRequestGroupTopic()
	gt.Topic, gt.Partitions = testTopic, []int32{partition}
	group.Topics = append(group.Topics, gt)
	req.Groups = append(req.Groups, group)
	res, err := req.RequestWith(t.Context(), b.kafka)
	require.NoError(t, err)
	if len(res.Groups) == 0 || len(res.Groups[0].Topics) == 0 || len(res.Groups[0].Topics[0].Partitions) == 0 {
		return committed{offset: noOffset}
	}
	p := res.Groups[0].Topics[0].Partitions[0]
	c := committed{offset: p.Offset}
	if p.Metadata != nil {
		c.metadata = *p.Metadata
	}
	return c
}

// setCommitted commits from outside of the group, as operators' tools do.
func (b *testBundle) setCommitted(t *testing.T, partition int32, c committed) {
	t.Helper()

	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = testGroup
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = testTopic
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.Metadata = partition, c.offset, &c.metadata
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	req.Generation = -1
	res, err := req.RequestWith(t.Context(), b.kafka)
	require.NoError(t, err)
	require.Zero(t, res.Topics[0].Partitions[0].ErrorCode)
}

// deleteBefore removes records, as retention does.
func (b *testBundle) deleteBefore(t *testing.T, partition int32, offset int64) {
	t.Helper()

	req := kmsg.NewPtrDeleteRecordsRequest()
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic = testTopic
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	res, err := req.RequestWith(t.Context(), b.kafka)
	require.NoError(t, err)
	require.Zero(t, res.Topics[0].Partitions[0].ErrorCode)
}

// refuseEnds refuses to tell the ends of some partitions' logs.
func (b *testBundle) refuseEnds(refused func(partition int32) bool) {
	b.cluster.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		asked := req.(*kmsg.ListOffsetsRequest).Topics[0].Partitions[0].Partition
		if !refused(asked) {
			return nil, nil, false
		}
		res := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = testTopic
		part := kmsg.NewListOffsetsResponseTopicPartition()
		part.Partition, part.ErrorCode = asked, kerr.TopicAuthorizationFailed.Code
		topic.Partitions = append(topic.Partitions, part)
		res.Topics = append(res.Topics, topic)
		return res, nil, true
	})
}

// endFetchesAt answers fetches as if the log ended at an offset.
func (b *testBundle) endFetchesAt(offset int64, while *atomic.Bool) {
	b.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		if !while.Load() {
			return nil, nil, false
		}
		res := req.ResponseKind().(*kmsg.FetchResponse)
		for _, asked := range req.(*kmsg.FetchRequest).Topics {
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic, topic.TopicID = asked.Topic, asked.TopicID
			for _, p := range asked.Partitions {
				part := kmsg.NewFetchResponseTopicPartition()
				part.Partition, part.HighWatermark, part.LastStableOffset = p.Partition, offset, offset
				part.RecordBatches = []byte{}
				topic.Partitions = append(topic.Partitions, part)
			}
			res.Topics = append(res.Topics, topic)
		}
		return res, nil, true
	})
}

// forgetMember makes the broker forget a member of the group, which loses its
// partitions.
func (b *testBundle) forgetMember() {
	var once atomic.Bool
	b.cluster.ControlKey(int16(kmsg.Heartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		if once.Swap(true) {
			return nil, nil, false
		}
		res := req.ResponseKind().(*kmsg.HeartbeatResponse)
		res.ErrorCode = kerr.UnknownMemberID.Code
		return res, nil, true
	})
}

// recorded keeps the events of one process.
type recorded struct {
	mu   sync.Mutex
	list []events.Event
}

func (r *recorded) Record(e events.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.list = append(r.list, e)
}

func eventsOf[E events.Event](r *recorded) (out []E) {
	r.mu.Lock()
	defer r.mu.Unlock()

	for _, e := range r.list {
		if e, ok := e.(E); ok {
			out = append(out, e)
		}
	}
	return out
}

// process is a running ingest.
type process struct {
	*Ingest
	events *recorded
}

func (b *testBundle) options(worker string) Options {
	return Options{
		Pipeline: "pipe", Worker: worker, WindowSize: 10, Temporal: b.windows,
		Kafka: config.Kafka{
			Brokers: strings.Join(b.cluster.ListenAddrs(), ","), SourceTopic: testTopic, ConsumerGroup: testGroup,
			SessionTimeout: 6 * time.Second, HeartbeatInterval: 100 * time.Millisecond,
			MaxPollInterval: time.Minute, IsolationLevel: "read_committed",
			Options: map[string]string{"fetch.wait.max.ms": "50", "topic.metadata.refresh.interval.ms": "1000"},
		},
		Ingest: config.Ingest{
			MaxOpenWindows: 4, MaxOpenWindowsTotal: 64, MaxWindowsAhead: 256,
			ProgressInterval: 50 * time.Millisecond, CommitInterval: 20 * time.Millisecond, RecommitInterval: time.Minute,
			HighMessages: 20000, LowMessages: 10000, HighBytes: 64 << 20, LowBytes: 32 << 20,
			PartitionHighMessages: 4000, PartitionLowMessages: 1000,
			PartitionHighBytes: 16 << 20, PartitionLowBytes: 4 << 20, MinRetention: 168 * time.Hour,
		},
		Windows: config.Windows{MaxBytes: 1 << 20, InlineMaxBytes: 64 << 10, MaxReruns: 3},
	}
}

// start starts a process, changed as the test likes, and stops it at the test's
// end.
func (b *testBundle) start(t *testing.T, worker string, change ...func(*Options)) *process {
	t.Helper()

	opt, rec := b.options(worker), &recorded{}
	opt.Events = rec
	for _, c := range change {
		c(&opt)
	}
	i, err := New(opt)
	require.NoError(t, err)
	require.NoError(t, i.Start(t.Context()))
	p := &process{Ingest: i, events: rec}
	t.Cleanup(func() { p.stop(t) })
	return p
}

func (p *process) stop(t *testing.T) {
	t.Helper()

	ctx, cancel := context.WithTimeout(context.Background(), eventually)
	defer cancel()
	require.NoError(t, p.Stop(ctx))
}

// ready waits until n partitions of the process are read.
func (p *process) ready(t *testing.T, n int) {
	t.Helper()

	require.Eventually(t, func() bool {
		running := 0
		for _, s := range p.State().Partitions {
			if s.Phase == Running {
				running++
			}
		}
		return running == n && len(p.Ready(t.Context())) == 0
	}, eventually, soon, "ready: %v, state: %+v", p.Ready(t.Context()), p.State())
}

func (b *testBundle) awaitCommitted(t *testing.T, partition int32, offset int64) {
	t.Helper()

	require.Eventually(t, func() bool { return b.committed(t, partition).offset == offset }, eventually, soon,
		"partition %d is not committed at %d", partition, offset)
}

func (b *testBundle) awaitWindows(t *testing.T, n int) []fakeWindow {
	t.Helper()

	require.Eventually(t, func() bool { return len(b.windows.all()) >= n }, eventually, soon, "no %d windows", n)
	return b.windows.all()
}

func upTo(n int64) (out []int64) {
	for o := range n {
		out = append(out, o)
	}
	return out
}
