package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

func TestRedactURL(t *testing.T) {
	t.Parallel()

	for address, want := range map[string]string{
		"postgresql://user:pass@localhost:5432/mydb":       "postgresql://***@localhost:5432/mydb",
		"postgres://user:p@ss/w0rd@db.example:5432/my":     "postgres://***@db.example:5432/my",
		"postgres://user:p?ss@db/my":                       "postgres://***@***",
		"postgres://user:p#ss@db/my":                       "postgres://***@***",
		"postgres://db/my?password=s3cret&sslmode=disable": "postgres://db/my?***",
		"postgres://u:p@db/my?password=a@b":                "postgres://***@***",
		"host=db user=u password='s3 cret'":                "***",
		"mongodb://u:p@a:27017,b:27017/?authSource=admin":  "mongodb://***@a:27017,b:27017/?***",
		"mongodb+srv://u:p@cluster.example/":               "mongodb+srv://***@cluster.example/",
		"redis://localhost:6379/0":                         "redis://localhost:6379/0",
		"redis://:s3cret@[::1]:6379/0":                     "redis://***@[::1]:6379/0",
		"redis://user:s3cret":                              "redis://***",
		"s3cret":                                           "***",
		"http://h/a b":                                     "http://***",
	} {
		require.Equal(t, want, RedactURL(address), address)
	}
}

const secretsFile = `
temporal: {api_key: s3cret1}
kafka:
  security: {protocol: sasl_ssl, mechanism: PLAIN, username: u, password: s3cret2, key_password: s3cret3}
  options: {sasl.jaas.config: s3cret4, ssl.key.pem: s3cret5, fetch.min.bytes: 77}
  ui_url: http://u:s3cret6@ui
executor: {env: {ANY: s3cret7}}
handler:
  exec: {binary: x, env: {ANY: s3cret8}, deliver: [{type: redis, key: k}]}
sinks:
  kafka: {k: {topic: t, brokers: b, security: {protocol: sasl_ssl, mechanism: PLAIN, password: s3cret9}}}
  postgres: {p: {dsn: "postgres://u:s3cret10@/@h/d"}}
  mongo: {m: {uri: "mongodb://u:s3cret11@h", database: d}}
  http: {h: {url: "http://u:s3cret12@h/x?token=s3cret13", headers: {Authorization: s3cret14}}}
  redis: {r: {url: "redis://:s3cret15@h"}}
dlq: {brokers: b, security: {protocol: sasl_ssl, mechanism: PLAIN, password: s3cret16}}
debug: {auth_token: s3cret17}
`

func TestNoSecretIsPrinted(t *testing.T) {
	t.Parallel()

	cfg := mustParse(t, secretsFile)
	before := *cfg
	asYAML, err := yaml.Marshal(cfg)
	require.NoError(t, err)
	asJSON, err := json.Marshal(cfg)
	require.NoError(t, err)
	for name, text := range map[string]string{
		"String":  cfg.String(),
		"Format":  fmt.Sprintf("%v %+v %#v %s", cfg, *cfg, *cfg, cfg),
		"YAML":    string(asYAML),
		"JSON":    string(asJSON),
		"Summary": cfg.Summary(RoleExecutor, nil),
	} {
		require.NotContains(t, text, "s3cret", name)
	}
	require.Contains(t, cfg.String(), "fetch.min.bytes: \"77\"")
	require.Contains(t, cfg.String(), "postgres://***@h/d")
	require.Equal(t, before, *cfg)
	require.Equal(t, "postgres://u:s3cret10@/@h/d", cfg.Sinks.Postgres["p"].DSN, "the original is not changed")
}

// Secrets in wrong places, wrong shapes and beside wrong settings.
func TestNoSecretInProblems(t *testing.T) {
	t.Parallel()

	for name, text := range map[string]string{
		"Anchor":        "debug: {auth_token: *s3cret}",
		"Tag":           "debug: {auth_token: !s3cret}",
		"List":          "debug: {auth_token: [s3cret]}",
		"Section":       "kafka: {security: s3cret}",
		"Interpolation": "debug: {auth_token: 's3cret${x y}'}",
		"NotClosed":     "debug: {auth_token: 's3cret${'}",
		"MadeNumber":    "executor: {window_size: '${S}'}",
		"MadeChoice":    "logging: {format: '${S}'}",
		"MadeDuration":  "executor: {task_timeout: '${S}'}",
		"HTTP":          "sinks: {http: {h: {url: '${S}'}}}",
		"HTTPPassword":  "sinks: {http: {h: {url: 'http://u:s3cret@169.254.169.254'}}}",
		"SinkName":      "sinks: {redis: {r: {}}}\nhandler: {exec: {binary: x, deliver: [{type: redis, key: k, sink: '${S}'}]}}",
		"Redis":         "sinks: {redis: {h: {url: ':s3cret@h'}}}",
		"DSN":           "sinks: {postgres: {h: {dsn: {password: s3cret}}}}",
		"PoolBeside":    "sinks: {postgres: {h: {dsn: s3cret, pool_min: 50}}}",
	} {
		for _, line := range problemsOf(t, text, "S=s3cret") {
			require.NotContains(t, line, "s3cret", name)
		}
	}
	for name, variable := range map[string]string{
		"Unknown": "DRAKKAR_PASSWORD=s3cret",
		"JSON":    `DRAKKAR_SINKS={"postgres":{"a":{"dsn":"s3cret"}`,
		"Object":  `DRAKKAR_KAFKA__SECURITY={"passwrd":"s3cret"}`,
		"List":    `DRAKKAR_SINKS__POSTGRES__A={"dsn":["s3cret"]}`,
	} {
		for _, line := range problemsOf(t, "", variable) {
			require.NotContains(t, line, "s3cret", name)
		}
	}
}

// What is printed can be read again, secrets aside.
func TestPrintedConfigLoads(t *testing.T) {
	t.Parallel()

	cfg := mustParse(t, `
executor: {binary_path: "a$${b}", kill_grace: 1m, env_inherit_deny: []}
handler: {exec: {args: ["{{.Raw}}", "${X:-}", "yes"], success_codes: [1], deliver: [{type: filesystem, path: p}]}}
sinks: {filesystem: {"A.b c": {base_path: /x, rotate_interval: 1h30m}}}
`)
	require.Equal(t, "a${b}", cfg.Executor.BinaryPath)
	require.Equal(t, cfg.String(), mustParse(t, cfg.String()).String())
}

func TestSummary(t *testing.T) {
	t.Parallel()

	cfg := mustParse(t, seedFile, "DRAKKAR_PORTS__OFFSET=10", "DRAKKAR_CLUSTER_NAME=blue")
	require.Equal(t, "[w1/blue] topic=input-events group=my-workers pipeline=my-workers temporal=localhost:7233/default "+
		"exec=8w/20win retries=3/2m debug=8090 cache=off metrics=9100 dlq=input-events_dlq "+
		"sinks=[kf:results pg:main rd:cache] log=INFO", cfg.Summary(RoleExecutor, []string{"WORKER_ID=w1"}))

	cfg = mustParse(t, "debug: {enabled: false}\nmetrics: {enabled: false}")
	summary := cfg.Summary(RoleIngest, nil)
	require.Contains(t, summary, "debug=off cache=off metrics=off")
	require.Contains(t, summary, "sinks=none")
	require.True(t, strings.HasPrefix(summary, "[ingest-"), summary)
}

func TestCommand(t *testing.T) {
	t.Parallel()

	run := func(environ []string, args ...string) (code int, out, errOut string) {
		var o, e bytes.Buffer
		code = Command(args, environ, func(*Config) error { return nil }, &o, &e)
		return code, o.String(), e.String()
	}
	file := writeFile(t, "good.yaml", seedFile+"  db_dir: /tmp\n")
	bad := writeFile(t, "bad.yaml", "executor:\n  window_size: 0\n  nope: 1\n")

	t.Run("Good", func(t *testing.T) {
		t.Parallel()
		code, out, errOut := run(nil, "check", file)
		require.Zero(t, code)
		require.True(t, strings.HasPrefix(out, "ok: [executor-"), out)
		require.Contains(t, errOut, "warning: debug.db_dir: ")
	})

	t.Run("Print", func(t *testing.T) {
		t.Parallel()
		for _, args := range [][]string{{"check", "--print", file}, {"check", file, "--print"}} {
			code, out, _ := run(nil, args...)
			require.Zero(t, code)
			require.Contains(t, out, "postgresql://***@localhost:5432/mydb")
			require.NotContains(t, out, "pass@")
		}
	})

	t.Run("Variable", func(t *testing.T) {
		t.Parallel()
		code, out, _ := run([]string{"DRAKKAR_CONFIG=" + file}, "check")
		require.Zero(t, code)
		require.Contains(t, out, "group=my-workers")
	})

	t.Run("Problems", func(t *testing.T) {
		t.Parallel()
		code, out, errOut := run(nil, "check", bad)
		require.Equal(t, 1, code)
		require.Empty(t, out)
		require.Equal(t, "executor.window_size: 0 is outside 1..10000 ("+bad+":2)\n"+
			"executor.nope: is not a setting, the nearest that is one is mode ("+bad+":3)\n", errOut)
	})

	t.Run("Missing", func(t *testing.T) {
		t.Parallel()
		code, _, errOut := run(nil, "check", bad+"x")
		require.Equal(t, 1, code)
		require.Contains(t, errOut, "reading the configuration: ")
	})

	t.Run("Reference", func(t *testing.T) {
		t.Parallel()
		code, out, _ := run(nil, "reference")
		require.Zero(t, code)
		require.Equal(t, Reference(), out)
	})

	t.Run("Usage", func(t *testing.T) {
		t.Parallel()
		for _, args := range [][]string{{}, {"nope"}, {"reference", "x"}, {"check", file, bad}, {"check", "--nope"}, {"check", file, "--nope"}} {
			code, out, errOut := run(nil, args...)
			require.Equal(t, 2, code, args)
			require.Empty(t, out)
			require.Contains(t, errOut, "usage:")
		}
	})
}
