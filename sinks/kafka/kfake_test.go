package kafka_test

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	ckafka "github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/drakkar-go/drakkar/integration/services/servicestest"
)

// broker is an in-process Kafka whose connections can be cut and stalled.
type broker struct {
	*kfake.Cluster
	line *line
}

func newBroker(t *testing.T, opts ...kfake.Opt) *broker {
	t.Helper()

	b := &broker{line: &line{conns: map[*conn]bool{}}}
	opts = append(opts, kfake.NumBrokers(1), kfake.ListenFn(b.line.listen))
	c, err := kfake.NewCluster(opts...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	b.Cluster = c
	return b
}

func (b *broker) addrs() string { return strings.Join(b.ListenAddrs(), ",") }

// line is what connections to a broker go through.
type line struct {
	mu    sync.Mutex
	conns map[*conn]bool
	down  bool
	stall chan struct{}
}

func (l *line) listen(network, address string) (net.Listener, error) {
	inner, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return &listener{Listener: inner, line: l}, nil
}

// setDown cuts all connections and refuses new ones.
func (l *line) setDown(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	if down {
		for c := range l.conns {
			_ = c.Conn.Close()
		}
	}
}

// setStalled leaves requests unread until resume.
func (l *line) setStalled() (resume func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gate := make(chan struct{})
	l.stall = gate
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.stall = nil
		close(gate)
	}
}

func (l *line) gate() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stall
}

type listener struct {
	net.Listener
	line *line
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: inner, line: l.line}
		if c.register() {
			return c, nil
		}
		_ = inner.Close()
	}
}

type conn struct {
	net.Conn
	line *line
}

func (c *conn) register() bool {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if c.line.down {
		return false
	}
	c.line.conns[c] = true
	return true
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if gate := c.line.gate(); gate != nil {
		<-gate
	}
	return n, err
}

func (c *conn) Close() error {
	c.line.mu.Lock()
	delete(c.line.conns, c)
	c.line.mu.Unlock()
	return c.Conn.Close()
}

// makeTopic makes a topic that can be written to and read.
func makeTopic(t testing.TB, brokers, topic string, cfg map[string]string) {
	t.Helper()

	admin, err := ckafka.NewAdminClient(&ckafka.ConfigMap{"bootstrap.servers": brokers, "log_level": 0})
	require.NoError(t, err)
	defer admin.Close()
	servicestest.MakeTopics(t, admin, ckafka.TopicSpecification{
		Topic: topic, NumPartitions: 3, ReplicationFactor: 1, Config: cfg,
	})
}

// readAll returns every record of a topic.
func readAll(t require.TestingT, brokers, topic string) []*ckafka.Message {
	c, err := ckafka.NewConsumer(&ckafka.ConfigMap{
		"bootstrap.servers": brokers, "group.id": "reader", "enable.auto.commit": false,
		"log_level": 0, "fetch.wait.max.ms": 20,
	})
	require.NoError(t, err)
	defer c.Close()
	md, err := c.GetMetadata(&topic, false, 10_000)
	require.NoError(t, err)

	var assignment []ckafka.TopicPartition
	left := 0
	for _, p := range md.Topics[topic].Partitions {
		low, high, err := c.QueryWatermarkOffsets(topic, p.ID, 10_000)
		require.NoError(t, err)
		left += int(high - low)
		assignment = append(assignment, ckafka.TopicPartition{Topic: &topic, Partition: p.ID, Offset: ckafka.Offset(low)})
	}
	require.NoError(t, c.Assign(assignment))
	var messages []*ckafka.Message
	for len(messages) < left {
		m, err := c.ReadMessage(10 * time.Second)
		require.NoError(t, err, "after %d of %d records", len(messages), left)
		messages = append(messages, m)
	}
	return messages
}
