package drakkar

import "time"

// The payloads below share two fields.
//
// Data is what is delivered, encoded as JSON or by the codec that the sink's
// settings name; []byte, [Bytes] and json.RawMessage are delivered as they are. Sink names the configured
// instance; it may be left empty when one instance of the type is configured.
// A name that is not configured, and an empty one where several are, is an
// error of the hook that returned the payload.

// KafkaPayload is one record for a Kafka topic.
type KafkaPayload struct {
	Sink string
	// Data is the record's value. Nil makes a tombstone.
	Data any
	// Key is the record's key; nil leaves the choice of partition to the
	// producer.
	Key []byte
	// Topic overrides the topic of the sink.
	Topic string
	// Partition overrides the partitioner.
	Partition *int32
	Headers   []Header
}

// PostgresPayload is one row.
type PostgresPayload struct {
	Sink string
	// Data must encode to a JSON object: each field is a column.
	Data any
	// Table may be qualified by a schema.
	Table string
}

// MongoPayload is one document.
type MongoPayload struct {
	Sink string
	// Data must encode to a JSON object.
	Data       any
	Collection string
}

// HTTPPayload is the body of one request.
type HTTPPayload struct {
	Sink string
	Data any
	// Headers win over those of the sink. They travel through Temporal's
	// history, so they are no place for secrets.
	Headers []Header
}

// RedisPayload is one key, or one entry of a stream, list or channel: the
// sink's mode says which.
type RedisPayload struct {
	Sink string
	Data any
	// Key is written behind the sink's key_prefix.
	Key string
	// TTL of 0 means that the key does not expire. Only keys of the mode set
	// can.
	TTL time.Duration
}

// FilePayload is one line of a file.
type FilePayload struct {
	Sink string
	Data any
	// Path is relative to the sink's base_path and must stay inside it.
	Path string
}

// CustomPayload is for a sink of the author's own, which reads the fields as it
// likes.
type CustomPayload struct {
	Sink    string
	Data    any
	Key     []byte
	Target  string
	Headers []Header
}

// CollectResult is what a hook wants delivered, to any mix of sinks. The zero
// value delivers nothing.
type CollectResult struct {
	Kafka    []KafkaPayload
	Postgres []PostgresPayload
	Mongo    []MongoPayload
	HTTP     []HTTPPayload
	Redis    []RedisPayload
	Files    []FilePayload
	Custom   []CustomPayload
}

// Len is the number of payloads.
func (c CollectResult) Len() int {
	return len(c.Kafka) + len(c.Postgres) + len(c.Mongo) + len(c.HTTP) + len(c.Redis) + len(c.Files) + len(c.Custom)
}
