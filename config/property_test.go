package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// anyText is a text with all that could upset a file, a line or ${}.
var anyText = rapid.OneOf(
	rapid.StringMatching(`[a-z][a-z0-9_.:/-]{0,20}`),
	rapid.StringOf(rapid.SampledFrom([]rune("aé\u65e5 \t\n#:-'\"\\*&!%@{}[]$,|>?=~"))),
	rapid.SampledFrom([]string{"", "~", "null", "true", "007", "1e3", "-", "${A}", "$${A}", "<<", "2026-01-01", "0x1F", "yes", " x "}),
)

// anyName is a name that a sink can have.
var anyName = rapid.StringOfN(rapid.SampledFrom([]rune("aAzZ09é\u65e5-_.~ :#'&*{}$")), 1, 12, -1)

// anyValue is a value that the ranges of a setting allow.
func anyValue(t *rapid.T, l leaf) any {
	label := l.key(l.field.name)
	switch l.field.kind {
	case kindBool:
		return rapid.Bool().Draw(t, label)
	case kindInt, kindDuration:
		return l.text(anyNumber(t, l.field))
	case kindStrings:
		return rapid.SliceOfN(anyText, 0, 3).Draw(t, label)
	case kindInts:
		return []any{anyNumber(t, elementOf(l.field))}
	case kindTexts:
		return rapid.MapOfN(anyName, anyText, 0, 3).Draw(t, label)
	default:
		if choices := newLimits(l.field).choices; len(choices) > 0 {
			return rapid.SampledFrom(choices).Draw(t, label)
		}
		return anyText.Draw(t, label)
	}
}

func anyNumber(t *rapid.T, f field) int64 {
	limits := newLimits(f)
	low, high := int64(0), int64(1)<<40
	if limits.low != nil {
		low = *limits.low
	}
	if limits.high != nil {
		high = *limits.high
	}
	return rapid.Int64Range(low, max(low, high)).Draw(t, f.name)
}

// What is printed loads again, and means the same, secrets aside: nobody has
// to wonder which settings a process that printed them really has.
func TestPrintedConfigurationsMeanTheSame(t *testing.T) {
	t.Parallel()

	loaded := 0
	all := leaves()
	rapid.Check(t, func(t *rapid.T) {
		file := tree{}
		for range rapid.IntRange(1, 4).Draw(t, "settings") {
			l := rapid.SampledFrom(all).Draw(t, "setting")
			if l.field.secret == secretURL {
				continue // an address that cannot be shown cannot be read again
			}
			mergeInto(file, l.with(l.field.name, anyValue(t, l)))
		}
		rename(file, anyName.Draw(t, "name"))
		data, err := yaml.Marshal(file)
		require.NoError(t, err)
		cfg, _, err := Parse(data, "f.yaml", nil)
		if err != nil {
			return // settings that do not go together
		}
		loaded++
		again, warnings, err := Parse([]byte(cfg.String()), "printed.yaml", nil)
		require.NoError(t, err, cfg.String())
		require.Empty(t, warnings)
		require.Equal(t, cfg.Redacted(), again.Redacted())
		require.Equal(t, cfg.String(), again.String())
	})
	require.Positive(t, loaded, "no file was right")
}

// mergeInto adds a tree to another one; lists and values of the later win.
func mergeInto(into, from tree) {
	for key, value := range from {
		below, isTree := value.(tree)
		old, wasTree := into[key].(tree)
		if isTree && wasTree {
			mergeInto(old, below)
			continue
		}
		into[key] = value
	}
}

// rename gives all sinks another name.
func rename(file tree, name string) {
	sinks, _ := file["sinks"].(tree)
	for _, instances := range sinks {
		if instances, ok := instances.(tree); ok && instances[one] != nil {
			instances[name] = instances[one]
			delete(instances, one)
		}
	}
	handler, _ := file["handler"].(tree)
	exec, _ := handler["exec"].(tree)
	delete(exec, "sink")
}

// Names differ in the merge exactly when they differ.
func TestEscapeKeepsNamesApart(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		require.Equal(t, a == b, strings.EqualFold(escape(a), escape(b)))
		require.NotContains(t, escape(a), ".")
		require.Equal(t, strings.ToLower(escape(a)), escape(a))
	})
}

// The nearest name is the name itself when it is known, else one with no other
// nearer to it.
func TestNearest(t *testing.T) {
	t.Parallel()

	names := sectionOf(reflect.TypeFor[Executor]()).names()
	rapid.Check(t, func(t *rapid.T) {
		known := rapid.SampledFrom(names).Draw(t, "known")
		require.Equal(t, known, nearest(known, names))
		require.Equal(t, known, nearest(strings.ToUpper(known), names))
		a, b, c := anyName.Draw(t, "a"), anyName.Draw(t, "b"), anyName.Draw(t, "c")
		require.Equal(t, editDistance(a, b), editDistance(b, a))
		require.LessOrEqual(t, editDistance(a, c), editDistance(a, b)+editDistance(b, c))
		require.Equal(t, a == b, editDistance(a, b) == 0)
	})
	require.Empty(t, nearest("x", nil))
}

// Durations are printed so that they are read as the same one.
func TestDurationTextIsExact(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64().Draw(t, "d"))
		if rapid.Bool().Draw(t, "whole") {
			d = d.Truncate(time.Minute)
		}
		text := durationText(d)
		back, err := time.ParseDuration(text)
		require.NoError(t, err, text)
		require.Equal(t, d, back, text)
		require.NotRegexp(t, `[hm]0[ms]$`, text)
	})
	for d, want := range map[time.Duration]string{
		0: "0s", time.Hour: "1h", 90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m",
		100 * time.Hour: "100h", time.Millisecond: "1ms", -time.Hour: "-1h",
	} {
		require.Equal(t, want, durationText(d))
	}
}

// Two configurations share nothing: a program may change the one that it has.
func TestConfigurationsAreCopies(t *testing.T) {
	t.Parallel()

	change := func(cfg *Config) {
		cfg.Executor.EnvInheritDeny[0] = "changed"
		cfg.Executor.Env["A"] = "changed"
		cfg.Sinks.Redis["r"] = RedisSink{}
		cfg.Kafka.Options["a"] = "changed"
	}
	a := Default()
	change(a)
	require.Equal(t, "DRAKKAR_*", Default().Executor.EnvInheritDeny[0])
	require.Empty(t, Default().Executor.Env)
	require.Empty(t, Default().Sinks.Redis)

	const file = "executor: {env_inherit_deny: [X], env: {A: x}}\nkafka: {options: {a: b}}\nsinks: {redis: {r: {key_prefix: p}}}\n" +
		"handler: {exec: {binary: b, args: [a], stdin: s, env: {A: x}, deliver: [{type: redis, key: k}]}}"
	cfg := mustParse(t, file)
	redacted := cfg.Redacted()
	change(redacted)
	redacted.Handler.Exec.Args[0], *redacted.Handler.Exec.Stdin = "changed", "changed"
	redacted.Handler.Exec.Deliver[0].Key = "changed"
	require.Equal(t, mustParse(t, file), cfg)
}

// Ports of any offset stay ports, and 0 stays the system's choice.
func TestPortsOffset(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		port, offset := rapid.IntRange(0, 65535).Draw(t, "port"), rapid.IntRange(0, 60000).Draw(t, "offset")
		_, _, err := Parse([]byte(fmt.Sprintf("debug: {enabled: false}\nmetrics: {port: %d}\ningest: {metrics_port: 1}\nports: {offset: %d}", port, offset)), "f", nil)
		if port != 0 && port+offset > 65535 {
			require.EqualError(t, err, fmt.Sprintf("metrics.port: %d is more than 65535 with ports.offset, %d (f:2)", port, offset))
			return
		}
		require.NoError(t, err)
		cfg := Default()
		cfg.Metrics.Port, cfg.Ports.Offset = port, offset
		want := port + offset
		if port == 0 {
			want = 0
		}
		require.Equal(t, ":"+strconv.Itoa(want), cfg.MetricsAddr(RoleExecutor))
	})
	cfg := mustParse(t, "debug: {host: '::1'}\nports: {offset: 1}")
	require.Equal(t, "[::1]:8081", cfg.DebugAddr(RoleExecutor))
	require.Equal(t, "[::1]:8082", cfg.DebugAddr(RoleIngest))
}

func TestKafkaSecurityProperties(t *testing.T) {
	t.Parallel()

	require.Equal(t, map[string]string{"security.protocol": "plaintext"}, Default().Kafka.Security.Properties())
	all := KafkaSecurity{
		Protocol: "sasl_ssl", Mechanism: "PLAIN", Username: "u", Password: "p",
		CAFile: "ca", CertFile: "cert", KeyFile: "key", KeyPassword: "kp",
	}
	require.Equal(t, map[string]string{
		"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "p",
		"ssl.ca.location": "ca", "ssl.certificate.location": "cert", "ssl.key.location": "key", "ssl.key.password": "kp",
	}, all.Properties())
	for _, owned := range slices.Sorted(maps.Keys(all.Properties())) {
		require.NotContains(t, ownedByDrakkar, owned, "options may still say how to reach the broker")
	}
}
