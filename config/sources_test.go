package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every setting can be given in the file, by a variable of its own, and in the
// JSON of its section, under each of its names, and means the same everywhere.
func TestEverySettingFromEverySource(t *testing.T) {
	t.Parallel()

	plain := Default()
	plain.Complete()
	for _, l := range leaves() {
		if l.field.kind == kindTexts { // see TestEveryMapFromEverySource
			continue
		}
		t.Run(l.key(l.field.name), func(t *testing.T) {
			t.Parallel()
			value, text := l.sample()
			file := l.with(l.field.name, value)
			want := mustParse(t, written(t, file))
			if unset, _, err := Parse([]byte(written(t, l.without())), "", nil); err == nil {
				require.NotEqual(t, want, unset, "the sample changes nothing")
			}
			require.Equal(t, want, mustParse(t, "", asVariables(t, file)...), "JSON of the section")
			variable, ok := l.variable(l.field.name)
			if !ok {
				return
			}
			require.Equal(t, want, mustParse(t, written(t, l.without()), variable+"="+text), "variable")
			require.Equal(t, want, mustParse(t, written(t, l.without()), variablePrefix+strings.ToLower(variable[len(variablePrefix):])+"="+text),
				"the case of keys in names of variables does not matter")
			require.Equal(t, want, mustParse(t, written(t, l.with(l.field.name, l.other())), variable+"="+text), "the variable wins over the file")
		})
	}
}

// other is a right value in the shape of the setting's kind that is neither
// the sample nor, mostly, the default.
func (l leaf) other() any {
	switch l.field.kind {
	case kindStrings, kindInts:
		return []any{}
	default:
		if l.field.def != "" {
			return l.field.def
		}
		value, _ := l.sample()
		return value
	}
}

func TestEveryMapFromEverySource(t *testing.T) {
	t.Parallel()

	for _, l := range leaves() {
		if l.field.kind != kindTexts {
			continue
		}
		t.Run(l.key(l.field.name), func(t *testing.T) {
			t.Parallel()
			key := map[string]string{keysExact: "Some_Key", keysHeader: "SOME-KEY", keysProperty: "some.key"}[l.field.keys]
			file := l.with(l.field.name, tree{key: "v"})
			want := mustParse(t, written(t, file))
			require.Contains(t, want.String(), key)
			variable, _ := l.variable(l.field.name)
			inName := map[string]string{keysExact: "Some_Key", keysHeader: "SOME_KEY", keysProperty: "SOME_KEY"}[l.field.keys]
			require.Equal(t, want, mustParse(t, written(t, l.without()), variable+"__"+inName+"=v"))
			require.Equal(t, want, mustParse(t, "", asVariables(t, file)...))
			require.Equal(t, want, mustParse(t, written(t, l.with(l.field.name, tree{key: "old"})), variable+"__"+inName+"=v"))
			require.Equal(t, want, mustParse(t, written(t, l.without()), variable+`={"`+key+`":"v"}`), "the map as JSON")
		})
	}
}

// An older name sets the same setting, in its own unit, from every source.
func TestEveryOlderName(t *testing.T) {
	t.Parallel()

	count := 0
	for _, l := range leaves() {
		for _, alias := range l.field.aliases {
			count++
			t.Run(l.key(alias), func(t *testing.T) {
				t.Parallel()
				value, want := "11", any("11s")
				switch {
				case l.field.kind == kindInt:
					value, want = "70000", "70000"
				case strings.HasSuffix(alias, "_ms"):
					value = "11000"
				}
				if l.field.name == "heartbeat_interval" { // at most a third of another one
					value, want = map[string]string{"heartbeat_interval_ms": "2000", "heartbeat_interval_seconds": "2"}[alias], "2s"
				}
				if l.field.name == "linger" {
					value, want = "5", "5ms"
				}
				expected := mustParse(t, written(t, l.with(l.field.name, want)))
				require.Equal(t, expected, mustParse(t, written(t, l.with(alias, value))))
				if variable, ok := l.variable(alias); ok {
					require.Equal(t, expected, mustParse(t, written(t, l.without()), variable+"="+value))
				}
			})
		}
	}
	require.Greater(t, count, 10, "the test looks in the wrong place")
}

// The environment has three layers of its own: a section as JSON, below it an
// instance as JSON, below it a single setting. The one that names a setting
// more closely wins, whatever the order of the variables.
func TestLayers(t *testing.T) {
	t.Parallel()

	const file = "executor: {window_size: 2}\nsinks: {postgres: {main: {dsn: file, pool_min: 3, pool_max: 20}}}"
	layers := []string{
		`DRAKKAR_SINKS={"postgres":{"main":{"pool_max":30,"pool_min":4,"ui_url":"http://section"}}}`,
		`DRAKKAR_SINKS__POSTGRES={"main":{"pool_max":40,"pool_min":5}}`,
		`DRAKKAR_SINKS__POSTGRES__MAIN={"pool_max":50}`,
		"DRAKKAR_SINKS__POSTGRES__MAIN__POOL_MAX=60",
	}
	for used, want := range map[int][3]any{
		0: {3, 20, ""}, 1: {4, 30, "http://section"}, 2: {5, 40, "http://section"}, 3: {5, 50, "http://section"}, 4: {5, 60, "http://section"},
	} {
		environ := slices.Clone(layers[:used])
		for range 2 {
			sink := mustParse(t, file, environ...).Sinks.Postgres["main"]
			require.Equal(t, want, [3]any{sink.PoolMin, sink.PoolMax, sink.Delivery.UIURL}, "%d layers", used)
			require.Equal(t, "file", sink.DSN)
			slices.Reverse(environ)
		}
	}
}

// A list or an entry of deliver is one value: the higher layer replaces it as
// a whole. Maps of names are put together.
func TestListsAreReplacedAndMapsPutTogether(t *testing.T) {
	t.Parallel()

	cfg := mustParse(t, `
executor: {env_inherit_deny: [A, B], env: {A: file, B: file}}
sinks: {redis: {a: {key_prefix: file}, b: {key_prefix: file}}}
`, `DRAKKAR_EXECUTOR={"env_inherit_deny":["C"],"env":{"B":"env","C":"env"}}`, `DRAKKAR_SINKS__REDIS={"b":{"key_prefix":"env"},"c":{}}`)
	require.Equal(t, []string{"C"}, cfg.Executor.EnvInheritDeny)
	require.Equal(t, map[string]string{"A": "file", "B": "env", "C": "env"}, cfg.Executor.Env)
	require.Equal(t, []string{"a", "b", "c"}, cfg.Sinks.names("redis"))
	require.Equal(t, "file", cfg.Sinks.Redis["a"].KeyPrefix)
	require.Equal(t, "env", cfg.Sinks.Redis["b"].KeyPrefix)
}

var variableInReference = regexp.MustCompile("`(DRAKKAR_[A-Z_<>]+)`")

// Whoever copies a variable from the reference has a setting.
func TestVariablesOfTheReferenceExist(t *testing.T) {
	t.Parallel()

	found := variableInReference.FindAllStringSubmatch(Reference(), -1)
	require.Greater(t, len(found), 150)
	for _, match := range found {
		name := strings.NewReplacer("<NAME>", "ONE", "<KEY>", "KEY").Replace(match[1])
		if name == variablePrefix || name == FileVariable {
			continue
		}
		_, _, err := Parse(nil, "", []string{name + "=x"})
		if err != nil {
			require.NotContains(t, err.Error(), "is not a setting", name)
		}
	}
}

// Every setting has a row in the part of its section, with its default, its
// range, its older names and its variable.
func TestReferenceHoldsEverySetting(t *testing.T) {
	t.Parallel()

	parts := map[string]string{}
	for part := range strings.SplitSeq(Reference(), "\n## ") {
		title, text, _ := strings.Cut(part, "\n")
		parts[strings.Trim(title, "`")] = text
	}
	for _, l := range leaves() {
		title := strings.TrimSuffix(l.key(""), ".")
		title = strings.NewReplacer("."+one, ".<name>", "[0]", "[]").Replace(title)
		if title == "" {
			title = "General"
		}
		require.Contains(t, parts, title)
		row := ""
		for line := range strings.Lines(parts[title]) {
			if strings.HasPrefix(line, "| `"+l.field.name+"` |") {
				row = line
			}
		}
		require.NotEmpty(t, row, l.key(l.field.name))
		require.Equal(t, 7, strings.Count(strings.ReplaceAll(row, `\|`, ""), "|"), "a row of six cells: %s", row)
		for _, alias := range l.field.aliases {
			require.Contains(t, row, "`"+alias+"`")
		}
		if variable, ok := l.variable(l.field.name); ok {
			require.Contains(t, row, strings.Replace(variable, "__ONE__", "__<NAME>__", 1))
		}
		if l.field.hasDef {
			require.Contains(t, row, "`"+strings.ReplaceAll(l.field.def, "|", `\|`)+"`")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(retired)) {
		require.Contains(t, parts["Settings of older files"], "| `"+key+"` | "+retired[key]+" |")
	}
}
