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
	Custom     map[string]CustomSink     `yaml:"custom"`

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

	// What makes bytes of a payload's data that is none: json, raw, which refuses
	// everything but bytes, or the name of one that app.Options.Codecs holds.
	Codec string `yaml:"codec" default:"json" required:"true"`

	// Address of a web UI for the sink, to be shown as a link. No effect yet.
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

	// Who has to have a record before it counts as delivered: all replicas that
	// are in sync, or the leader alone. With leader a record can die with it,
	// and the producer's own retries can write a record twice.
	Acks string `yaml:"acks" default:"all" range:"all|leader"`

	// Writes each batch in a transaction: who reads with read_committed sees all
	// of its records or none. Batches are written one after the other then.
	Transactional bool `yaml:"transactional"`

	// How long the producer waits for a batch to fill.
	Linger time.Duration `yaml:"linger" default:"1ms" range:"0s..10s" alias:"linger_ms"`

	// Further properties of librdkafka's producer. They win over what Drakkar
	// sets, except for acks and idempotence.
	Options map[string]string `yaml:"options" secret:"names" keys:"property"`

	Delivery Delivery `yaml:",inline"`
}

// PostgresSink is a database. A payload is a row, its fields are columns, and
// nested values suit columns of type jsonb.
type PostgresSink struct {
	// Connection string, as a URL or as key=value pairs.
	DSN string `yaml:"dsn" required:"true" secret:"url"`

	// Connections kept open.
	PoolMin int `yaml:"pool_min" default:"2" range:"0..1000"`

	// Most connections. At least pool_min.
	PoolMax int `yaml:"pool_max" default:"10" range:"1..1000"`

	// What happens when the table has the row's key already. error refuses the
	// payload, nothing keeps the row that is there, update overwrites the
	// columns which the payload has.
	OnConflict string `yaml:"on_conflict" default:"error" range:"error|nothing|update"`

	// Columns that make the key of on_conflict; a unique index on these must
	// exist. Empty means id_column, or with nothing any key of the table.
	ConflictColumns []string `yaml:"conflict_columns"`

	// Column which receives the delivery id, when set.
	IDColumn string `yaml:"id_column"`

	Delivery Delivery `yaml:",inline"`
}

// MongoSink is a database. A payload is a document in MongoDB's Extended JSON:
// {"$date": "2026-01-02T03:04:05Z"} is a date, and a number without fraction an
// integer.
type MongoSink struct {
	// Connection string.
	URI string `yaml:"uri" required:"true" secret:"url"`

	// Database.
	Database string `yaml:"database" required:"true"`

	// What happens when the collection has the document's _id already. error
	// refuses the payload, nothing keeps the document that is there, update
	// replaces it.
	OnConflict string `yaml:"on_conflict" default:"error" range:"error|nothing|update"`

	// Field which receives the delivery id, when set. _id makes it the key.
	IDField string `yaml:"id_field"`

	// Who has to have a document before it counts as delivered: majority, a
	// number of servers from 1 on, or the name of a write concern that the
	// server knows.
	WriteConcern string `yaml:"write_concern" default:"majority" required:"true"`

	Delivery Delivery `yaml:",inline"`
}

// ClientTLS is how a sink proves who it is and whom it trusts. It is used where
// the address asks for TLS.
type ClientTLS struct {
	// File with the certificates that are trusted instead of the system's.
	CAFile string `yaml:"ca_file"`

	// Certificate that is shown to the server. It is read again for each
	// connection, so it can be renewed in place.
	CertFile string `yaml:"cert_file"`

	// Key of cert_file.
	KeyFile string `yaml:"key_file"`

	// Name the server's certificate must have when it is not that of the
	// address.
	ServerName string `yaml:"server_name"`
}

// HTTPSink is an endpoint. Redirects are not followed, and addresses which give
// out credentials of the machine, or are link-local, are refused once the name
// is resolved. Proxies of the environment are not used.
type HTTPSink struct {
	// Address, http or https.
	URL string `yaml:"url" required:"true" secret:"url"`

	// Method of the request.
	Method string `yaml:"method" default:"POST" range:"POST|PUT|PATCH"`

	// Headers of the request. A payload's own win over them.
	Headers map[string]string `yaml:"headers" secret:"true" keys:"header"`

	// What one request carries: payload is one request each; batch is a JSON
	// array of a whole batch, of at most batch_size payloads.
	Body string `yaml:"body" default:"payload" range:"payload|batch"`

	// Most requests at the same time, of this sink in this process. With 1 the
	// payloads of a batch are sent in order.
	MaxConcurrency int `yaml:"max_concurrency" default:"16" range:"1..1000"`

	// How long one request may take, from connecting to the end of the answer.
	// 0 leaves it to timeout.
	RequestTimeout time.Duration `yaml:"request_timeout" default:"0s" range:"0s..1h"`

	// Host names, addresses and networks (10.0.0.0/8) that may be connected to
	// although they are link-local or known to give out credentials.
	AllowAddresses []string `yaml:"allow_addresses"`

	// Older name of max_attempts, counting retries only.
	MaxRetries *int `yaml:"max_retries" range:"0..1000"`

	TLS      ClientTLS `yaml:",inline"`
	Delivery Delivery  `yaml:",inline"`
}

// RedisSink is a server, a cluster, or a server that sentinels name.
type RedisSink struct {
	// Address. redis://user:password@host:6379/0 is a server;
	// redis-cluster://host1:6379,host2:6379 a cluster, of which some nodes are
	// named; redis-sentinel://host1:26379,host2:26379/0?master_name=main the
	// master that sentinels know. With rediss instead of redis all of them use
	// TLS. Options of the client follow as a query: pool_size, dial_timeout.
	URL string `yaml:"url" default:"redis://localhost:6379/0" required:"true" secret:"url"`

	// Written before every key.
	KeyPrefix string `yaml:"key_prefix"`

	// What is done with a payload. set writes the value of its key; stream
	// appends an entry with the fields data and id to the stream of that name;
	// list appends the value to the list of that name; publish sends it to the
	// channel of that name, and to nobody when nobody listens.
	Mode string `yaml:"mode" default:"set" range:"set|stream|list|publish"`

	// Entries after which a stream forgets its oldest, roughly. 0 keeps all.
	StreamMaxLen int `yaml:"stream_max_len" default:"0" range:"0.."`

	TLS      ClientTLS `yaml:",inline"`
	Delivery Delivery  `yaml:",inline"`
}

// CustomSink is a sink of the author's own, made by the constructor which
// app.Options.Sinks holds for its type.
type CustomSink struct {
	// Which constructor makes it.
	Type string `yaml:"type" required:"true"`

	// What the constructor needs to know.
	Options map[string]string `yaml:"options" secret:"names" keys:"exact"`

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

	// Compression of files that were set aside: gzip makes results-<time>.jsonl.gz
	// of them.
	Compression string `yaml:"compression" default:"none" range:"none|gzip"`

	// Field which receives the delivery id, when set and when the line is a
	// JSON object.
	IDField string `yaml:"id_field"`

	// Makes directories below base_path that a payload's path names.
	CreateDirs bool `yaml:"create_dirs" default:"true"`

	Delivery Delivery `yaml:",inline"`
}
