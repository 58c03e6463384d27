package config

import "time"

// Sinks are where payloads go, each kind with any number of named instances.
type Sinks struct {
	Kafka      map[string]KafkaSink      `yaml:"kafka"`
	Postgres   map[string]PostgresSink   `yaml:"postgres"`
	Mongo      map[string]MongoSink      `yaml:"mongo"`
	HTTP       map[string]HTTPSink       `yaml:"http"`
	Redis      map[string]RedisSink      `yaml:"redis"`
	Filesystem map[string]FilesystemSink `yaml:"filesystem"`

	// Default of every sink's breaker.
	CircuitBreaker CircuitBreaker `yaml:"circuit_breaker"`
}

// CircuitBreaker spares a sink that is down.
type CircuitBreaker struct {
	// Transient failures in a row that open it.
	FailureThreshold int `yaml:"failure_threshold" default:"5" range:"1..1000000"`

	// How long it stays open before one delivery is let through as a probe.
	Cooldown time.Duration `yaml:"cooldown" default:"30s" range:"0s..24h" alias:"cooldown_seconds"`
}

// Delivery is what every sink has.
type Delivery struct {
	// What happens to payloads while the sink is down. hold delivers them again
	// for as long as it takes, and offsets wait. dlq gives up after
	// max_attempts and writes them to the dead letter queue.
	OnOpen string `yaml:"on_open" default:"hold" range:"hold|dlq"`

	// Attempts of a payload which fails transiently, with on_open: dlq, and of
	// one that on_delivery_error wants delivered again.
	MaxAttempts int `yaml:"max_attempts" default:"10" range:"1..1000000"`

	// Pause before the second attempt. Each further pause is twice as long.
	InitialInterval time.Duration `yaml:"initial_interval" default:"500ms" range:"1ms..1h"`

	// Longest pause between attempts.
	MaxInterval time.Duration `yaml:"max_interval" default:"30s" range:"1ms..24h"`

	// How long one delivery of a batch may take.
	Timeout time.Duration `yaml:"timeout" default:"30s" range:"1ms..1h" alias:"timeout_seconds"`

	// Most payloads in one batch.
	BatchSize int `yaml:"batch_size" default:"1000" range:"1..100000"`

	// Address of a web UI for the sink, shown as a link.
	UIURL string `yaml:"ui_url" secret:"url"`
}

// KafkaSink is a topic that records are written to.
type KafkaSink struct {
	// Topic to write to; a payload may name another.
	Topic string `yaml:"topic" required:"true"`

	// Brokers; empty means kafka.brokers, with kafka.security.
	Brokers string `yaml:"brokers"`

	// Security of brokers; used when brokers is set.
	Security KafkaSecurity `yaml:"security"`

	// Compression of batches.
	Compression string `yaml:"compression" default:"lz4" range:"none|gzip|snappy|lz4|zstd"`

	// How long the producer waits for a batch to fill.
	Linger time.Duration `yaml:"linger" default:"1ms" range:"0s..10s" alias:"linger_ms"`

	// Further properties of librdkafka's producer. They win over what Drakkar
	// sets, except for acks and idempotence.
	Options map[string]string `yaml:"options" secret:"names" keys:"property"`

	Delivery Delivery `yaml:",inline"`
}

// PostgresSink is a database.
type PostgresSink struct {
	// Connection string.
	DSN string `yaml:"dsn" required:"true" secret:"url"`

	// Connections kept open.
	PoolMin int `yaml:"pool_min" default:"2" range:"0..1000"`

	// Most connections. At least pool_min.
	PoolMax int `yaml:"pool_max" default:"10" range:"1..1000"`

	Delivery Delivery `yaml:",inline"`
}

// MongoSink is a database.
type MongoSink struct {
	// Connection string.
	URI string `yaml:"uri" required:"true" secret:"url"`

	// Database.
	Database string `yaml:"database" required:"true"`

	Delivery Delivery `yaml:",inline"`
}

// HTTPSink is an endpoint.
type HTTPSink struct {
	// Address, http or https.
	URL string `yaml:"url" required:"true" secret:"url"`

	// Method of the request.
	Method string `yaml:"method" default:"POST" range:"POST|PUT|PATCH"`

	// Headers of the request.
	Headers map[string]string `yaml:"headers" secret:"true" keys:"header"`

	// Older name of max_attempts, counting retries only.
	MaxRetries *int `yaml:"max_retries" range:"0..1000"`

	Delivery Delivery `yaml:",inline"`
}

// RedisSink is a server.
type RedisSink struct {
	// Address, redis or rediss.
	URL string `yaml:"url" default:"redis://localhost:6379/0" required:"true" secret:"url"`

	// Written before every key.
	KeyPrefix string `yaml:"key_prefix"`

	Delivery Delivery `yaml:",inline"`
}

// FilesystemSink is a directory with files of JSON lines.
type FilesystemSink struct {
	// Directory; no payload can leave it. It must exist.
	BasePath string `yaml:"base_path" required:"true"`

	// When data is forced to disk. batch does so before a batch counts as
	// delivered. interval does so each second, and a power failure can take
	// what came since. never leaves it to the system.
	Fsync string `yaml:"fsync" default:"batch" range:"batch|interval|never"`

	// Size at which a file is set aside under a name with the time and a fresh
	// one begun. 0 never does.
	RotateBytes int64 `yaml:"rotate_bytes" default:"0" range:"0.."`

	// Age at which a file is set aside. 0 never does.
	RotateInterval time.Duration `yaml:"rotate_interval" default:"0s" range:"0s.."`

	// How many files that were set aside are kept of each file. 0 keeps all.
	RotateKeep int `yaml:"rotate_keep" default:"0" range:"0..1000000"`

	// Field which receives the delivery id, when set and when the line is a
	// JSON object.
	IDField string `yaml:"id_field"`

	// Makes directories below base_path that a payload's path names.
	CreateDirs bool `yaml:"create_dirs" default:"true"`

	Delivery Delivery `yaml:",inline"`
}
