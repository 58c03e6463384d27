package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Rules between settings, and those a range cannot say.

func (v *validator) rules(c *Config) {
	v.pipeline(c)
	v.kafka(c)
	v.temporal(c.Temporal)
	v.flow(c)
	v.store(c.Windows)
	v.ports(c)
	v.sinks(c.Sinks)
	if c.Handler.Exec != nil {
		v.exec(c)
	}
}

// loaded checks what depends on what was set, not only on the values. It runs
// before defaults follow from other settings.
func (v *validator) loaded(c *Config) {
	if c.Kafka.GroupProtocol == "consumer" {
		for _, key := range []string{"kafka.session_timeout", "kafka.heartbeat_interval"} {
			if _, set := v.origins[key]; set {
				v.refuse(setting(key), "is ruled by the broker with kafka.group_protocol: consumer, remove it")
			}
		}
	}
	inOrder(c.Sinks.HTTP, func(name string, sink HTTPSink) {
		at := setting("sinks.http").entry(name)
		if _, set := v.origins[at.child("max_attempts").key]; set && sink.MaxRetries != nil {
			v.refuse(at.child("max_retries"), "says the same as max_attempts, which counts the first attempt too: keep max_attempts")
		}
	})
	inOrder(c.Sinks.Kafka, func(name string, sink KafkaSink) {
		v.unusedSecurity(setting("sinks.kafka").entry(name), sink.Brokers)
	})
	if c.DLQ.Dir == "" {
		v.unusedSecurity(setting("dlq"), c.DLQ.Brokers)
	}
	for name, value := range map[string]string{"topic": c.DLQ.Topic, "brokers": c.DLQ.Brokers} {
		if value != "" && c.DLQ.Dir != "" {
			v.refuse(setting("dlq").child(name), "has no effect with dlq.dir, which keeps dead letters in files: remove one of them")
		}
	}
}

func (v *validator) unusedSecurity(at path, brokers string) {
	security := at.child("security")
	if _, set := v.origins[security.key]; set && brokers == "" {
		v.refuse(security, "is used only for brokers, which is not set: kafka.security holds for kafka.brokers")
	}
}

// pipelineMax is how long a pipeline's name may be: with topic, partition and
// epoch it has to fit into a workflow id, which Temporal limits to 1,000.
const pipelineMax = 200

func (v *validator) pipeline(c *Config) {
	at, name := setting("pipeline"), c.Pipeline
	if name == "" {
		at, name = setting("kafka.consumer_group"), c.Kafka.ConsumerGroup
	}
	switch {
	case name == "": // refused already: consumer_group is required
	case len(name) > pipelineMax:
		v.refuse(at, "is the name of the pipeline and has %d bytes, at most %d are possible", len(name), pipelineMax)
	case strings.ContainsFunc(name, unicode.IsControl):
		v.refuse(at, "is the name of the pipeline and must not hold control characters")
	}
}

// ownedByDrakkar are properties of consumers which the guarantees rest on, or
// which have a setting, with what to do instead.
var ownedByDrakkar = map[string]string{
	"auto.commit.enable":              "offsets are committed when everything that came of a message has arrived",
	"auto.offset.reset":               "an expired position is handled by Drakkar, which counts and logs what it skips",
	"bootstrap.servers":               "use kafka.brokers",
	"enable.auto.commit":              "offsets are committed when everything that came of a message has arrived",
	"enable.auto.offset.store":        "offsets are committed when everything that came of a message has arrived",
	"go.application.rebalance.enable": "Drakkar handles rebalances itself",
	"go.events.channel.enable":        "Drakkar polls itself",
	"group.id":                        "use kafka.consumer_group",
	"group.instance.id":               "use kafka.group_instance_id",
	"group.protocol":                  "use kafka.group_protocol",
	"group.remote.assignor":           "it is cooperative-sticky's successor, which the broker chooses",
	"heartbeat.interval.ms":           "use kafka.heartbeat_interval",
	"isolation.level":                 "use kafka.isolation_level",
	"max.poll.interval.ms":            "use kafka.max_poll_interval",
	"metadata.broker.list":            "use kafka.brokers",
	"offset.store.method":             "offsets live in Kafka",
	"partition.assignment.strategy":   "it is cooperative-sticky",
	"session.timeout.ms":              "use kafka.session_timeout",
}

// ownedBySinks is the same for producers.
var ownedBySinks = map[string]string{
	"acks":                  "use acks of the sink",
	"bootstrap.servers":     "use brokers of the sink",
	"enable.idempotence":    "retries must not write a record twice",
	"metadata.broker.list":  "use brokers of the sink",
	"request.required.acks": "use acks of the sink",
	"transactional.id":      "use transactional of the sink",
}

func (v *validator) kafka(c *Config) {
	k, at := c.Kafka, setting("kafka")
	session, heartbeat := at.child("session_timeout"), at.child("heartbeat_interval")
	if k.GroupProtocol == "classic" && k.HeartbeatInterval > k.SessionTimeout/3 {
		v.conflict(side{heartbeat, k.HeartbeatInterval, "is more than a third of"},
			side{session, k.SessionTimeout, "is less than three times"})
	}
	v.options(at.child("options"), k.Options, ownedByDrakkar)
	v.security(at.child("security"), k.Security)
	v.security(setting("dlq.security"), c.DLQ.Security)
	v.sourceTopics(c)
}

func (v *validator) options(at path, options, owned map[string]string) {
	inOrder(options, func(name, _ string) {
		if advice, ok := owned[name]; ok {
			v.refuse(at.entry(name), "cannot be set: %s", advice)
		}
	})
}

func (v *validator) security(at path, s KafkaSecurity) {
	v.keyPair(at, s.CertFile, s.KeyFile)
	protocol, mechanism := at.child("protocol"), at.child("mechanism")
	if !v.sound(protocol, mechanism) {
		return
	}
	sasl := strings.HasPrefix(s.Protocol, "sasl_")
	if sasl && s.Mechanism == "" {
		v.refuse(mechanism, "must be set with protocol: %s", s.Protocol)
	}
	if !sasl && s.Mechanism != "" {
		v.refuse(mechanism, "has no effect with protocol: %s, which is without SASL", s.Protocol)
	}
}

// keyPair checks that a certificate has a key.
func (v *validator) keyPair(at path, cert, key string) {
	if cert != "" && key == "" {
		v.refuse(at.child("cert_file"), "needs key_file too")
	}
	if cert == "" && key != "" {
		v.refuse(at.child("key_file"), "needs cert_file too")
	}
}

func (v *validator) temporal(t Temporal) { v.keyPair(setting("temporal"), t.CertFile, t.KeyFile) }

// flow checks the limits that work together.
func (v *validator) flow(c *Config) {
	in := setting("ingest")
	v.below(in, "low_messages", c.Ingest.LowMessages, "high_messages", c.Ingest.HighMessages)
	v.below(in, "low_bytes", c.Ingest.LowBytes, "high_bytes", c.Ingest.HighBytes)
	v.below(in, "partition_low_messages", c.Ingest.PartitionLowMessages,
		"partition_high_messages", c.Ingest.PartitionHighMessages)
	v.below(in, "partition_low_bytes", c.Ingest.PartitionLowBytes,
		"partition_high_bytes", c.Ingest.PartitionHighBytes)
	if c.Windows.StoreMaxAge < c.Ingest.MinRetention {
		v.conflict(side{setting("windows.store_max_age"), c.Windows.StoreMaxAge, "is less than"},
			side{in.child("min_retention"), c.Ingest.MinRetention, "is more than"})
	}
}

func (v *validator) below(at path, low string, lowValue int, high string, highValue int) {
	if lowValue >= highValue {
		v.conflict(side{at.child(low), lowValue, "is not below"}, side{at.child(high), highValue, "is not above"})
	}
}

// side is one of two settings that do not go together.
type side struct {
	at       path
	value    any
	relation string // of the value to the other one
}

// conflict refuses the one of two settings that was set, the first if both
// were. It says nothing when one of them is wrong by itself.
func (v *validator) conflict(a, b side) {
	if !v.sound(a.at, b.at) {
		return
	}
	_, aSet := v.origins[a.at.key]
	_, bSet := v.origins[b.at.key]
	if bSet && !aSet {
		a, b = b, a
	}
	v.refuse(a.at, "%s %s %s, %s", plain(a.value), a.relation, b.at.text, plain(b.value))
}

func plain(value any) string {
	if d, ok := value.(time.Duration); ok {
		return durationText(d)
	}
	return fmt.Sprint(value)
}

const portMax = 65535

func (v *validator) ports(c *Config) {
	for _, role := range []Role{RoleIngest, RoleExecutor} {
		metrics, debug := c.portSettings(role)
		ports := []port{metrics}
		if c.Debug.Enabled {
			ports = append(ports, debug)
		}
		for _, p := range ports {
			if v.sound(p.at, setting("ports.offset")) && c.shifted(p.number) > portMax {
				v.refuse(p.at, "%d is more than %d with ports.offset, %d", p.number, portMax, c.Ports.Offset)
			}
		}
		if c.Debug.Enabled && metrics.number == debug.number && debug.number != 0 {
			v.conflict(side{debug.at, debug.number, "is also the port of"},
				side{metrics.at, metrics.number, "is also the port of"})
		}
	}
}

func (v *validator) sinks(s Sinks) {
	inOrder(s.Kafka, func(name string, sink KafkaSink) {
		at := setting("sinks.kafka").entry(name)
		v.options(at.child("options"), sink.Options, ownedBySinks)
		v.security(at.child("security"), sink.Security)
		if sink.Transactional && sink.Acks == "leader" {
			v.conflict(side{at.child("transactional"), sink.Transactional, "needs all replicas, and is not possible with"},
				side{at.child("acks"), sink.Acks, "is not enough for"})
		}
	})
	inOrder(s.Postgres, func(name string, sink PostgresSink) {
		at := setting("sinks.postgres").entry(name)
		if sink.PoolMin > sink.PoolMax {
			v.conflict(side{at.child("pool_min"), sink.PoolMin, "is more than"},
				side{at.child("pool_max"), sink.PoolMax, "is less than"})
		}
		v.conflictColumns(at, sink)
	})
	inOrder(s.Mongo, func(name string, sink MongoSink) {
		at := setting("sinks.mongo").entry(name).child("write_concern")
		if n, err := strconv.Atoi(sink.WriteConcern); err == nil && n < 1 {
			v.refuse(at, "is %d, and what no server has confirmed is not delivered: use majority, or a number from 1 on", n)
		}
	})
	inOrder(s.HTTP, func(name string, sink HTTPSink) {
		at := setting("sinks.http").entry(name)
		v.keyPair(at, sink.TLS.CertFile, sink.TLS.KeyFile)
		v.addresses(at.child("allow_addresses"), sink.AllowAddresses)
		v.httpURL(at.child("url"), sink)
	})
	inOrder(s.Redis, func(name string, sink RedisSink) {
		at := setting("sinks.redis").entry(name)
		v.keyPair(at, sink.TLS.CertFile, sink.TLS.KeyFile)
		v.redisURL(at.child("url"), sink.URL)
	})
}

// conflictColumns checks the key of a table. Which columns a table has is for
// the server to say.
func (v *validator) conflictColumns(at path, sink PostgresSink) {
	columns := at.child("conflict_columns")
	for i, column := range sink.ConflictColumns {
		switch {
		case column == "":
			v.refuse(columns.item(fmt.Sprintf("[%d]", i)), "is empty")
		case slices.Contains(sink.ConflictColumns[:i], column):
			v.refuse(columns.item(fmt.Sprintf("[%d]", i)), "names %s a second time", column)
		}
	}
	if sink.OnConflict == "update" && len(sink.ConflictColumns) == 0 && sink.IDColumn == "" {
		v.refuse(at.child("on_conflict"), "is update, which needs a key: set conflict_columns or id_column")
	}
}

// redisSchemes are what addresses of a Redis sink begin with.
var redisSchemes = []string{
	"redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel",
}

func (v *validator) redisURL(at path, address string) {
	scheme, _, _ := strings.Cut(address, "://")
	if v.sound(at) && !slices.Contains(redisSchemes, scheme) {
		v.refuse(at, "must begin with redis:// or rediss://, or with redis-cluster:// or redis-sentinel://")
	}
}

// addresses checks a list of host names, addresses and networks.
func (v *validator) addresses(at path, list []string) {
	for i, entry := range list {
		item := at.item(fmt.Sprintf("[%d]", i))
		_, err := netip.ParsePrefix(entry)
		switch {
		case strings.Contains(entry, "/") && err != nil:
			v.refuse(item, "%q is not a network like 10.0.0.0/8", entry)
		case entry == "" || strings.ContainsAny(entry, "@ "):
			v.refuse(item, "%q is neither a host name nor an address", entry)
		}
	}
}

// metadataHosts give out credentials of the machine to whoever asks.
var metadataHosts = []string{
	"100.100.100.200", "169.254.169.254", "192.0.0.192", "fd00:ec2::254",
	"metadata.google.internal", "metadata.packet.net",
}

// httpURL checks an address without looking it up. Problems do not show it: it
// may hold a password.
func (v *validator) httpURL(at path, sink HTTPSink) {
	if !v.sound(at) {
		return
	}
	u, err := url.Parse(sink.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		v.refuse(at, "must be an address that begins with http:// or https://")
		return
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if host == "" {
		v.refuse(at, "has no host")
		return
	}
	ip, err := netip.ParseAddr(host)
	linkLocal := err == nil && ip.Unmap().IsLinkLocalUnicast()
	if err == nil {
		host = ip.Unmap().WithZone("").String()
	}
	// What allow_addresses lets through, the sink itself decides.
	if len(sink.AllowAddresses) == 0 && (linkLocal || slices.Contains(metadataHosts, host)) {
		v.refuse(at, "must not lead to a metadata or link-local address")
	}
}
