package config

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// command runs the command as the operator's tool does.
func command(environ []string, args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = Command(args, environ, func(*Config) error { return nil }, &o, &e)
	return code, o.String(), e.String()
}

func TestCommandHelp(t *testing.T) {
	t.Parallel()

	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}, {"check", "-h"}, {"check", "--help"}, {"check", "f.yaml", "-h"}} {
		code, out, errOut := command(nil, args...)
		require.Zero(t, code, args)
		require.Equal(t, commandUsage, out)
		require.Empty(t, errOut, "help that was asked for is no complaint")
	}
}

// What a pipe reads and what a person reads stay apart: --print gives YAML and
// nothing else on stdout, also when there are warnings.
func TestCommandPrintsYAMLAlone(t *testing.T) {
	t.Parallel()

	file := writeFile(t, "f.yaml", "debug: {db_dir: /tmp}\ncache: {enabled: true}\nkafka: {source_topic: a}\n")
	code, out, errOut := command([]string{"DRAKKAR_EXECUTOR__MAX_EXECUTORS=7"}, "check", "--print", file)
	require.Zero(t, code)
	require.Equal(t, 2, strings.Count(errOut, "warning: "))
	require.Equal(t, 7, mustParse(t, out).Executor.MaxExecutors, "what is printed is what holds, the environment included")
	require.Equal(t, "a", mustParse(t, out).Kafka.SourceTopic)
}

// All that is wrong is told at once, one line each, with what each source is
// called by its user, and nothing on stdout.
func TestCommandTellsAllProblems(t *testing.T) {
	t.Parallel()

	file := writeFile(t, "bad.yaml", "kafka:\n  broker: a\nexecutor:\n  max_executors: 0\ndebug: {db_dir: x}\n")
	code, out, errOut := command([]string{"DRAKKAR_METRICS__PORT=x", "DRAKKAR_CONFIG=/ignored"}, "check", file)
	require.Equal(t, 1, code)
	require.Empty(t, out)
	lines := strings.Split(strings.TrimSpace(errOut), "\n")
	require.Len(t, lines, 4)
	require.Contains(t, lines[0], "warning: debug.db_dir: ")
	require.Equal(t, "kafka.broker: is not a setting, the nearest that is one is brokers ("+file+":2)", lines[1])
	require.Equal(t, "executor.max_executors: 0 is outside 1..10000 ("+file+":4)", lines[2])
	require.Equal(t, `DRAKKAR_METRICS__PORT: "x" is not a whole number`, lines[3])
}

func TestCommandOnWhatIsNoFile(t *testing.T) {
	t.Parallel()

	for name, file := range map[string]string{
		"directory": t.TempDir(), "missing": t.TempDir() + "/none.yaml", "binary": writeFile(t, "binary", "\x00\x01"),
		"not YAML": writeFile(t, "text", "hello"),
	} {
		code, out, errOut := command(nil, "check", file)
		require.Equal(t, 1, code, name)
		require.Empty(t, out)
		require.Contains(t, errOut, file)
		require.Equal(t, 1, strings.Count(errOut, "\n"), errOut)
	}
	code, out, _ := command([]string{"DRAKKAR_KAFKA__SOURCE_TOPIC=t"}, "check")
	require.Zero(t, code, "no file at all is a configuration too")
	require.Contains(t, out, "topic=t ")
}

// An address of a file that begins with a dash can be checked like any other.
func TestCommandFileBehindDashes(t *testing.T) {
	t.Parallel()

	file := writeFile(t, "f.yaml", "kafka: {source_topic: a}")
	code, out, errOut := command(nil, "check", "--print=true", "--", file)
	require.Zero(t, code, errOut)
	require.Contains(t, out, "source_topic: a")
}

// A configuration that a program spoiled is met by Validate with the keys of
// the reference; that of Load is valid, and stays so when it is completed.
func TestValidateNamesKeysWithoutAFile(t *testing.T) {
	t.Parallel()

	for name, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"Range":    {func(c *Config) { c.Ports.Offset = -1 }, "ports.offset: -1 is outside 0..60000"},
		"Choice":   {func(c *Config) { c.OnParseError = "no" }, `on_parse_error: "no" is not one of dlq, pass, halt`},
		"Required": {func(c *Config) { c.Temporal.Address = "" }, "temporal.address: must be set"},
		"Conflict": {func(c *Config) { c.Ingest.LowBytes = c.Ingest.HighBytes }, "ingest.low_bytes: 67108864 is not below ingest.high_bytes, 67108864"},
		"InASink":  {func(c *Config) { c.Sinks.Mongo["A.b"] = MongoSink{URI: "x"} }, "sinks.mongo.A.b.database: must be set"},
		"Handler": {func(c *Config) {
			c.Handler.Exec = &ExecHandler{Binary: "x", Input: "json", OnFailure: "skip", Output: "json"}
		}, "handler.exec.deliver: must name at least one sink"},
		"Option":    {func(c *Config) { c.Kafka.Options = map[string]string{"group.id": "x"} }, "kafka.options.group.id: cannot be set: use kafka.consumer_group"},
		"Duration":  {func(c *Config) { c.Hooks.Timeout = 0 }, "hooks.timeout: 0s is outside 10ms..24h"},
		"SamePorts": {func(c *Config) { c.Metrics.Port = c.Debug.Port }, "debug.port: 8080 is also the port of metrics.port, 8080"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := Default()
			cfg.Complete()
			require.NoError(t, cfg.Validate())
			test.change(cfg)
			err := cfg.Validate()
			var problems Problems
			require.ErrorAs(t, err, &problems)
			require.Zero(t, problems[0].Line)
			require.Contains(t, strings.Split(err.Error(), "\n"), test.want)
		})
	}
}
