// Package config holds every setting: one struct for each section of the
// configuration file, their defaults, ranges and validation, and the generated
// reference. It is the only place that knows viper and the environment.
//
// Each field carries its rules in tags, from which loading, validation and the
// reference are made:
//
//	yaml     the key as the user types it
//	default  the value used when the key is absent
//	range    what is allowed: "1..1000", "0..", or a list "a|b|c"
//	alias    further names of the key, which older files use; a name that
//	         ends in _seconds or _ms takes a number of that unit
//	required "true": the value may not be empty
//	secret   "true": the value is never printed; "url": only the parts of the
//	         address which hold no password are; "names": of a map, the values
//	         whose name speaks of a password, key or token are not
//	keys     how keys of a map are written in names of environment variables:
//	         "exact" as they are, "header" and "property" with _ for - and .
//
// A field without a default defaults to its zero value. Comments become the
// reference, docs/configuration.md.
package config

import "time"

// Config is the whole configuration.
type Config struct {
	// Name of the environment variable that holds this process's name. The
	// name appears in logs, in Temporal and in Kafka's client id. When the
	// variable is empty the name is made from the host and the role.
	WorkerNameEnv string `yaml:"worker_name_env" default:"WORKER_ID"`

	// Logical cluster this process belongs to, shown in logs.
	ClusterName string `yaml:"cluster_name"`

	// Name of an environment variable which overrides cluster_name when it is
	// set and not empty.
	ClusterNameEnv string `yaml:"cluster_name_env"`

	// Name of the pipeline. It begins the ids of its workflows and names its
	// task queues, so two pipelines of one Temporal namespace need two names.
	// Changing it makes every partition begin a new epoch. When empty, it is
	// kafka.consumer_group.
	Pipeline string `yaml:"pipeline"`

	// What to do with a message whose value cannot be decoded. dlq writes it to
	// the dead letter queue. pass hands it to Arrange with PayloadErr set. halt
	// stops its window until the handler can decode it.
	OnParseError string `yaml:"on_parse_error" default:"dlq" range:"dlq|pass|halt"`

	Kafka    Kafka    `yaml:"kafka"`
	Temporal Temporal `yaml:"temporal"`
	Ingest   Ingest   `yaml:"ingest"`
	Windows  Windows  `yaml:"windows"`
	Reset    Reset    `yaml:"reset"`
	Hooks    Hooks    `yaml:"hooks"`
	Executor Executor `yaml:"executor"`
	Handler  Handler  `yaml:"handler"`
	Sinks    Sinks    `yaml:"sinks"`
	DLQ      DLQ      `yaml:"dlq"`
	Metrics  Metrics  `yaml:"metrics"`
	Logging  Logging  `yaml:"logging"`
	Debug    Debug    `yaml:"debug"`
	Ports    Ports    `yaml:"ports"`
}

// Kafka is the source, and the default of everything else that speaks to
// Kafka.
type Kafka struct {
	// Bootstrap brokers, comma separated. Sinks and the dead letter queue use
	// them too unless they name their own.
	Brokers string `yaml:"brokers" default:"localhost:9092" required:"true"`

	// Topic to read, or several: a list, or a text with commas. A regular
	// expression that begins with ^ stands for all topics it matches, those to
	// come included; the topics of dead letters are never among them.
	SourceTopic string `yaml:"source_topic" default:"input-events" required:"true" joined:"true"`

	// Consumer group whose committed offsets say what is done.
	ConsumerGroup string `yaml:"consumer_group" default:"drakkar-workers" required:"true"`

	// Rebalance protocol. classic works with every broker and is
	// cooperative-sticky; consumer is KIP-848 and needs brokers of version 4.0
	// or later, which then rule session timeout and heartbeats.
	GroupProtocol string `yaml:"group_protocol" default:"classic" range:"classic|consumer"`

	// Static membership: a member that restarts within the session timeout
	// under the same id keeps its partitions without a rebalance. Must be
	// different for every ingest process. Empty turns it off.
	GroupInstanceID string `yaml:"group_instance_id"`

	// How long the broker waits for a silent member before it gives its
	// partitions to others. Only with the classic protocol.
	SessionTimeout time.Duration `yaml:"session_timeout" default:"10s" range:"1s..30m" alias:"session_timeout_ms,session_timeout_seconds"`

	// How often a member tells the broker that it lives. At most a third of
	// session_timeout. Only with the classic protocol.
	HeartbeatInterval time.Duration `yaml:"heartbeat_interval" default:"3s" range:"100ms..10m" alias:"heartbeat_interval_ms,heartbeat_interval_seconds"`

	// How long the poll loop may be silent before the broker takes the
	// partitions away. The loop does no work of its own, so this is a watchdog.
	MaxPollInterval time.Duration `yaml:"max_poll_interval" default:"5m" range:"10s..24h" alias:"max_poll_interval_ms,max_poll_interval_seconds"`

	// Which records of transactions are read: read_committed leaves out those
	// that were aborted or are still open.
	IsolationLevel string `yaml:"isolation_level" default:"read_committed" range:"read_committed|read_uncommitted"`

	Security KafkaSecurity `yaml:"security"`

	// Further properties of librdkafka, handed to the consumer as they are.
	// They win over what Drakkar sets, except for those its guarantees rest
	// on, which are refused.
	Options map[string]string `yaml:"options" secret:"names" keys:"property"`

	// Base address of a Kafka web UI; with ui_cluster_name, pages are to link
	// offsets to it. No effect yet.
	UIURL string `yaml:"ui_url" secret:"url"`

	// Name of the cluster in that UI. No effect yet.
	UIClusterName string `yaml:"ui_cluster_name"`
}

// KafkaSecurity is how to reach brokers that ask for it.
type KafkaSecurity struct {
	// Protocol of the connection.
	Protocol string `yaml:"protocol" default:"plaintext" range:"plaintext|ssl|sasl_plaintext|sasl_ssl"`

	// SASL mechanism.
	Mechanism string `yaml:"mechanism" range:"|PLAIN|SCRAM-SHA-256|SCRAM-SHA-512|OAUTHBEARER"`

	// SASL user name.
	Username string `yaml:"username"`

	// SASL password.
	Password string `yaml:"password" secret:"true"`

	// File with the certificates of the authorities that are trusted, PEM.
	CAFile string `yaml:"ca_file"`

	// File with the client's certificate, PEM.
	CertFile string `yaml:"cert_file"`

	// File with the key of the client's certificate, PEM.
	KeyFile string `yaml:"key_file"`

	// Password of key_file.
	KeyPassword string `yaml:"key_password" secret:"true"`
}

// Temporal is where windows live.
type Temporal struct {
	// Address of the frontend, host:port.
	Address string `yaml:"address" default:"localhost:7233" required:"true"`

	// Namespace of the pipeline's workflows.
	Namespace string `yaml:"namespace" default:"default" required:"true"`

	// API key, for Temporal Cloud. Turns TLS on.
	APIKey string `yaml:"api_key" secret:"true"`

	// Connects with TLS.
	TLS bool `yaml:"tls"`

	// File with the certificates of the authorities that are trusted, PEM.
	// Empty trusts the system's.
	CAFile string `yaml:"ca_file"`

	// File with the client's certificate for mTLS, PEM.
	CertFile string `yaml:"cert_file"`

	// File with the key of the client's certificate, PEM.
	KeyFile string `yaml:"key_file"`

	// Name the server's certificate must have when it is not that of address.
	ServerName string `yaml:"server_name"`

	// How many windows an executor keeps in memory between their steps. One
	// that is not there is rebuilt from its history, which costs time and no
	// work.
	StickyCacheSize int `yaml:"sticky_cache_size" default:"256" range:"0..100000"`

	// How executors of several builds share the windows, by Temporal's worker
	// versioning. off knows no builds: any executor takes any window. With the
	// others, new windows go to the build that is current; an open window stays
	// with the build that began it (pinned; keep executors of that build until
	// none is left), or goes on in the current build (auto_upgrade). All
	// executors of a pipeline must have the same value.
	Versioning string `yaml:"versioning" default:"off" range:"off|pinned|auto_upgrade"`

	// Name of this build. When empty, the revision the program was built from,
	// or a sum of the program's file when the build does not tell it.
	BuildID string `yaml:"build_id"`

	// Who makes a build current. auto: the first executor of a build that never
	// was current. manual: an operator, with Temporal's command line tool or
	// pages; a build that was current before is always left to the operator.
	Promote string `yaml:"promote" default:"auto" range:"auto|manual"`
}

// Ingest rules how messages become windows.
type Ingest struct {
	// How many windows of one partition may be open at the same time. While none
	// is, a message does not wait for others; beside open ones, messages gather
	// for up to 250 ms, until they are as many as those windows hold, or make a
	// full one; and while as many as this are open, for as long as that lasts.
	MaxOpenWindows int `yaml:"max_open_windows" default:"4" range:"1..64"`

	// The same for the whole process. Up to half of them are kept for partitions
	// that have none, so that windows whose sink is away do not stop the others.
	// Every open window is followed by one long poll; Temporal allows 1,200 of
	// them in a namespace by default.
	MaxOpenWindowsTotal int `yaml:"max_open_windows_total" default:"64" range:"1..1000"`

	// How many windows a partition may be ahead of its committed offset,
	// finished ones included. It bounds what one slow message can leave open
	// behind it.
	MaxWindowsAhead int `yaml:"max_windows_ahead" default:"256" range:"1..10000"`

	// How old a window gets before it publishes which of its messages are done,
	// and how often it does, so that one slow message does not hold back those
	// before it.
	ProgressInterval time.Duration `yaml:"progress_interval" default:"10s" range:"1s..1h"`

	// How often offsets are committed, when they moved.
	CommitInterval time.Duration `yaml:"commit_interval" default:"500ms" range:"10ms..1m"`

	// How often the offsets of idle partitions are committed again, so that a
	// late commit of a former owner does not stay.
	RecommitInterval time.Duration `yaml:"recommit_interval" default:"30s" range:"1s..1h"`

	// Messages that may wait in this process before partitions are paused that
	// have more than their part of low_messages.
	HighMessages int `yaml:"high_messages" default:"20000" range:"1..10000000"`

	// Messages at which all partitions are read on. Below high_messages.
	LowMessages int `yaml:"low_messages" default:"10000" range:"0..10000000"`

	// Bytes of keys, values and headers that may wait in this process before
	// partitions are paused that have more than their part of low_bytes.
	HighBytes int `yaml:"high_bytes" default:"67108864" range:"65536.."`

	// Bytes at which all partitions are read on. Below high_bytes.
	LowBytes int `yaml:"low_bytes" default:"33554432" range:"0.."`

	// Messages that may wait in one partition before it is paused.
	PartitionHighMessages int `yaml:"partition_high_messages" default:"4000" range:"1..10000000"`

	// Messages at which reading the partition goes on.
	PartitionLowMessages int `yaml:"partition_low_messages" default:"1000" range:"0..10000000"`

	// Bytes that may wait in one partition before it is paused.
	PartitionHighBytes int `yaml:"partition_high_bytes" default:"16777216" range:"65536.."`

	// Bytes at which reading the partition goes on.
	PartitionLowBytes int `yaml:"partition_low_bytes" default:"4194304" range:"0.."`

	// Shortest retention the Temporal namespace must have. Windows that are
	// forgotten by Temporal before their offsets are committed would run again;
	// a partition stops opening windows when its oldest is half of the
	// namespace's retention old.
	MinRetention time.Duration `yaml:"min_retention" default:"168h" range:"1h.."`

	// Port of /metrics, /healthz and /readyz of ingest.
	MetricsPort int `yaml:"metrics_port" default:"9091" range:"0..65535"`

	// Port of the debug pages of ingest, which are not built yet: nothing listens
	// on it.
	DebugPort int `yaml:"debug_port" default:"8081" range:"0..65535"`
}

// Windows rules what a window may hold and how it is worked on.
type Windows struct {
	// Bytes of messages in one window, as they travel. Temporal refuses inputs
	// of 2 MiB.
	MaxBytes int `yaml:"max_bytes" default:"1048576" range:"4096..1572864" alias:"window_max_bytes"`

	// Larger message values do not travel in the window: it holds their
	// coordinates, and executors read them from Kafka.
	InlineMaxBytes int `yaml:"inline_max_bytes" default:"65536" range:"1024..524288"`

	// Where lists of tasks, results and payloads lie which are too large for
	// Temporal's history: a directory, or s3://bucket/prefix?region=... in
	// Amazon S3. Another service with its protocol is named by endpoint=http://...,
	// with path_style=false when the bucket belongs into the host name.
	// Credentials come from the environment, as for Amazon's own tools. All
	// executors of a pipeline must share it; one that has another place than the
	// others does not start. Empty means a directory below the system's temporary
	// one, which is enough for executors of one host.
	Store string `yaml:"store"`

	// How long objects in the store are kept, and at least as long as the
	// namespace keeps workflows. Those of windows that are open stay.
	StoreMaxAge time.Duration `yaml:"store_max_age" default:"192h" range:"1h.."`

	// How Arrange is called: local inside the workflow's own step, which is
	// fastest; regular as an activity of its own, which suits hooks that take
	// seconds; auto takes local until calls take longer than 200 ms.
	Arrange string `yaml:"arrange" default:"auto" range:"auto|local|regular"`

	// The same for message and window hooks.
	Collect string `yaml:"collect" default:"auto" range:"auto|local|regular"`

	// In which order the tasks of a partition run. none: beside each other. key:
	// those of messages with the same key one after the other, by offset, and
	// each only when the one before has settled, repetitions and replacements
	// included; different keys go on side by side, and so do messages without a
	// key. One window of a partition is open at a time then. Payloads are
	// delivered in no particular order within a window.
	Order string `yaml:"order" default:"none" range:"none|key"`

	// How often a window that was terminated or failed is reset to where it was.
	// After that what is not finished of it goes to the dead letter queue.
	MaxReruns int `yaml:"max_reruns" default:"3" range:"0..100"`

	// How long a window may be open before an alarm is raised: a metric and a
	// line in the log. 0 turns it off.
	MaxAge time.Duration `yaml:"max_age" default:"24h" range:"0s.."`

	// What becomes of a window that is open for longer: wait leaves it alone;
	// dead_letter ends it, and what is not finished of it goes to the dead
	// letter queue.
	OnMaxAge string `yaml:"on_max_age" default:"wait" range:"wait|dead_letter"`
}

// Reset rules what happens when a partition's offset was set by somebody else.
type Reset struct {
	// Ends the open windows of what was read before, when reading begins anew
	// because the group's offset was reset, or because the topic was made
	// again. When false they run to their end.
	CancelOld bool `yaml:"cancel_old" default:"false"`
}

// Hooks rules what happens when a hook fails.
type Hooks struct {
	// How often a hook is called for the same thing before it is given up and
	// the message goes to the dead letter queue.
	MaxAttempts int `yaml:"max_attempts" default:"8" range:"1..1000"`

	// Pause before the second call. Each further pause is twice as long.
	InitialInterval time.Duration `yaml:"initial_interval" default:"1s" range:"1ms..1h"`

	// Longest pause.
	MaxInterval time.Duration `yaml:"max_interval" default:"1m" range:"1ms..24h"`

	// How long one call may take.
	Timeout time.Duration `yaml:"timeout" default:"2m" range:"10ms..24h"`
}

// Executor rules the subprocess pool.
type Executor struct {
	// Program to run; a task may name another.
	BinaryPath string `yaml:"binary_path"`

	// How programs run: spawn starts one for each task, resident hands task
	// after task to one that stays, in the protocol of docs/resident.md. A task
	// may name its own.
	Mode string `yaml:"mode" default:"spawn" range:"spawn|resident"`

	Resident Resident `yaml:"resident"`

	// Environment added for every program.
	Env map[string]string `yaml:"env" secret:"true" keys:"exact"`

	// Hands the executor's own environment to programs, less env_inherit_deny.
	// When false they get only env and the task's.
	EnvInheritParent bool `yaml:"env_inherit_parent" default:"true"`

	// Names which are not inherited: case-insensitive patterns with *. An empty
	// list inherits everything.
	EnvInheritDeny []string `yaml:"env_inherit_deny" default:"DRAKKAR_*,*PASSWORD*,*SECRET*,*TOKEN*,*_KEY,*_DSN,*CREDENTIAL*"`

	// Slots: how many programs run at the same time in this process.
	MaxExecutors int `yaml:"max_executors" default:"4" range:"1..10000"`

	// How long one program may run, its wait for a slot not included. A task
	// may have its own.
	TaskTimeout time.Duration `yaml:"task_timeout" default:"2m" range:"1ms..168h" alias:"task_timeout_seconds"`

	// How long a program that is to end may take after SIGTERM before SIGKILL.
	KillGrace time.Duration `yaml:"kill_grace" default:"2s" range:"0s..10m"`

	// Bytes kept of stdout, and of stderr. A program may print more: it is not
	// blocked, the rest is dropped and the result says so.
	MaxOutputBytes int `yaml:"max_output_bytes" default:"1048576" range:"0..268435456"`

	// Most messages in one window.
	WindowSize int `yaml:"window_size" default:"500" range:"1..10000"`

	// Further attempts of a task after the first.
	MaxRetries int `yaml:"max_retries" default:"3" range:"0..1000"`

	// Pause before the second attempt. Each further pause is twice as long.
	RetryInitialInterval time.Duration `yaml:"retry_initial_interval" default:"1s" range:"0s..1h"`

	// Longest pause between attempts.
	RetryMaxInterval time.Duration `yaml:"retry_max_interval" default:"1m" range:"0s..24h"`

	// How deep replacements of replacements may go.
	MaxReplacementDepth int `yaml:"max_replacement_depth" default:"10" range:"1..1000"`

	// How long running programs may take to end when the executor stops.
	DrainTimeout time.Duration `yaml:"drain_timeout" default:"30s" range:"0s..24h" alias:"drain_timeout_seconds"`

	// How long Temporal waits for a silent executor before its unfinished tasks
	// run elsewhere.
	HeartbeatTimeout time.Duration `yaml:"heartbeat_timeout" default:"10s" range:"2s..10m"`
}

// Resident rules programs that take task after task. They speak the protocol of
// docs/resident.md. There are never more of them than max_executors.
type Resident struct {
	// How messages of the protocol follow one another: lines, one line of JSON
	// each, or length, JSON behind four bytes with its length.
	Framing string `yaml:"framing" default:"lines" range:"lines|length"`

	// Arguments the program is started with. Those of a task reach it with the
	// task.
	Args []string `yaml:"args"`

	// How long a program may take after its start until it says that it is
	// ready. The timeout of a task begins only then.
	StartTimeout time.Duration `yaml:"start_timeout" default:"30s" range:"1ms..168h"`

	// Tasks after which a program is replaced by a fresh one. 0 keeps it.
	MaxTasks int `yaml:"max_tasks" default:"0" range:"0..1000000000"`

	// Bytes of memory at which a program is replaced by a fresh one, measured
	// between tasks, without its children, on Linux only. 0 does not measure.
	MaxMemoryBytes int `yaml:"max_memory_bytes" default:"0" range:"0.."`
}

// Handler is a pipeline without Go: one command for each message. It is used
// by the executor-worker command; programs with a handler of their own leave
// it out.
type Handler struct {
	Exec *ExecHandler `yaml:"exec"`
}

// ExecHandler runs one program for each message. Args, stdin and the values of
// env are text/template templates over the message: .Value is the decoded JSON
// value, .Raw the value as text, .Key, .Topic, .Partition, .Offset, .Timestamp
// and .Header "name".
type ExecHandler struct {
	// Program to run; empty means executor.binary_path.
	Binary string `yaml:"binary"`

	// Arguments, each a template.
	Args []string `yaml:"args"`

	// Standard input, a template. Absent gives the program /dev/null.
	Stdin *string `yaml:"stdin"`

	// Environment, each value a template.
	Env map[string]string `yaml:"env" secret:"true" keys:"exact"`

	// How the value is decoded: json, or raw for text which is not JSON. What is
	// not UTF-8 is not JSON.
	Input string `yaml:"input" default:"json" range:"json|raw"`

	// Exit codes besides 0 that mean success. grep's 1, for instance.
	SuccessCodes []int `yaml:"success_codes" range:"0..255"`

	// Exit codes after which the task is run again.
	RetryCodes []int `yaml:"retry_codes" range:"1..255"`

	// Exit codes which are accepted as final without output.
	SkipCodes []int `yaml:"skip_codes" range:"1..255"`

	// What every other exit code means: dlq writes the message to the dead
	// letter queue at once, retry runs the task again first, skip accepts it.
	OnFailure string `yaml:"on_failure" default:"retry" range:"retry|dlq|skip"`

	// How stdout is read: whole is one output, lines one for each line that is
	// not empty, json one for each JSON value in it.
	Output string `yaml:"output" default:"whole" range:"whole|lines|json"`

	// What is delivered for each output. Several are delivered all.
	Deliver []ExecDelivery `yaml:"deliver"`
}

// ExecDelivery maps an output to a payload. Its texts are templates over the
// message, as those of args, and over .Output (the text), .JSON (the output
// decoded, with output: json), .Index, .ExitCode, .Stderr and .DurationSeconds.
type ExecDelivery struct {
	// Kind of the sink.
	Type string `yaml:"type" required:"true" range:"kafka|postgres|mongo|http|redis|filesystem"`

	// Name of the sink; may be empty while one of the kind is configured.
	Sink string `yaml:"sink"`

	// What is delivered, a template. Empty delivers the output as it is.
	Data string `yaml:"data"`

	// Key of a Kafka record or of Redis, a template. Empty takes the message's
	// own key for Kafka.
	Key string `yaml:"key"`

	// Topic, for Kafka, a template. Empty means the sink's own.
	Topic string `yaml:"topic"`

	// Table, for Postgres.
	Table string `yaml:"table"`

	// Collection, for Mongo.
	Collection string `yaml:"collection"`

	// Path below base_path, for filesystem, a template.
	Path string `yaml:"path"`

	// Time to live, for Redis.
	TTL time.Duration `yaml:"ttl" range:"0s.." alias:"ttl_seconds"`
}

// DLQ is the dead letter queue: a Kafka topic, or with dir a directory of files.
type DLQ struct {
	// Topic; empty means the name of each message's source topic with "_dlq".
	Topic string `yaml:"topic"`

	// Brokers; empty means kafka.brokers, with kafka.security.
	Brokers string `yaml:"brokers"`

	// Security of brokers; used when brokers is set.
	Security KafkaSecurity `yaml:"security"`

	// Directory of files with one dead letter a line, instead of a topic. Each
	// executor writes files of its own there. Those of several hosts are one
	// queue when they share it, otherwise each host has its own.
	Dir string `yaml:"dir"`

	// Size at which an executor begins another file in dir. None is ever
	// deleted.
	MaxFileBytes int64 `yaml:"max_file_bytes" default:"134217728" range:"4096.."`
}

// Metrics is the port for machines. Executors serve it here, ingest at
// ingest.metrics_port.
type Metrics struct {
	// Serves /metrics. /healthz and /readyz are served in any case.
	Enabled bool `yaml:"enabled" default:"true"`

	// Port of /metrics, /healthz and /readyz of an executor.
	Port int `yaml:"port" default:"9090" range:"0..65535"`
}

// Logging is where log lines go.
type Logging struct {
	// Least level that is logged.
	Level string `yaml:"level" default:"INFO" range:"DEBUG|INFO|WARN|WARNING|ERROR|debug|info|warn|warning|error"`

	// json writes ECS fields, console is for people.
	Format string `yaml:"format" default:"json" range:"json|console"`

	// stderr, stdout or a file; {worker_id} and {cluster_name} are replaced in
	// its name. Directories are made, lines appended.
	Output string `yaml:"output" default:"stderr"`

	// Tasks that ran at least this long are logged when they end well; failed
	// ones are always logged.
	SlowTask time.Duration `yaml:"slow_task" default:"30s" range:"0s.."`
}

// Debug is the port for people. Its pages are not built yet.
type Debug struct {
	// Keeps the port of the debug pages free. Nothing listens on it yet.
	Enabled bool `yaml:"enabled" default:"true"`

	// Address the debug pages are to be bound to.
	Host string `yaml:"host" default:"127.0.0.1"`

	// Port of the debug pages of an executor.
	Port int `yaml:"port" default:"8080" range:"0..65535"`

	// Token that requests for /debug/pprof, on the port of /metrics, must carry.
	// Empty serves no profiles.
	AuthToken string `yaml:"auth_token" secret:"true"`
}

// Ports moves all ports at once.
type Ports struct {
	// Added to every port of this process, so that several fit on a host.
	Offset int `yaml:"offset" default:"0" range:"0..60000"`
}
