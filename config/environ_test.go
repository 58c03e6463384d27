package config

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEnvironment(t *testing.T) {
	t.Parallel()

	t.Run("WinsOverTheFile", func(t *testing.T) {
		t.Parallel()
		cfg := mustParse(t, "kafka: {brokers: file, source_topic: file}\nexecutor: {task_timeout: 5s}",
			"DRAKKAR_KAFKA__BROKERS=env", "drakkar_kafka__source_topic=ignored", "DRAKKAR_EXECUTOR__TASK_TIMEOUT_SECONDS=0.5",
			"DRAKKAR_EXECUTOR__ENV_INHERIT_PARENT=0", "DRAKKAR_CONFIG=/ignored", "OTHER=x", "DRAKKAR_CLUSTER_NAME=")
		require.Equal(t, "env", cfg.Kafka.Brokers)
		require.Equal(t, "file", cfg.Kafka.SourceTopic)
		require.Equal(t, 500*time.Millisecond, cfg.Executor.TaskTimeout)
		require.False(t, cfg.Executor.EnvInheritParent)
	})

	t.Run("Lists", func(t *testing.T) {
		t.Parallel()
		for text, want := range map[string][]string{
			"A, B_*":        {"A", "B_*"},
			`["A,B", "C"]`:  {"A,B", "C"},
			"":              {},
			"[]":            {},
			`[" \u00e9\/"]`: {" é/"},
		} {
			cfg := mustParse(t, "", "DRAKKAR_EXECUTOR__ENV_INHERIT_DENY="+text)
			require.Equal(t, want, cfg.Executor.EnvInheritDeny, text)
		}
	})

	t.Run("MapKeysKeepTheirCase", func(t *testing.T) {
		t.Parallel()
		cfg := mustParse(t, "executor: {env: {Foo: file, Bar: file}}",
			"DRAKKAR_EXECUTOR__ENV__FOO=1", "DRAKKAR_EXECUTOR__ENV__Foo=2", "DRAKKAR_EXECUTOR__ENV__a__b=3", "DRAKKAR_EXECUTOR__ENV__E=")
		require.Equal(t, map[string]string{"Foo": "2", "FOO": "1", "Bar": "file", "a__b": "3", "E": ""}, cfg.Executor.Env)
	})

	t.Run("PropertiesAndHeaders", func(t *testing.T) {
		t.Parallel()
		cfg := mustParse(t, `
kafka: {options: {fetch.min.bytes: 1}}
sinks: {http: {h: {url: "http://x", headers: {Authorization: a}}}}
`, "DRAKKAR_KAFKA__OPTIONS__FETCH_MIN_BYTES=2", "DRAKKAR_KAFKA__OPTIONS__FETCH_MAX_BYTES=3",
			"DRAKKAR_SINKS__HTTP__H__HEADERS__AUTHORIZATION=b", "DRAKKAR_SINKS__HTTP__H__HEADERS__X_Key=c")
		require.Equal(t, map[string]string{"fetch.min.bytes": "2", "fetch.max.bytes": "3"}, cfg.Kafka.Options)
		require.Equal(t, map[string]string{"Authorization": "b", "X-Key": "c"}, cfg.Sinks.HTTP["h"].Headers)
	})

	t.Run("SinkNames", func(t *testing.T) {
		t.Parallel()
		cfg := mustParse(t, `
sinks:
  kafka:
    Main-Results: {topic: file}
    a: {topic: file}
    a__b: {topic: file}
`, "DRAKKAR_SINKS__KAFKA__MAIN_RESULTS__TOPIC=env", "DRAKKAR_SINKS__KAFKA__A__B__TOPIC=env2",
			"DRAKKAR_SINKS__KAFKA__NEW_One__TOPIC=env3", "DRAKKAR_SINKS__KAFKA__NEW_ONE__BATCH_SIZE=5",
			`DRAKKAR_SINKS__REDIS__R={"key_prefix":"p"}`, "DRAKKAR_SINKS__CIRCUIT_BREAKER__COOLDOWN_SECONDS=1")
		require.Len(t, cfg.Sinks.Kafka, 4)
		require.Equal(t, "file", cfg.Sinks.Kafka["a"].Topic)
		require.Equal(t, "env", cfg.Sinks.Kafka["Main-Results"].Topic)
		require.Equal(t, "env2", cfg.Sinks.Kafka["a__b"].Topic)
		require.Equal(t, "env3", cfg.Sinks.Kafka["new_one"].Topic)
		require.Equal(t, 5, cfg.Sinks.Kafka["new_one"].Delivery.BatchSize)
		require.Equal(t, "p", cfg.Sinks.Redis["r"].KeyPrefix)
		require.Equal(t, time.Second, cfg.Sinks.CircuitBreaker.Cooldown)
	})

	t.Run("Objects", func(t *testing.T) {
		t.Parallel()
		cfg := mustParse(t, "executor: {window_size: 1, binary_path: file, max_retries: 1, env: {A: file, B: file}}",
			`DRAKKAR_EXECUTOR={"window_size":2,"max_executors":2,"env_inherit_parent":false,"binary_path":null,"env":{"A":"obj"}}`, "DRAKKAR_EXECUTOR__MAX_EXECUTORS=3",
			`DRAKKAR_SINKS={"postgres":{"Main":{"dsn":"${x}","pool_max":5}}}`, "DRAKKAR_SINKS__POSTGRES__MAIN__POOL_MIN=1", "DRAKKAR_KAFKA=")
		require.Equal(t, 2, cfg.Executor.WindowSize)
		require.Equal(t, 1, cfg.Executor.MaxRetries)
		require.False(t, cfg.Executor.EnvInheritParent)
		require.Equal(t, 3, cfg.Executor.MaxExecutors)
		require.Equal(t, "file", cfg.Executor.BinaryPath)
		require.Equal(t, map[string]string{"A": "obj", "B": "file"}, cfg.Executor.Env)
		require.Equal(t, "${x}", cfg.Sinks.Postgres["Main"].DSN, "the environment is not interpolated")
		require.Equal(t, 1, cfg.Sinks.Postgres["Main"].PoolMin)
	})

	t.Run("ExecHandler", func(t *testing.T) {
		t.Parallel()
		cfg := mustParse(t, "sinks: {redis: {r: }}\nhandler: {exec: {stdin: x, deliver: [{type: kafka}, {type: kafka}]}}",
			"DRAKKAR_HANDLER__EXEC__BINARY=rg", `DRAKKAR_HANDLER__EXEC__DELIVER=[{"type":"redis","key":"k"}]`,
			"DRAKKAR_HANDLER__EXEC__RETRY_CODES=1,2", "DRAKKAR_HANDLER__EXEC__STDIN=")
		require.Equal(t, []ExecDelivery{{Type: "redis", Key: "k"}}, cfg.Handler.Exec.Deliver)
		require.Equal(t, []int{1, 2}, cfg.Handler.Exec.RetryCodes)
		require.Nil(t, cfg.Handler.Exec.Stdin)

		cfg = mustParse(t, "sinks: {redis: {r: }}", "DRAKKAR_HANDLER__EXEC__BINARY=rg",
			`DRAKKAR_HANDLER__EXEC__DELIVER=[{"type":"redis","key":"k"}]`)
		require.Equal(t, "rg", cfg.Handler.Exec.Binary, "variables alone make the section")
	})

	t.Run("OtherPeoplesVariables", func(t *testing.T) {
		t.Parallel()
		cfg := mustParse(t, "worker_name_env: DRAKKAR_ME\nkafka: {brokers: '${DRAKKAR_BROKERS}'}\ncluster_name_env: DRAKKAR_CL",
			"DRAKKAR_ME=m", "DRAKKAR_BROKERS=b", "DRAKKAR_CL=c", "DRAKKAR_TASK=a:1:t", "DRAKKAR_RESIDENT=lines",
			"DRAKKAR_INGEST_PORT=tcp://10.0.0.1:9091", "DRAKKAR_INGEST_SERVICE_HOST=10.0.0.1", "DRAKKAR_INGEST_SERVICE_PORT=9091",
			"DRAKKAR_INGEST_SERVICE_PORT_METRICS=9091", "DRAKKAR_INGEST_PORT_9091_TCP=tcp://x", "DRAKKAR_INGEST_PORT_9091_TCP_PROTO=tcp",
			"DRAKKAR_INGEST_PORT_9091_TCP_PORT=9091", "DRAKKAR_INGEST_PORT_9091_TCP_ADDR=10.0.0.1")
		require.Equal(t, "b", cfg.Kafka.Brokers)
		require.Equal(t, "m", cfg.WorkerName(RoleIngest, []string{"DRAKKAR_ME=m"}))
	})
}

func TestEnvironmentProblems(t *testing.T) {
	t.Parallel()

	const file = "kafka: {options: {a.b: x, a_b: x}}\nsinks: {kafka: {Main: {topic: t}, a-b: {topic: t}, a_b: {topic: t}}}"
	for name, test := range map[string]struct {
		variable string
		want     string
	}{
		"Unknown":           {"DRAKKAR_EXECUTOR__WINDW_SIZE=1", "DRAKKAR_EXECUTOR__WINDW_SIZE: is not a setting, the nearest that is one is DRAKKAR_EXECUTOR__WINDOW_SIZE"},
		"OneUnderscore":     {"DRAKKAR_KAFKA_BROKERS=a", "DRAKKAR_KAFKA_BROKERS: is not a setting, the nearest that is one is DRAKKAR_KAFKA__BROKERS"},
		"PortIsNoLink":      {"DRAKKAR_METRICS_PORT=9090", "DRAKKAR_METRICS_PORT: is not a setting, the nearest that is one is DRAKKAR_METRICS__PORT"},
		"InKnownSink":       {"DRAKKAR_SINKS__KAFKA__MAIN__TOPC=a", "DRAKKAR_SINKS__KAFKA__MAIN__TOPC: is not a setting, the nearest that is one is DRAKKAR_SINKS__KAFKA__MAIN__TOPIC"},
		"InNewSink":         {"DRAKKAR_SINKS__KAFKA__NEW__TOPC=a", "DRAKKAR_SINKS__KAFKA__NEW__TOPC: is not a setting, the nearest that is one is DRAKKAR_SINKS__KAFKA__NEW__TOPIC"},
		"BelowALeaf":        {"DRAKKAR_KAFKA__BROKERS__X=a", "DRAKKAR_KAFKA__BROKERS__X: is not a setting, the nearest that is one is DRAKKAR_KAFKA__BROKERS"},
		"EmptyKey":          {"DRAKKAR_=a", "DRAKKAR_: is not a setting, the nearest that is one is DRAKKAR_DLQ"},
		"Type":              {"DRAKKAR_EXECUTOR__WINDOW_SIZE=many", `DRAKKAR_EXECUTOR__WINDOW_SIZE: "many" is not a whole number`},
		"EmptyNumber":       {"DRAKKAR_EXECUTOR__WINDOW_SIZE=", `DRAKKAR_EXECUTOR__WINDOW_SIZE: "" is not a whole number`},
		"Range":             {"DRAKKAR_EXECUTOR__WINDOW_SIZE=0", "DRAKKAR_EXECUTOR__WINDOW_SIZE: 0 is outside 1..10000"},
		"RangeInSink":       {"DRAKKAR_SINKS__KAFKA__MAIN__BATCH_SIZE=0", "DRAKKAR_SINKS__KAFKA__MAIN__BATCH_SIZE: 0 is outside 1..100000"},
		"DurationUnit":      {"DRAKKAR_EXECUTOR__TASK_TIMEOUT=5", `DRAKKAR_EXECUTOR__TASK_TIMEOUT: "5" has no unit, write 5s for seconds`},
		"Object":            {"DRAKKAR_EXECUTOR={window_size: 1}", "DRAKKAR_EXECUTOR: is not valid JSON"},
		"ObjectWanted":      {"DRAKKAR_EXECUTOR=[1]", "DRAKKAR_EXECUTOR: want a section, lines of key: value, not a list"},
		"ObjectKey":         {`DRAKKAR_EXECUTOR={"windw_size":1}`, "DRAKKAR_EXECUTOR.windw_size: is not a setting, the nearest that is one is window_size"},
		"ObjectRange":       {`DRAKKAR_EXECUTOR={"window_size":0}`, "DRAKKAR_EXECUTOR.window_size: 0 is outside 1..10000"},
		"ObjectTwice":       {`DRAKKAR_EXECUTOR={"window_size":1,"window_size":2}`, "DRAKKAR_EXECUTOR.window_size: is set twice, first in the same object"},
		"List":              {`DRAKKAR_EXECUTOR__ENV_INHERIT_DENY=[A`, "DRAKKAR_EXECUTOR__ENV_INHERIT_DENY: is not valid JSON"},
		"SinkObject":        {"DRAKKAR_SINKS__KAFKA__NEW=x", "DRAKKAR_SINKS__KAFKA__NEW: is not valid JSON"},
		"SinkIncomplete":    {"DRAKKAR_SINKS__KAFKA__NEW__BROKERS=x", "sinks.kafka.new.topic: must be set"},
		"SinkAmbiguous":     {"DRAKKAR_SINKS__KAFKA__A_B__TOPIC=x", "DRAKKAR_SINKS__KAFKA__A_B__TOPIC: fits several names: a-b, a_b"},
		"EntryAmbiguous":    {"DRAKKAR_KAFKA__OPTIONS__A_B=x", "DRAKKAR_KAFKA__OPTIONS__A_B: fits several names: a.b, a_b"},
		"OwnedOption":       {"DRAKKAR_KAFKA__OPTIONS__GROUP_ID=x", "DRAKKAR_KAFKA__OPTIONS__GROUP_ID: cannot be set: use kafka.consumer_group"},
		"RuleOfTwoSettings": {"DRAKKAR_KAFKA__HEARTBEAT_INTERVAL_MS=9000", "DRAKKAR_KAFKA__HEARTBEAT_INTERVAL_MS: 9s is more than a third of kafka.session_timeout, 10s"},
		"RetiredUnknown":    {"DRAKKAR_CACHE__ENABLD=x", "DRAKKAR_CACHE__ENABLD: is not a setting, the nearest that is one is DRAKKAR_DEBUG__ENABLED"},
		"RetiredObject":     {"DRAKKAR_CACHE=x", "DRAKKAR_CACHE: is not valid JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, []string{test.want}, problemsOf(t, file, test.variable))
		})
	}

	t.Run("SettingTwice", func(t *testing.T) {
		t.Parallel()
		require.Equal(t,
			[]string{"DRAKKAR_EXECUTOR__TASK_TIMEOUT_SECONDS: sets the same as DRAKKAR_EXECUTOR__TASK_TIMEOUT, keep one"},
			problemsOf(t, "", "DRAKKAR_EXECUTOR__TASK_TIMEOUT=1s", "DRAKKAR_EXECUTOR__TASK_TIMEOUT_SECONDS=1"))
		require.Equal(t,
			[]string{"DRAKKAR_KAFKA__brokers: sets the same as DRAKKAR_KAFKA__BROKERS, keep one"},
			problemsOf(t, "", "DRAKKAR_KAFKA__BROKERS=a", "DRAKKAR_KAFKA__brokers=b"))
	})
}

func TestInterpolation(t *testing.T) {
	t.Parallel()

	environ := []string{"A=1", "EMPTY=", "NESTED=${A}", "DRAKKAR_CLUSTER_NAME=${A}"}
	for text, want := range map[string]string{
		"${A}":                "1",
		"x${A}y${A}z":         "x1y1z",
		"${NONE:-d}":          "d",
		"${NONE:-}":           "",
		"${EMPTY}":            "",
		"${EMPTY:-d}":         "d",
		"${A:-d}":             "1",
		"$${A}":               "${A}",
		"$$${A}":              "$${A}",
		"$A $ $$":             "$A $ $$",
		"${NESTED}":           "${A}",
		"${NONE:-a:-b}":       "a:-b",
		"${file:/s}":          "content\n",
		"<${file:/crlf}>":     "<content>",
		"${file:/expression}": "${A}",
	} {
		e := newExpander(environ)
		e.readFile = func(path string) ([]byte, error) {
			return []byte(map[string]string{"/s": "content\n\n", "/crlf": "content\r\n", "/expression": "${A}"}[path]), nil
		}
		got, err := e.replace(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}

	secret := writeFile(t, "secret", "s3cret\n")
	require.Equal(t, "s3cret", mustParse(t, "debug: {auth_token: '${file:"+secret+"}'}").Debug.AuthToken)
	large := writeFile(t, "large", strings.Repeat("x", secretFileMax+1))
	require.Equal(t, []string{"debug.auth_token: reading ${file:}: " + large + " is larger than 1048576 bytes (f.yaml:1)"},
		problemsOf(t, "debug: {auth_token: '${file:"+large+"}'}"))

	cfg := mustParse(t, "executor: {max_executors: '${N}', env: {'${A}': '${A}'}}\nsinks: {kafka: {'${A}': {topic: '${A}'}}}", "A=1", "N=7", "DRAKKAR_CLUSTER_NAME=${A}")
	require.Equal(t, 7, cfg.Executor.MaxExecutors)
	require.Equal(t, map[string]string{"${A}": "1"}, cfg.Executor.Env)
	require.Equal(t, "1", cfg.Sinks.Kafka["${A}"].Topic)
	require.Equal(t, "${A}", cfg.ClusterName)
}
