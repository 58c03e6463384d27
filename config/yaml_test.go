package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFilesOfOtherEditors(t *testing.T) {
	t.Parallel()

	for name, file := range map[string]string{
		"CRLF":            "kafka:\r\n  source_topic: a\r\n  consumer_group: b\r\n",
		"ByteOrderMark":   "\ufeffkafka:\n  source_topic: a\n  consumer_group: b\n",
		"NoLastNewline":   "kafka: {source_topic: a, consumer_group: b}",
		"Flow":            "{kafka: {source_topic: a, consumer_group: b}}",
		"JSON":            `{"kafka": {"source_topic": "a", "consumer_group": "b"}}`,
		"DocumentMarks":   "---\nkafka:\n  source_topic: a\n  consumer_group: b\n...\n",
		"QuotedKeys":      "\"kafka\":\n  'source_topic': a\n  consumer_group: b\n",
		"CommentsBetween": "# a\nkafka: # b\n  # c\n  source_topic: a # d\n\n  consumer_group: b\n# e",
		"SecondIsNone":    "kafka:\n  source_topic: a\n  consumer_group: b\n---\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "SecondIsNone" { // a document all the same: half a file may have been lost
				require.Equal(t, []string{"f.yaml: holds more than one document (f.yaml:4)"}, problemsOf(t, file))
				return
			}
			cfg := mustParse(t, file)
			require.Equal(t, "a", cfg.Kafka.SourceTopic)
			require.Equal(t, "b", cfg.Kafka.ConsumerGroup)
		})
	}
}

func TestBrokenFiles(t *testing.T) {
	t.Parallel()

	for name, file := range map[string]string{
		"Binary":       "\x00\x01\x02",
		"NotUTF8":      "kafka: {source_topic: \"\xff\"}",
		"UTF16":        "k\x00a\x00f\x00k\x00a\x00",
		"Depth":        strings.Repeat("[", 100_000),
		"DepthOfMaps":  strings.Repeat("{a: ", 100_000),
		"Unclosed":     `kafka: {source_topic: "a`,
		"Indent":       "kafka:\n   source_topic: a\n  consumer_group: b",
		"KeyTwice":     "a: b: c",
		"UnknownAlias": "kafka: *nobody",
		"Directive":    "%YAML 9.9\n---\nkafka:",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := problemsOf(t, file)
			require.Len(t, lines, 1)
			require.Contains(t, lines[0], "f.yaml")
			require.Less(t, len(lines[0]), 300, "the problem shows the file")
		})
	}
}

func TestMerges(t *testing.T) {
	t.Parallel()

	t.Run("OwnKeysWinThenTheFirstMerged", func(t *testing.T) {
		t.Parallel()
		cfg := mustParse(t, `
sinks:
  postgres:
    a: &a {dsn: a, pool_max: 11, pool_min: 1}
    b: &b {dsn: b, pool_max: 12, batch_size: 7}
    c:
      pool_min: 3
      <<: [*a, *b]
`)
		c := cfg.Sinks.Postgres["c"]
		require.Equal(t, "a", c.DSN)
		require.Equal(t, 11, c.PoolMax)
		require.Equal(t, 3, c.PoolMin)
		require.Equal(t, 7, c.Delivery.BatchSize)
	})

	t.Run("OfMergesAndInMapsAndLists", func(t *testing.T) {
		t.Parallel()
		cfg := mustParse(t, `
executor:
  env: &env {A: "1", B: "2"}
  env_inherit_deny: &deny [X, Y]
handler:
  exec:
    binary: rg
    args: *deny
    env: {<<: *env, B: "3"}
    deliver:
      - &first {type: redis, key: k}
      - {<<: *first, key: l}
sinks: {redis: {r: }}
`)
		require.Equal(t, map[string]string{"A": "1", "B": "3"}, cfg.Handler.Exec.Env)
		require.Equal(t, []string{"X", "Y"}, cfg.Handler.Exec.Args)
		require.Equal(t, "l", cfg.Handler.Exec.Deliver[1].Key)
		require.Equal(t, "redis", cfg.Handler.Exec.Deliver[1].Type)
	})

	t.Run("ProblemsNameTheLineOfTheAnchor", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []string{
			"sinks.postgres.a.pol_max: is not a setting, the nearest that is one is pool_max (f.yaml:4)",
			"sinks.postgres.b.pol_max: is not a setting, the nearest that is one is pool_max (f.yaml:4)",
		}, problemsOf(t, "sinks:\n  postgres:\n    a: &a\n      {dsn: x, pol_max: 5}\n    b:\n      <<: *a\n"))
	})

	t.Run("OfItself", func(t *testing.T) {
		t.Parallel()
		_, _, err := Parse([]byte("kafka: &a\n  <<: *a\n  <<: [*a, *a]\n  brokers: x\n"), "f.yaml", nil)
		require.NoError(t, err, "there is nothing to add, and no end to look for")
	})

	t.Run("SectionBelowItself", func(t *testing.T) {
		t.Parallel()
		lines := problemsOf(t, "kafka: &a\n  security: *a\n")
		require.Equal(t, []string{"kafka.security.security: is not a setting, the nearest that is one is mechanism (f.yaml:2)"}, lines)
	})

	t.Run("Bomb", func(t *testing.T) {
		t.Parallel()
		var file strings.Builder
		file.WriteString("a0: &a0 {brokers: x}\n")
		for i := 1; i < 60; i++ {
			n, before := string(rune('A'+i)), string(rune('A'+i-1))
			if i == 1 {
				before = "a0"
			}
			file.WriteString(n + ": &" + n + " {<<: [*" + before + ", *" + before + ", *" + before + "]}\n")
		}
		file.WriteString("kafka: {<<: *" + string(rune('A'+59)) + "}\n")
		require.NotEmpty(t, problemsOf(t, file.String()), "unknown keys at the root, told in no time")
	})
}

// A key that is written twice is told once, in whatever kind of mapping, and
// the lines of both are named.
func TestKeysTwice(t *testing.T) {
	t.Parallel()

	for file, want := range map[string]string{
		"metrics:\n  port: 1\n  port: 2\n":                                    "metrics.port: is set twice, first in line 2 (f.yaml:3)",
		"metrics:\n  port: 1\n  \"port\": 1\n":                                "metrics.port: is set twice, first in line 2 (f.yaml:3)",
		"sinks:\n  redis: {}\n  redis: {}\n":                                  "sinks.redis: is set twice, first in line 2 (f.yaml:3)",
		"kafka:\n  options:\n    a.b: 1\n    a.b: 2\n":                        "kafka.options.a.b: is set twice, first in line 3 (f.yaml:4)",
		"executor:\n  env:\n    \"a b\\n\": 1\n    \"a b\\n\": 2\n":           "executor.env.\"a b\\n\": is set twice, first in line 3 (f.yaml:4)",
		"cache:\n  enabled: true\n  enabled: true\n":                          "cache.enabled: is set twice, first in line 2 (f.yaml:3)",
		"metrics:\n  nope: 1\nmetrics:\n  port: 2\n":                          "metrics: is set twice, first in line 1 (f.yaml:3)",
		"sinks: {redis: {r: {}}}\nsinks: {redis: {r: {key_prefix: \"x\"}}}\n": "sinks: is set twice, first in line 1 (f.yaml:2)",
	} {
		require.Contains(t, problemsOf(t, file), want)
	}
}

// Names of sinks may hold anything that can be shown in one line.
func TestNamesOfSinks(t *testing.T) {
	t.Parallel()

	for _, name := range []string{"a", "A", "a.b", "a b", "-", "__", "é", "\u65e5\u672c", "a/b", "a:b", "%41", "~", "0", "true", "a..b", ".!"} {
		cfg := mustParse(t, "sinks: {redis: {"+quote(name)+": {key_prefix: x}, other: {}}}")
		require.Equal(t, "x", cfg.Sinks.Redis[name].KeyPrefix, name)
		require.Empty(t, cfg.Sinks.Redis["other"].KeyPrefix)
		require.Contains(t, problemsOf(t, "sinks:\n  redis:\n    "+quote(name)+":\n      batch_size: 0"),
			"sinks.redis."+name+".batch_size: 0 is outside 1..100000 (f.yaml:4)")
	}
	for _, name := range []string{"", "a\nb", "a\tb", "a\x7fb", `a"b`, `a\b`, "a\u200bb", "a\u202eb"} {
		lines := problemsOf(t, "sinks: {redis: {"+quote(name)+": {}}}")
		require.Len(t, lines, 1, name)
		require.Contains(t, lines[0], "a name must not be empty or hold control characters, quotes or backslashes")
		require.NotContains(t, lines[0], "\n")
	}
}

// A variable makes no sink that the file could not have.
func TestNamesOfSinksInVariables(t *testing.T) {
	t.Parallel()

	for _, name := range []string{"", "A\nB", `A"B`, `A\B`, "A\x7fB"} {
		variable := "DRAKKAR_SINKS__REDIS__" + name + "__KEY_PREFIX"
		lines := problemsOf(t, "", variable+"=x")
		require.Len(t, lines, 1)
		require.True(t, strings.HasSuffix(lines[0], ": a name must not be empty or hold control characters, quotes or backslashes"), lines[0])
	}
}

// Names of maps that differ in case, or in what names of variables cannot
// hold, are different names.
func TestNamesStayApart(t *testing.T) {
	t.Parallel()

	names := []string{"a", "A", "a_b", "a-b", "a.b", "A_B", "a b", "%61", "a%5fb", "é", "É"}
	file := tree{"executor": tree{"env": tree{}}}
	sinks := tree{}
	for i, name := range names {
		set(file, string(rune('0'+i)), "executor", "env", name)
		sinks[name] = tree{"key_prefix": string(rune('0' + i))}
	}
	file["sinks"] = tree{"redis": sinks}
	cfg := mustParse(t, written(t, file))
	for i, name := range names {
		require.Equal(t, string(rune('0'+i)), cfg.Executor.Env[name], name)
		require.Equal(t, string(rune('0'+i)), cfg.Sinks.Redis[name].KeyPrefix, name)
	}
}
