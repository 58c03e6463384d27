package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Wherever a value stands, ${} is replaced in it, and nowhere else.
func TestInterpolationReachesEveryValue(t *testing.T) {
	t.Parallel()

	environ := []string{"TEXT=sample", "NUMBER=7", "YES=true", "TIME=90s", "SECONDS=90"}
	cfg := mustParse(t, `
executor:
  binary_path: ${TEXT}
  max_executors: ${NUMBER}
  env_inherit_parent: ${YES}
  drain_timeout: ${TIME}
  task_timeout_seconds: ${SECONDS}
  env_inherit_deny: ["${TEXT}", "x${TEXT}"]
  env: {"${TEXT}": "${TEXT}"}
kafka: {options: {fetch.min.bytes: "${NUMBER}"}}
handler:
  exec:
    args: ["${TEXT}"]
    stdin: ${TEXT}
    retry_codes: ["${NUMBER}"]
    env: {A: "${TEXT}"}
    deliver: [{type: redis, key: "${TEXT}", ttl: "${TIME}"}]
sinks: {redis: {"${TEXT}": {key_prefix: "${TEXT}"}}}
`, environ...)
	require.Equal(t, "sample", cfg.Executor.BinaryPath)
	require.Equal(t, 7, cfg.Executor.MaxExecutors)
	require.True(t, cfg.Executor.EnvInheritParent)
	require.Equal(t, cfg.Executor.TaskTimeout, cfg.Executor.DrainTimeout)
	require.Equal(t, []string{"sample", "xsample"}, cfg.Executor.EnvInheritDeny)
	require.Equal(t, map[string]string{"${TEXT}": "sample"}, cfg.Executor.Env, "keys are not replaced")
	require.Equal(t, "7", cfg.Kafka.Options["fetch.min.bytes"])
	exec := cfg.Handler.Exec
	require.Equal(t, []string{"sample"}, exec.Args)
	require.Equal(t, "sample", *exec.Stdin)
	require.Equal(t, []int{7}, exec.RetryCodes)
	require.Equal(t, map[string]string{"A": "sample"}, exec.Env)
	require.Equal(t, "sample", exec.Deliver[0].Key)
	require.Equal(t, cfg.Executor.TaskTimeout, exec.Deliver[0].TTL)
	require.Equal(t, "sample", cfg.Sinks.Redis["${TEXT}"].KeyPrefix)
}

// What is put in is text: it cannot make settings, lists or further ${}.
func TestInterpolatedTextIsNotRead(t *testing.T) {
	t.Parallel()

	for _, hostile := range []string{"a\nbrokers: evil", "[x, y]", "{a: b}", "${HOME}", "$${HOME}", "*a", "!x y", "# none", "null", ""} {
		cfg := mustParse(t, "temporal: {server_name: '${HOSTILE}'}\nexecutor: {env: {A: '${HOSTILE}'}}", "HOSTILE="+hostile, "HOME=wrong")
		require.Equal(t, hostile, cfg.Temporal.ServerName)
		require.Equal(t, hostile, cfg.Executor.Env["A"])
		require.Equal(t, "localhost:9092", cfg.Kafka.Brokers)
	}
}

func TestInterpolationProblems(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	const noName = "has a ${} around something that is not the name of a variable, write $${ for a literal ${"
	for value, want := range map[string]string{
		"${}":                  "temporal.server_name: " + noName,
		"${1A}":                "temporal.server_name: " + noName,
		"${A-B}":               "temporal.server_name: " + noName,
		"${ A }":               "temporal.server_name: " + noName,
		"${É}":                 "temporal.server_name: " + noName,
		"${A:?no}":             "temporal.server_name: " + noName,
		"${a.b}":               "temporal.server_name: " + noName,
		"${:-x}":               "temporal.server_name: " + noName,
		"${A":                  "temporal.server_name: has a ${ without }, write $${ for a literal ${",
		"x${SET} ${":           "temporal.server_name: has a ${ without }, write $${ for a literal ${",
		"${NONE}":              "temporal.server_name: the environment variable NONE is not set, set it or write ${NONE:-default}",
		"${NONE:-${SET}}":      "temporal.server_name: has a ${} inside of another, which is not possible",
		"${file:${SET}/x}":     "temporal.server_name: has a ${} inside of another, which is not possible",
		"${file:}":             "temporal.server_name: reading ${file:}: stat : no such file or directory",
		"${file:" + dir + "}":  "temporal.server_name: reading ${file:}: " + dir + " is not a regular file",
		"${file: /etc/passwd}": "temporal.server_name: reading ${file:}: stat  /etc/passwd: no such file or directory",
	} {
		require.Equal(t, []string{want + " (f.yaml:2)"}, problemsOf(t, "temporal:\n  server_name: "+"'"+value+"'", "SET=x"), value)
	}
}

func TestSecretFiles(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	for content, want := range map[string]string{
		"":              "",
		"\n":            "",
		"a":             "a",
		"a\n":           "a",
		"a\r\n":         "a",
		"a\n\n":         "a\n",
		"  a  \n":       "  a  ",
		"a\nb\n":        "a\nb",
		"\xff\x00\n":    "\xff\x00",
		"a\r":           "a",
		"${TEXT}\n":     "${TEXT}",
		"pass: [word\n": "pass: [word",
	} {
		path := filepath.Join(dir, "secret")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o400))
		cfg := mustParse(t, "kafka: {security: {protocol: sasl_ssl, mechanism: PLAIN, password: '${file:"+path+"}'}}")
		require.Equal(t, want, cfg.Kafka.Security.Password, "%q", content)
		require.NoError(t, os.Remove(path))
	}
	require.Equal(t, []string{"sinks.postgres.p.dsn: must be set (f.yaml:1)"},
		problemsOf(t, "sinks: {postgres: {p: {dsn: '${file:"+writeFile(t, "empty", "\n")+"}'}}}"), "an empty file sets nothing")
	link := filepath.Join(dir, "link") // as Kubernetes mounts secrets
	require.NoError(t, os.Symlink(writeFile(t, "target", "linked\n"), link))
	require.Equal(t, "linked", mustParse(t, "debug: {auth_token: '${file:"+link+"}'}").Debug.AuthToken)
	largest := writeFile(t, "largest", string(make([]byte, secretFileMax)))
	require.Len(t, mustParse(t, "temporal: {api_key: '${file:"+largest+"}'}").Temporal.APIKey, secretFileMax)
}

// A text is unchanged when every ${ in it is escaped, whatever else it holds:
// that is what lets a printed configuration be read again.
func TestEscapedTextsStay(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune("$${}:-aA\n é"))).Draw(t, "text")
		got, err := newExpander([]string{"a=x", "A=y"}).replace(literalNode(text).Value)
		require.NoError(t, err)
		require.Equal(t, text, got)
	})
}

// FuzzInterpolation: a text without ${ is not touched, no text panics or is
// read for ever, and an error never shows what a variable holds.
func FuzzInterpolation(f *testing.F) {
	for _, seed := range []string{"${A}", "$${A}", "${A:-${B}}", "${", "}", "$$$${A}${B:-}", "${file:/nope}", "${A}${"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e := newExpander([]string{"A=s3cret", "B="})
		e.readFile = func(string) ([]byte, error) { return []byte("s3cret\n"), nil }
		got, err := e.replace(text)
		if err != nil {
			require.NotContains(t, err.Error(), "s3cret")
			require.Empty(t, got)
			return
		}
		if !strings.Contains(text, "${") {
			require.Equal(t, text, got)
		}
	})
}
