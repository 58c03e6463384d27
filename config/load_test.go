package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// seedFile is the example of the product whose files must load unchanged.
const seedFile = `# drakkar.yaml
kafka:
  brokers: "localhost:9092"
  source_topic: "input-events"
  consumer_group: "my-workers"

executor:
  binary_path: "/usr/local/bin/my-processor"
  max_executors: 8
  task_timeout_seconds: 120
  window_size: 20

sinks:
  kafka:
    results:
      topic: "output-results"
  postgres:
    main:
      dsn: "postgresql://user:pass@localhost:5432/mydb"
  redis:
    cache:
      url: "redis://localhost:6379/0"
      key_prefix: "app:"

dlq:
  topic: ""  # auto-derived: input-events_dlq

metrics:
  port: 9090

debug:
  port: 8080
`

// mustParse parses a configuration that is right.
func mustParse(t *testing.T, yaml string, environ ...string) *Config {
	t.Helper()
	cfg, _, err := Parse([]byte(yaml), "f.yaml", environ)
	require.NoError(t, err)
	return cfg
}

// problemsOf parses a configuration that is wrong and returns its problems as
// lines.
func problemsOf(t *testing.T, yaml string, environ ...string) []string {
	t.Helper()
	cfg, _, err := Parse([]byte(yaml), "f.yaml", environ)
	require.Nil(t, cfg)
	var problems Problems
	require.ErrorAs(t, err, &problems)
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = p.Error()
	}
	return lines
}

func TestParseSeedFile(t *testing.T) {
	t.Parallel()

	cfg, warnings, err := Parse([]byte(seedFile), "drakkar.yaml", nil)
	require.NoError(t, err)
	require.Empty(t, warnings)

	require.Equal(t, "my-workers", cfg.Kafka.ConsumerGroup)
	require.Equal(t, "/usr/local/bin/my-processor", cfg.Executor.BinaryPath)
	require.Equal(t, 8, cfg.Executor.MaxExecutors)
	require.Equal(t, 2*time.Minute, cfg.Executor.TaskTimeout)
	require.Equal(t, 20, cfg.Executor.WindowSize)
	require.Equal(t, "output-results", cfg.Sinks.Kafka["results"].Topic)
	require.Equal(t, "postgresql://user:pass@localhost:5432/mydb", cfg.Sinks.Postgres["main"].DSN)
	require.Equal(t, 2, cfg.Sinks.Postgres["main"].PoolMin)
	require.Equal(t, "app:", cfg.Sinks.Redis["cache"].KeyPrefix)
	require.Equal(t, "hold", cfg.Sinks.Redis["cache"].Delivery.OnOpen)
}

func TestDefaults(t *testing.T) {
	t.Parallel()

	t.Run("Static", func(t *testing.T) {
		t.Parallel()
		cfg := Default()
		require.Equal(t, "localhost:9092", cfg.Kafka.Brokers)
		require.Equal(t, 500, cfg.Executor.WindowSize)
		require.True(t, cfg.Executor.EnvInheritParent)
		require.Equal(t, []string{"DRAKKAR_*", "*PASSWORD*", "*SECRET*", "*TOKEN*", "*_KEY", "*_DSN", "*CREDENTIAL*"},
			cfg.Executor.EnvInheritDeny)
		require.Nil(t, cfg.Handler.Exec)
		require.Empty(t, cfg.Pipeline)
		require.NoError(t, cfg.Validate())
	})

	t.Run("EmptyFileIsDefaultCompleted", func(t *testing.T) {
		t.Parallel()
		want := Default()
		want.Complete()
		for _, file := range []string{"", "\n", "# nothing\n", "---\n", "null\n", "{}\n", "kafka:\nsinks:\n  kafka:\n"} {
			require.Equal(t, want, mustParse(t, file), "%q", file)
		}
	})

	t.Run("OfASection", func(t *testing.T) {
		t.Parallel()
		sink := DefaultOf[PostgresSink]()
		require.Equal(t, 10, sink.PoolMax)
		require.Equal(t, 1000, sink.Delivery.BatchSize)
	})

	t.Run("FollowFromOthers", func(t *testing.T) {
		t.Parallel()
		cfg := mustParse(t, `
kafka:
  brokers: b:1
  source_topic: in
  consumer_group: g
  security: {protocol: sasl_ssl, mechanism: PLAIN, username: u, password: p}
sinks:
  kafka:
    same: {topic: t}
    other: {topic: t, brokers: "c:1"}
  http:
    h: {url: "http://localhost", max_retries: 3}
debug: {auth_token: " token "}
`)
		require.Equal(t, "g", cfg.Pipeline)
		require.Equal(t, "in_dlq", cfg.DLQ.Topic)
		require.Equal(t, "b:1", cfg.DLQ.Brokers)
		require.Equal(t, cfg.Kafka.Security, cfg.DLQ.Security)
		require.Equal(t, "b:1", cfg.Sinks.Kafka["same"].Brokers)
		require.Equal(t, cfg.Kafka.Security, cfg.Sinks.Kafka["same"].Security)
		require.Equal(t, "c:1", cfg.Sinks.Kafka["other"].Brokers)
		require.Equal(t, "plaintext", cfg.Sinks.Kafka["other"].Security.Protocol)
		require.Equal(t, 4, cfg.Sinks.HTTP["h"].Delivery.MaxAttempts)
		require.Nil(t, cfg.Sinks.HTTP["h"].MaxRetries)
		require.Equal(t, "token", cfg.Debug.AuthToken)

		again := *cfg
		again.Complete()
		require.Equal(t, *cfg, again)
		require.NoError(t, cfg.Validate())
	})
}

func TestLoadFile(t *testing.T) {
	t.Parallel()

	write := func(t *testing.T, topic string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), topic+".yaml")
		require.NoError(t, os.WriteFile(path, []byte("kafka: {source_topic: "+topic+"}\n"), 0o600))
		return path
	}

	t.Run("ExplicitWinsOverVariable", func(t *testing.T) {
		t.Parallel()
		cfg, _, err := Load(LoadOptions{Path: write(t, "explicit"), Environ: []string{"DRAKKAR_CONFIG=" + write(t, "variable")}})
		require.NoError(t, err)
		require.Equal(t, "explicit", cfg.Kafka.SourceTopic)
	})

	t.Run("Variable", func(t *testing.T) {
		t.Parallel()
		cfg, _, err := Load(LoadOptions{Environ: []string{"DRAKKAR_CONFIG=" + write(t, "variable")}})
		require.NoError(t, err)
		require.Equal(t, "variable", cfg.Kafka.SourceTopic)
	})

	t.Run("None", func(t *testing.T) {
		t.Parallel()
		cfg, _, err := Load(LoadOptions{})
		require.NoError(t, err)
		require.Equal(t, "input-events", cfg.Kafka.SourceTopic)
	})

	t.Run("Missing", func(t *testing.T) {
		t.Parallel()
		_, _, err := Load(LoadOptions{Path: filepath.Join(t.TempDir(), "none.yaml")})
		require.ErrorIs(t, err, os.ErrNotExist)
		require.ErrorContains(t, err, "reading the configuration")
	})

	t.Run("ProblemsNameTheFile", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "drakkar.yaml")
		require.NoError(t, os.WriteFile(path, []byte("executor:\n  window_size: 0\n"), 0o600))
		_, _, err := Load(LoadOptions{Path: path})
		require.EqualError(t, err, "executor.window_size: 0 is outside 1..10000 ("+path+":2)")
		var problem Problem
		require.ErrorAs(t, err, &problem)
		require.Equal(t, 2, problem.Line)
	})
}

func TestParseValues(t *testing.T) {
	t.Parallel()

	t.Run("Durations", func(t *testing.T) {
		t.Parallel()
		for _, test := range []struct {
			setting string
			want    time.Duration
		}{
			{"task_timeout: 90s", 90 * time.Second},
			{"task_timeout: 1h30m", 90 * time.Minute},
			{"task_timeout_seconds: 90", 90 * time.Second},
			{"task_timeout_seconds: 0.5", 500 * time.Millisecond},
			{`task_timeout_seconds: "1.5"`, 1500 * time.Millisecond},
			{"task_timeout: ", 2 * time.Minute},
		} {
			require.Equal(t, test.want, mustParse(t, "executor: {"+test.setting+"}").Executor.TaskTimeout, test.setting)
		}
		require.Equal(t, 45*time.Second, mustParse(t, "kafka: {session_timeout_ms: 45000}").Kafka.SessionTimeout)
	})

	t.Run("Scalars", func(t *testing.T) {
		t.Parallel()
		cfg := mustParse(t, `
executor: {window_size: "10000", max_output_bytes: 1_000, env_inherit_parent: "off", env: {A: 1, B: true, C: 0123}}
ingest: {high_messages: 30_000}
kafka: {source_topic: 2026-01-01}
`)
		require.Equal(t, 10000, cfg.Executor.WindowSize)
		require.Equal(t, 1000, cfg.Executor.MaxOutputBytes)
		require.False(t, cfg.Executor.EnvInheritParent)
		require.Equal(t, map[string]string{"A": "1", "B": "true", "C": "0123"}, cfg.Executor.Env)
		require.Equal(t, "2026-01-01", cfg.Kafka.SourceTopic)
	})

	t.Run("MapKeysKeepTheirCase", func(t *testing.T) {
		t.Parallel()
		cfg := mustParse(t, `
executor: {env: {Path.To-X: a, PATH.TO-X: b, "": c}}
sinks:
  http:
    Main.A: {url: "http://localhost", headers: {X-Token: t, x-token: u}}
    main.a: {url: "http://localhost"}
`)
		require.Equal(t, map[string]string{"Path.To-X": "a", "PATH.TO-X": "b", "": "c"}, cfg.Executor.Env)
		require.Equal(t, map[string]string{"X-Token": "t", "x-token": "u"}, cfg.Sinks.HTTP["Main.A"].Headers)
		require.Empty(t, cfg.Sinks.HTTP["main.a"].Headers)
	})

	t.Run("ListsAndPointers", func(t *testing.T) {
		t.Parallel()
		cfg := mustParse(t, `
executor: {env_inherit_deny: []}
handler:
  exec:
    binary: rg
    args: [-n, "{{.Raw}}"]
    stdin: ""
    success_codes: [0, 1]
    retry_codes: [2, 3]
    deliver:
      - {type: kafka, key: k}
      - {type: redis, key: k, ttl_seconds: 1.5}
sinks: {kafka: {a: {topic: t}}, redis: {r: }}
`)
		require.Empty(t, cfg.Executor.EnvInheritDeny)
		exec := cfg.Handler.Exec
		require.Equal(t, []string{"-n", "{{.Raw}}"}, exec.Args)
		require.Equal(t, new(""), exec.Stdin)
		require.Equal(t, []int{2, 3}, exec.RetryCodes)
		require.Equal(t, "json", exec.Input)
		require.Len(t, exec.Deliver, 2)
		require.Equal(t, ExecDelivery{Type: "redis", Key: "k", TTL: 1500 * time.Millisecond}, exec.Deliver[1])
		require.Contains(t, cfg.Sinks.Redis, "r")
	})

	t.Run("AnchorsAndMerges", func(t *testing.T) {
		t.Parallel()
		cfg := mustParse(t, `
sinks:
  postgres:
    a: &a {dsn: x, pool_max: 5}
    b:
      <<: *a
      pool_max: 6
    c: *a
`)
		require.Equal(t, "x", cfg.Sinks.Postgres["b"].DSN)
		require.Equal(t, 6, cfg.Sinks.Postgres["b"].PoolMax)
		require.Equal(t, cfg.Sinks.Postgres["a"], cfg.Sinks.Postgres["c"])
	})
}

func TestRetiredSettings(t *testing.T) {
	t.Parallel()

	cfg, warnings, err := Parse([]byte(`
kafka: {max_poll_records: 100, startup_align_enabled: true}
executor:
  backpressure_high_multiplier: 32
debug: {db_dir: /tmp, custom_links: [{name: a, url: b}], log_min_duration_ms: 500}
cache:
  enabled: true
  peer_sync:
    interval_seconds: 30
`), "f.yaml", []string{"DRAKKAR_CACHE__PEER_SYNC__ENABLED=false", `DRAKKAR_CACHE={"db_dir":"/x"}`, "DRAKKAR_KAFKA__STARTUP_MIN_WAIT_SECONDS=1"})
	require.NoError(t, err)
	want := Default()
	want.Complete()
	require.Equal(t, want, cfg)

	lines := make([]string, len(warnings))
	for i, w := range warnings {
		require.NotEmpty(t, w.Text)
		lines[i] = Warning{Key: w.Key, File: w.File, Line: w.Line, Text: "-"}.String()
	}
	require.Equal(t, []string{
		"kafka.max_poll_records: - (f.yaml:2)",
		"kafka.startup_align_enabled: - (f.yaml:2)",
		"executor.backpressure_high_multiplier: - (f.yaml:4)",
		"debug.db_dir: - (f.yaml:5)",
		"debug.custom_links: - (f.yaml:5)",
		"debug.log_min_duration_ms: - (f.yaml:5)",
		"cache.enabled: - (f.yaml:7)",
		"cache.peer_sync.interval_seconds: - (f.yaml:9)",
		"DRAKKAR_CACHE.db_dir: -",
		"DRAKKAR_CACHE__PEER_SYNC__ENABLED: -",
		"DRAKKAR_KAFKA__STARTUP_MIN_WAIT_SECONDS: -",
	}, lines)

	require.Equal(t, []string{"cache.peer_sync.bach_size: is not a setting, the nearest that is one is batch_size (f.yaml:1)"},
		problemsOf(t, "cache: {peer_sync: {bach_size: 1}}"))
	require.Equal(t, []string{"cache: want a section, lines of key: value, not a single value (f.yaml:1)"},
		problemsOf(t, "cache: on"))
	for key := range retired {
		_, known := knownLeaf(key)
		require.False(t, known, "%s is a setting and retired", key)
	}
}
