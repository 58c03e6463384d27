package kafka

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/drakkar-go/drakkar/config"
)

// SecurityProperties are librdkafka's properties for reaching brokers that ask
// for encryption or a login. Consumers and producers share them.
func SecurityProperties(s config.KafkaSecurity) kafka.ConfigMap {
	m := kafka.ConfigMap{}
	for property, value := range s.Properties() {
		m[property] = value
	}
	return m
}

const (
	defaultTimeout = 30 * time.Second

	// transactionalID is the property that makes a producer transactional.
	transactionalID = "transactional.id"

	// maxMessageBytes is librdkafka's own limit. It is set out of the way: what
	// is too large is for the broker to say.
	maxMessageBytes = 100_000_000
)

// sameProperty names the property that librdkafka knows under a second name.
// An option of the user replaces ours under either of them.
var sameProperty = map[string]string{
	"compression.codec":      "compression.type",
	"message.timeout.ms":     "delivery.timeout.ms",
	"metadata.broker.list":   "bootstrap.servers",
	"queue.buffering.max.ms": "linger.ms",
	"sasl.mechanisms":        "sasl.mechanism",
}

// guaranteed are properties that deliveries rest on, under all of their names.
var guaranteed = []string{
	"acks", "request.required.acks", "enable.idempotence", transactionalID, "delivery.report.only.error",
}

// properties are those of the producer.
func properties(name string, cfg config.KafkaSink, source config.Kafka) (kafka.ConfigMap, error) {
	brokers, security := cfg.Brokers, cfg.Security
	if brokers == "" {
		brokers, security = source.Brokers, source.Security
	}
	m := SecurityProperties(security)
	maps.Copy(m, map[string]kafka.ConfigValue{
		"bootstrap.servers":  brokers,
		"client.id":          "drakkar-sink-" + name,
		"acks":               acks[cmp.Or(cfg.Acks, acksAll)],
		"enable.idempotence": cmp.Or(cfg.Acks, acksAll) == acksAll,
		"compression.type":   cmp.Or(cfg.Compression, "none"),
		"linger.ms":          int(cfg.Linger.Milliseconds()),
		// A record that nobody waits for any more is given up, so that an
		// unreachable broker does not gather the same payload once an attempt.
		"delivery.timeout.ms":       deliveryTimeout(cfg),
		"message.max.bytes":         maxMessageBytes,
		"log_level":                 0, // its errors come as events
		"enable.metrics.push":       false,
		"go.delivery.report.fields": "none",
		"go.events.channel.size":    1000,
		"go.produce.channel.size":   0,
	})
	if cfg.Transactional {
		m[transactionalID] = "drakkar-sink-" + name
		// What a dead producer has left open holds readers up for so long.
		m["transaction.timeout.ms"] = deliveryTimeout(cfg)
	}
	for option, value := range cfg.Options {
		if err := checkOption(option); err != nil {
			return nil, fmt.Errorf("sinks.kafka.%s.options.%s: %w", name, option, err)
		}
		delete(m, sameProperty[option])
		m[option] = value
	}
	return m, nil
}

// acks are what librdkafka calls the values of the setting.
var acks = map[string]string{acksAll: "all", "leader": "1"}

const acksAll = "all"

// deliveryTimeout is in milliseconds.
func deliveryTimeout(cfg config.KafkaSink) int {
	return int((max(cmp.Or(cfg.Delivery.Timeout, defaultTimeout), time.Second) + cfg.Linger).Milliseconds())
}

func checkOption(option string) error {
	if strings.HasPrefix(option, "go.") {
		return fmt.Errorf("it is not a property of librdkafka: remove it")
	}
	if slices.Contains(guaranteed, option) {
		return fmt.Errorf("what is delivered rests on it: remove it")
	}
	return nil
}

// redact takes the values of secret properties out of an error's text.
func redact(err error, m kafka.ConfigMap) error {
	text := err.Error()
	for property, value := range m {
		secret, ok := value.(string)
		if ok && secret != "" && isSecret(property) {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	if text == err.Error() {
		return err
	}
	return fmt.Errorf("%s", text)
}

func isSecret(property string) bool {
	for _, word := range []string{"password", "secret", "pem", "oauthbearer.config"} {
		if strings.Contains(property, word) {
			return true
		}
	}
	return false
}
