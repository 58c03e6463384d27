package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each file has one problem; the text is the whole of it.
func TestProblems(t *testing.T) {
	t.Parallel()

	const sinks = "sinks: {kafka: {a: {topic: t}, b: {topic: t}}, postgres: {p: {dsn: d}}, redis: {r: {}}, mongo: {m: {uri: u, database: d}}, filesystem: {f: {base_path: /x}}}\n"
	exec := func(lines ...string) string {
		return sinks + "handler:\n  exec:\n    binary: rg\n" + strings.Join(lines, "\n")
	}
	for name, test := range map[string]struct{ yaml, want string }{
		// The file.
		"Syntax":           {"kafka:\n  brokers: [", "f.yaml: is not valid YAML: did not find expected node content (f.yaml:2)"},
		"Tab":              {"kafka:\n\tbrokers: a", "f.yaml: is not valid YAML: found character that cannot start any token (f.yaml:2)"},
		"NotASection":      {"- a", "f.yaml: want a section, lines of key: value, not a list (f.yaml)"},
		"TwoDocuments":     {"kafka:\n---\nkafka:\n", "f.yaml: holds more than one document (f.yaml:2)"},
		"EmptyKey":         {"\"\": {cache: 1}", `"": is not a setting, the nearest that is one is dlq (f.yaml:1)`},
		"UnknownAtRoot":    {"\nkafak: {}", "kafak: is not a setting, the nearest that is one is kafka (f.yaml:2)"},
		"UnknownOfRetired": {"cach: {}", "cach: is not a setting, the nearest that is one is cache (f.yaml:1)"},
		"UnknownInSection": {"executor:\n  windw_size: 1", "executor.windw_size: is not a setting, the nearest that is one is window_size (f.yaml:2)"},
		"UnknownInSink":    {"sinks:\n  kafka:\n    a:\n      topic: t\n      topc: u", "sinks.kafka.a.topc: is not a setting, the nearest that is one is topic (f.yaml:5)"},
		"UnknownKind":      {"sinks:\n  kafa: {}", "sinks.kafa: is not a setting, the nearest that is one is kafka (f.yaml:2)"},
		"UnknownInDeliver": {exec("    deliver:", "      - type: redis", "        key: k", "        tll: 1s"), "handler.exec.deliver[0].tll: is not a setting, the nearest that is one is ttl (f.yaml:8)"},
		"KeysHaveACase":    {"Kafka: {}", "Kafka: is not a setting, the nearest that is one is kafka (f.yaml:1)"},
		"Duplicate":        {"kafka:\n  brokers: a\n  brokers: b", "kafka.brokers: is set twice, first in line 2 (f.yaml:3)"},
		"DuplicateSection": {"kafka:\n  brokers: a\nkafka:\n  brokers: b", "kafka: is set twice, first in line 1 (f.yaml:3)"},
		"DuplicateSink":    {"sinks:\n  redis:\n    a: {}\n    a: {}", "sinks.redis.a: is set twice, first in line 3 (f.yaml:4)"},
		"DuplicateMapKey":  {"executor:\n  env:\n    A: 1\n    A: 2", "executor.env.A: is set twice, first in line 3 (f.yaml:4)"},
		"KeyAndAlias":      {"executor:\n  task_timeout: 1s\n  task_timeout_seconds: 1", "executor.task_timeout_seconds: is the same setting as task_timeout, keep one of them (f.yaml:3)"},
		"TwoAliases":       {"kafka:\n  session_timeout_ms: 9000\n  session_timeout_seconds: 9", "kafka.session_timeout_seconds: is the same setting as session_timeout_ms, keep one of them (f.yaml:3)"},
		"KeyIsNoText":      {"kafka:\n  [a]: b", "kafka: holds a key that is not text (f.yaml:2)"},
		"MergeOfText":      {"kafka:\n  <<: a", "kafka.<<: want a mapping to merge (f.yaml:2)"},
		"Tag":              {"kafka:\n  brokers: !x y", "kafka.brokers: want text, not a value with a tag (quote texts that begin with !) (f.yaml:2)"},
		"EmptySinkName":    {"sinks:\n  redis:\n    \"\": {}", `sinks.redis."": a name must not be empty or hold control characters, quotes or backslashes (f.yaml:3)`},

		// Types.
		"TextWanted":          {"kafka:\n  brokers: [a]", "kafka.brokers: want text, not a list (f.yaml:2)"},
		"NumberWanted":        {"executor:\n  window_size: many", `executor.window_size: "many" is not a whole number (f.yaml:2)`},
		"WholeNumberWanted":   {"executor:\n  window_size: 1.5", `executor.window_size: "1.5" is not a whole number (f.yaml:2)`},
		"TrueOrFalseWanted":   {"metrics:\n  enabled: maybe", `metrics.enabled: "maybe" is neither true nor false (f.yaml:2)`},
		"DurationWithoutUnit": {"executor:\n  task_timeout: 120", `executor.task_timeout: "120" has no unit, write 120s for seconds (f.yaml:2)`},
		"DurationWanted":      {"executor:\n  task_timeout: soon", `executor.task_timeout: "soon" is not a duration such as 30s or 1h30m (f.yaml:2)`},
		"SecondsWanted":       {"executor:\n  task_timeout_seconds: 5s", `executor.task_timeout_seconds: "5s" is not a number of seconds; durations with a unit go under task_timeout (f.yaml:2)`},
		"SecondsOutOfRange":   {"executor:\n  task_timeout_seconds: 1e300", `executor.task_timeout_seconds: "1e300" is out of range (f.yaml:2)`},
		"ListWanted":          {"executor:\n  env_inherit_deny: A,B", "executor.env_inherit_deny: want a list, not a single value (f.yaml:2)"},
		"ListItem":            {"executor:\n  env_inherit_deny:\n    - A\n    - [B]", "executor.env_inherit_deny[1]: want text, not a list (f.yaml:4)"},
		"ListItemNull":        {"executor:\n  env_inherit_deny:\n    -", "executor.env_inherit_deny[0]: has no value, want text (f.yaml:3)"},
		"MapWanted":           {"executor:\n  env: [A=B]", "executor.env: want a section, lines of key: value, not a list (f.yaml:2)"},
		"MapValueNull":        {"executor:\n  env:\n    A:", `executor.env.A: has no value, write "" for an empty one (f.yaml:3)`},
		"SinksWanted":         {"sinks:\n  kafka: [a]", "sinks.kafka: want a section, lines of key: value, not a list (f.yaml:2)"},
		"LongValue":           {"executor:\n  window_size: " + strings.Repeat("x", 100), `executor.window_size: "` + strings.Repeat("x", 60) + `…" is not a whole number (f.yaml:2)`},
		"SectionWanted":       {"kafka: localhost:9092", "kafka: want a section, lines of key: value, not a single value (f.yaml:1)"},
		"SectionsWanted":      {exec("    deliver: {type: kafka}"), "handler.exec.deliver: want a list of sections, not a section (f.yaml:5)"},

		// Ranges.
		"BelowRange":       {"executor:\n  window_size: 0", "executor.window_size: 0 is outside 1..10000 (f.yaml:2)"},
		"AboveRange":       {"executor:\n  window_size: 10001", "executor.window_size: 10001 is outside 1..10000 (f.yaml:2)"},
		"HalfOpenRange":    {"ingest:\n  high_bytes: 1\n  low_bytes: 0", "ingest.high_bytes: 1 is less than 65536 (f.yaml:2)"},
		"DurationRange":    {"executor:\n  task_timeout: 0s", "executor.task_timeout: 0s is outside 1ms..168h (f.yaml:2)"},
		"AliasIsNamed":     {"executor:\n  task_timeout_seconds: 0", "executor.task_timeout_seconds: 0s is outside 1ms..168h (f.yaml:2)"},
		"Choice":           {"logging:\n  format: xml", `logging.format: "xml" is not one of json, console (f.yaml:2)`},
		"ChoiceWithEmpty":  {"kafka:\n  security:\n    mechanism: X", `kafka.security.mechanism: "X" is not one of "", PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER (f.yaml:3)`},
		"RangeInSink":      {"sinks:\n  redis:\n    A.b:\n      batch_size: 0", "sinks.redis.A.b.batch_size: 0 is outside 1..100000 (f.yaml:4)"},
		"RangeOfListItem":  {exec("    deliver: [{type: postgres, table: t}]", "    retry_codes: [1, 256]"), "handler.exec.retry_codes[1]: 256 is outside 1..255 (f.yaml:6)"},
		"RangeInDeliver":   {exec("    deliver:", "      - type: redis", "        key: k", "        ttl: -1s"), "handler.exec.deliver[0].ttl: -1s is less than 0s (f.yaml:8)"},
		"Required":         {"kafka:\n  source_topic: ''", "kafka.source_topic: must be set (f.yaml:2)"},
		"RequiredInSink":   {"sinks:\n  kafka:\n    a: {}", "sinks.kafka.a.topic: must be set (f.yaml:3)"},
		"RequiredButWrong": {"sinks:\n  kafka:\n    a:\n      topic: [t]", "sinks.kafka.a.topic: want text, not a list (f.yaml:4)"},
		"RequiredInNull":   {"sinks:\n  kafka:\n    a:", "sinks.kafka.a.topic: must be set (f.yaml:3)"},
		"PipelineTooLong":  {"pipeline: " + strings.Repeat("x", 201), "pipeline: is the name of the pipeline and has 201 bytes, at most 200 are possible (f.yaml:1)"},
		"PipelineControl":  {`pipeline: "a\nb"`, "pipeline: is the name of the pipeline and must not hold control characters (f.yaml:1)"},
		"PipelineOfGroup":  {"kafka:\n  consumer_group: " + strings.Repeat("x", 201), "kafka.consumer_group: is the name of the pipeline and has 201 bytes, at most 200 are possible (f.yaml:2)"},
		"EmptyGroup":       {"kafka:\n  consumer_group: ''", "kafka.consumer_group: must be set (f.yaml:2)"},
		"OnlyOneIsBlamed":  {"ingest:\n  high_messages: x\n  low_messages: 30000", `ingest.high_messages: "x" is not a whole number (f.yaml:2)`},
		"InheritedOnce":    {"kafka:\n  security:\n    protocol: sasl_ssl\nsinks: {kafka: {a: {topic: t}}}", "kafka.security.mechanism: must be set with protocol: sasl_ssl (f.yaml:2)"},
		"InheritedChoices": {"kafka:\n  security:\n    protocol: x\nsinks: {kafka: {a: {topic: t}}}", `kafka.security.protocol: "x" is not one of plaintext, ssl, sasl_plaintext, sasl_ssl (f.yaml:3)`},

		// Rules between settings.
		"Heartbeat":         {"kafka:\n  heartbeat_interval: 4s", "kafka.heartbeat_interval: 4s is more than a third of kafka.session_timeout, 10s (f.yaml:2)"},
		"Session":           {"kafka:\n  session_timeout_ms: 6000", "kafka.session_timeout_ms: 6s is less than three times kafka.heartbeat_interval, 3s (f.yaml:2)"},
		"ConsumerProtocol":  {"kafka:\n  group_protocol: consumer\n  session_timeout_ms: 9000", "kafka.session_timeout_ms: is ruled by the broker with kafka.group_protocol: consumer, remove it (f.yaml:3)"},
		"ConsumerHeartbeat": {"kafka:\n  group_protocol: consumer\n  heartbeat_interval: 3s", "kafka.heartbeat_interval: is ruled by the broker with kafka.group_protocol: consumer, remove it (f.yaml:3)"},
		"LowMessages":       {"ingest:\n  low_messages: 20000", "ingest.low_messages: 20000 is not below ingest.high_messages, 20000 (f.yaml:2)"},
		"HighMessages":      {"ingest:\n  high_messages: 500", "ingest.high_messages: 500 is not above ingest.low_messages, 10000 (f.yaml:2)"},
		"LowBytes":          {"ingest:\n  low_bytes: 67108864", "ingest.low_bytes: 67108864 is not below ingest.high_bytes, 67108864 (f.yaml:2)"},
		"PartitionMessages": {"ingest:\n  partition_low_messages: 4000", "ingest.partition_low_messages: 4000 is not below ingest.partition_high_messages, 4000 (f.yaml:2)"},
		"PartitionBytes":    {"ingest:\n  partition_high_bytes: 65536", "ingest.partition_high_bytes: 65536 is not above ingest.partition_low_bytes, 4194304 (f.yaml:2)"},
		"StoreMaxAge":       {"windows:\n  store_max_age: 24h", "windows.store_max_age: 24h is less than ingest.min_retention, 168h (f.yaml:2)"},
		"MinRetention":      {"ingest:\n  min_retention: 720h", "ingest.min_retention: 720h is more than windows.store_max_age, 192h (f.yaml:2)"},
		"ExecutorPorts":     {"metrics:\n  port: 8080", "metrics.port: 8080 is also the port of debug.port, 8080 (f.yaml:2)"},
		"IngestPorts":       {"ingest:\n  debug_port: 9091", "ingest.debug_port: 9091 is also the port of ingest.metrics_port, 9091 (f.yaml:2)"},
		"PortsOffset":       {"ingest: {metrics_port: 1, debug_port: 2}\nmetrics: {port: 3}\ndebug:\n  port: 60000\nports: {offset: 10000}", "debug.port: 60000 is more than 65535 with ports.offset, 10000 (f.yaml:4)"},
		"Pool":              {"sinks:\n  postgres:\n    p:\n      dsn: x\n      pool_min: 20", "sinks.postgres.p.pool_min: 20 is more than sinks.postgres.p.pool_max, 10 (f.yaml:5)"},
		"CertWithoutKey":    {"temporal:\n  cert_file: c", "temporal.cert_file: needs key_file too (f.yaml:2)"},
		"KeyWithoutCert":    {"kafka:\n  security:\n    protocol: ssl\n    key_file: c", "kafka.security.key_file: needs cert_file too (f.yaml:4)"},
		"SinkCert":          {"sinks:\n  kafka:\n    a:\n      topic: t\n      brokers: b\n      security: {protocol: ssl, cert_file: c}", "sinks.kafka.a.security.cert_file: needs key_file too (f.yaml:6)"},
		"DLQCert":           {"dlq:\n  brokers: b\n  security: {protocol: ssl, cert_file: c}", "dlq.security.cert_file: needs key_file too (f.yaml:3)"},
		"MechanismUnused":   {"kafka:\n  security:\n    mechanism: PLAIN", "kafka.security.mechanism: has no effect with protocol: plaintext, which is without SASL (f.yaml:3)"},
		"SecurityUnused":    {"sinks:\n  kafka:\n    a:\n      topic: t\n      security: {protocol: ssl}", "sinks.kafka.a.security: is used only for brokers, which is not set: kafka.security holds for kafka.brokers (f.yaml:5)"},
		"DLQTopicAndDir":    {"dlq:\n  dir: /x\n  topic: t", "dlq.topic: has no effect with dlq.dir, which keeps dead letters in files: remove one of them (f.yaml:3)"},
		"DLQBrokersAndDir":  {"dlq:\n  brokers: b\n  dir: /x", "dlq.brokers: has no effect with dlq.dir, which keeps dead letters in files: remove one of them (f.yaml:2)"},
		"DLQIsSource":       {"kafka: {source_topic: in}\ndlq:\n  topic: in", "dlq.topic: is the source topic: dead letters would be read as messages (f.yaml:3)"},
		"OwnedOption":       {"kafka:\n  options:\n    enable.auto.commit: true", "kafka.options.enable.auto.commit: cannot be set: offsets are committed when everything that came of a message has arrived (f.yaml:3)"},
		"OwnedSinkOption":   {"sinks:\n  kafka:\n    a:\n      topic: t\n      options: {acks: 1}", "sinks.kafka.a.options.acks: cannot be set: use acks of the sink (f.yaml:5)"},
		"Transactional":     {"sinks:\n  kafka:\n    a:\n      topic: t\n      acks: leader\n      transactional: true", "sinks.kafka.a.transactional: true needs all replicas, and is not possible with sinks.kafka.a.acks, leader (f.yaml:6)"},
		"RetriesTwice":      {"sinks:\n  http:\n    h:\n      url: http://x\n      max_retries: 3\n      max_attempts: 3", "sinks.http.h.max_retries: says the same as max_attempts, which counts the first attempt too: keep max_attempts (f.yaml:5)"},
		"RedisScheme":       {"sinks:\n  redis:\n    r:\n      url: localhost:6379", "sinks.redis.r.url: must begin with redis:// or rediss://, or with redis-cluster:// or redis-sentinel:// (f.yaml:4)"},
		"AllowedNetwork":    {"sinks:\n  http:\n    h:\n      url: http://x\n      allow_addresses: [10.0.0.0/8, 10.0.0.0/40]", `sinks.http.h.allow_addresses[1]: "10.0.0.0/40" is not a network like 10.0.0.0/8 (f.yaml:5)`},
		"AllowedHost":       {"sinks:\n  http:\n    h:\n      url: http://x\n      allow_addresses: [\"a b\"]", `sinks.http.h.allow_addresses[0]: "a b" is neither a host name nor an address (f.yaml:5)`},
		"RedisKeyAlone":     {"sinks:\n  redis:\n    r:\n      key_file: k", "sinks.redis.r.key_file: needs cert_file too (f.yaml:4)"},

		// The exec handler.
		"NoBinary":       {sinks + "handler:\n  exec:\n    deliver: [{type: postgres, table: t}]", "handler.exec.binary: must be set, or executor.binary_path (f.yaml:3)"},
		"NoDeliver":      {exec("    args: [a]"), "handler.exec.deliver: must name at least one sink (f.yaml:3)"},
		"NoType":         {exec("    deliver:", "      - sink: a"), "handler.exec.deliver[0].type: must be set (f.yaml:6)"},
		"UnknownType":    {exec("    deliver: [{type: sql}]"), `handler.exec.deliver[0].type: "sql" is not one of kafka, postgres, mongo, http, redis, filesystem (f.yaml:5)`},
		"NoneOfType":     {exec("    deliver: [{type: http}]"), "handler.exec.deliver[0].type: no sink of type http is configured (f.yaml:5)"},
		"SeveralOfType":  {exec("    deliver: [{type: kafka}]"), "handler.exec.deliver[0].sink: must be set, there are several of type kafka: a, b (f.yaml:5)"},
		"UnknownSink":    {exec("    deliver: [{type: kafka, sink: c}]"), `handler.exec.deliver[0].sink: "c" is not a sink of type kafka, these are: a, b (f.yaml:5)`},
		"TableMissing":   {exec("    deliver: [{type: postgres}]"), "handler.exec.deliver[0].table: must be set for sinks of type postgres (f.yaml:5)"},
		"CollectionGone": {exec("    deliver: [{type: mongo}]"), "handler.exec.deliver[0].collection: must be set for sinks of type mongo (f.yaml:5)"},
		"PathMissing":    {exec("    deliver: [{type: filesystem}]"), "handler.exec.deliver[0].path: must be set for sinks of type filesystem (f.yaml:5)"},
		"KeyMissing":     {exec("    deliver: [{type: redis}]"), "handler.exec.deliver[0].key: must be set for sinks of type redis (f.yaml:5)"},
		"ForeignKey":     {exec("    deliver: [{type: redis, key: k, topic: t}]"), "handler.exec.deliver[0].topic: has no meaning for sinks of type redis (f.yaml:5)"},
		"CodeTwice":      {exec("    deliver: [{type: redis, key: k}]", "    success_codes: [1, 2]", "    skip_codes: [2]"), "handler.exec.skip_codes[0]: 2 is one of success_codes (f.yaml:7)"},
		"CodeIsWrong":    {exec("    deliver: [{type: redis, key: k}]", "    retry_codes: [x, 2]", "    skip_codes: [3]"), `handler.exec.retry_codes[0]: "x" is not a whole number (f.yaml:6)`},
		"CodesOverlap":   {exec("    deliver: [{type: redis, key: k}]", "    retry_codes: [2]", "    skip_codes: [2]"), "handler.exec.skip_codes[0]: 2 is one of retry_codes (f.yaml:7)"},

		// Interpolation.
		"VariableMissing": {"kafka:\n  brokers: a,${BROKERS}", "kafka.brokers: the environment variable BROKERS is not set, set it or write ${BROKERS:-default} (f.yaml:2)"},
		"FileMissing":     {"kafka:\n  brokers: ${file:/no/such}", "kafka.brokers: reading ${file:}: stat /no/such: no such file or directory (f.yaml:2)"},
		"FileNotRegular":  {"kafka:\n  brokers: ${file:/dev/null}", "kafka.brokers: reading ${file:}: /dev/null is not a regular file (f.yaml:2)"},
		"NotClosed":       {"kafka:\n  brokers: ${A", "kafka.brokers: has a ${ without }, write $${ for a literal ${ (f.yaml:2)"},
		"NotAName":        {"kafka:\n  brokers: ${A B}", "kafka.brokers: has a ${} around something that is not the name of a variable, write $${ for a literal ${ (f.yaml:2)"},
		"MadeWrong":       {"executor:\n  window_size: ${N:-many}", `executor.window_size: what "${N:-many}" stands for is not a whole number (f.yaml:2)`},
		"MadeOutOfRange":  {"executor:\n  window_size: ${N:-0}", `executor.window_size: what "${N:-0}" stands for is outside 1..10000 (f.yaml:2)`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, []string{test.want}, problemsOf(t, test.yaml))
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()

	lines := problemsOf(t, `executor:
  max_executors: many
  window_size: 0
  nope: 1
sinks:
  kafka:
    a: {topc: x}
`, "DRAKKAR_EXECUTOR__MAX_RETRIES=-1", "DRAKKAR_NOPE=1")
	require.Equal(t, []string{
		`executor.max_executors: "many" is not a whole number (f.yaml:2)`,
		"executor.window_size: 0 is outside 1..10000 (f.yaml:3)",
		"executor.nope: is not a setting, the nearest that is one is mode (f.yaml:4)",
		"sinks.kafka.a.topc: is not a setting, the nearest that is one is topic (f.yaml:7)",
		"sinks.kafka.a.topic: must be set (f.yaml:7)",
		"DRAKKAR_EXECUTOR__MAX_RETRIES: -1 is outside 0..1000",
		"DRAKKAR_NOPE: is not a setting, the nearest that is one is DRAKKAR_RESET",
	}, lines)
}

func TestListProblemsKeepTheirPlaces(t *testing.T) {
	t.Parallel()

	require.Equal(t, []string{
		`handler.exec.retry_codes[0]: "x" is not a whole number (f.yaml:4)`,
		"handler.exec.retry_codes[1]: 300 is outside 1..255 (f.yaml:5)",
	}, problemsOf(t, "handler:\n  exec:\n    retry_codes:\n      - x\n      - 300\n"+
		"    binary: rg\n    deliver: [{type: redis, key: k}]\nsinks: {redis: {r: {}}}"))
}

func TestOwnedOptions(t *testing.T) {
	t.Parallel()

	for option := range ownedByDrakkar {
		lines := problemsOf(t, "kafka: {options: {"+option+": x}}")
		require.Len(t, lines, 1)
		require.True(t, strings.HasPrefix(lines[0], "kafka.options."+option+": cannot be set"), lines[0])
	}
	require.Equal(t, "1", mustParse(t, "kafka: {options: {fetch.min.bytes: 1}}").Kafka.Options["fetch.min.bytes"])
}

func TestHTTPAddresses(t *testing.T) {
	t.Parallel()

	for _, address := range []string{
		"http://localhost:8080/x", "https://10.0.0.1", "https://user:p%40ss@example.com/x?y=z", "http://[::1]:80/",
	} {
		mustParse(t, "sinks: {http: {h: {url: "+quote(address)+"}}}")
	}
	for _, address := range []string{
		"localhost", "ftp://x", "http://", "http:///x", "http://169.254.169.254/latest", "http://METADATA.google.internal./",
		"http://100.100.100.200", "http://192.0.0.192", "http://metadata.packet.net:80", "http://[fe80::1]/", "http://[fe80::1%25eth0]/",
		"http://[fd00:ec2::254]/", "http://[::ffff:169.254.169.254]/", "http://169.254.1.1/", "http://[::ffff:169.254.1.1]/", "http://[fd00:ec2::254%25eth0]/", "http://secret:secret@ho st/",
	} {
		lines := problemsOf(t, "sinks: {http: {h: {url: "+quote(address)+"}}}")
		require.Len(t, lines, 1, address)
		require.True(t, strings.HasPrefix(lines[0], "sinks.http.h.url: "), lines[0])
		require.NotContains(t, lines[0], "secret")
	}
}

// A configuration changed by a program is validated without a file.
func TestValidateChanged(t *testing.T) {
	t.Parallel()

	cfg := Default()
	cfg.Executor.WindowSize = 0
	cfg.Sinks.Kafka["a"] = KafkaSink{Topic: "t"}
	err := cfg.Validate()
	require.ErrorContains(t, err, "executor.window_size: 0 is outside 1..10000\n")
	require.ErrorContains(t, err, "sinks.kafka.a.max_attempts: 0 is outside 1..1000000\n")
}
