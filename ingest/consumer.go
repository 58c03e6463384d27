package ingest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/workflows"
)

// refusedOptions are properties of the consumer which Drakkar's guarantees rest
// on, and those that would make it another consumer.
var refusedOptions = []string{
	"auto.offset.reset", "bootstrap.servers", "enable.auto.commit", "enable.auto.offset.store",
	"group.id", "group.instance.id", "group.protocol", "isolation.level", "metadata.broker.list",
	"partition.assignment.strategy",
}

// CheckOptions returns an error that names each of kafka.options which may not
// be set.
func CheckOptions(options map[string]string) error {
	var bad []string
	for _, k := range slices.Sorted(maps.Keys(options)) {
		if slices.Contains(refusedOptions, k) || strings.HasPrefix(k, "go.") {
			bad = append(bad, "kafka.options."+k)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("%s: these properties are set by Drakkar and cannot be changed: remove them",
		strings.Join(bad, ", "))
}

// clientConfig is what every client of the source has in common.
func clientConfig(c config.Kafka, clientID string) kafka.ConfigMap {
	m := kafka.ConfigMap{
		"bootstrap.servers":        c.Brokers,
		"client.id":                clientID,
		"group.id":                 c.ConsumerGroup,
		"enable.auto.commit":       false,
		"enable.auto.offset.store": false,
		"auto.offset.reset":        "error",
		"enable.metrics.push":      false,
		"go.logs.channel.enable":   true,
	}
	for k, v := range c.Security.Properties() {
		m[k] = v
	}
	return m
}

// topicRefresh is how soon new topics of a pattern, new partitions, and topics
// that are gone are noticed.
const topicRefresh = 30 * time.Second

// consumerConfig is the configuration of the consumer. Options come last and
// win.
func consumerConfig(c config.Kafka, dlq config.DLQ, clientID string) kafka.ConfigMap {
	m := clientConfig(c, clientID)
	m["topic.metadata.refresh.interval.ms"] = int(topicRefresh.Milliseconds())
	m["isolation.level"] = c.IsolationLevel
	m["max.poll.interval.ms"] = int(c.MaxPollInterval.Milliseconds())
	if c.GroupInstanceID != "" {
		m["group.instance.id"] = c.GroupInstanceID
	}
	if c.GroupProtocol == "consumer" {
		m["group.protocol"] = "consumer" // the broker rules the timeouts
	} else {
		m["partition.assignment.strategy"] = "cooperative-sticky"
		m["session.timeout.ms"] = int(c.SessionTimeout.Milliseconds())
		m["heartbeat.interval.ms"] = int(c.HeartbeatInterval.Milliseconds())
	}
	// What the client prefetches comes on top of what is queued here and is
	// thrown away by each pause.
	m["queued.max.messages.kbytes"] = 16384
	m["fetch.queue.backoff.ms"] = 50
	for k, v := range c.Options {
		m[k] = v
	}
	if c.HasPattern() {
		// Dead letters would be read as messages.
		m["topic.blacklist"] = strings.Trim(c.Options["topic.blacklist"]+","+deadLetterTopics(dlq), ",")
	}
	return m
}

// deadLetterTopics is a pattern of the topics that dead letters are written to.
func deadLetterTopics(dlq config.DLQ) string {
	if dlq.Topic == "" {
		return regexp.QuoteMeta(config.DLQSuffix) + "$"
	}
	return "^" + regexp.QuoteMeta(dlq.Topic) + "$"
}

// message is a Kafka record as a window holds it.
func message(m *kafka.Message) workflows.Message {
	out := workflows.Message{Offset: int64(m.TopicPartition.Offset), Key: m.Key, Value: m.Value, Headers: headers(m.Headers)}
	if m.TimestampType != kafka.TimestampNotAvailable {
		out.Timestamp = m.Timestamp.UnixMilli()
	}
	return out
}

func headers(hs []kafka.Header) []drakkar.Header {
	if len(hs) == 0 {
		return nil
	}
	out := make([]drakkar.Header, len(hs))
	for i, h := range hs {
		out[i] = drakkar.Header{Key: h.Key, Value: h.Value}
	}
	return out
}
