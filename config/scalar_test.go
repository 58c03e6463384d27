package config

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDurations(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		setting string // of executor
		want    time.Duration
	}{
		{"task_timeout: 1ms", time.Millisecond},
		{"task_timeout: 1.5h", 90 * time.Minute},
		{"task_timeout: 1h0m0.25s", time.Hour + 250*time.Millisecond},
		{"task_timeout: +2s", 2 * time.Second},
		{"task_timeout: 1000us", time.Millisecond},
		{"task_timeout: '1000µs'", time.Millisecond},
		{"task_timeout_seconds: 3", 3 * time.Second},
		{"task_timeout_seconds: 3.0", 3 * time.Second},
		{"task_timeout_seconds: 1e1", 10 * time.Second},
		{"task_timeout_seconds: .5", 500 * time.Millisecond},
		{"kill_grace: 0s", 0},
		{"drain_timeout_seconds: 0", 0},
		{"drain_timeout_seconds: -0", 0},
	} {
		cfg := mustParse(t, "executor: {"+tt.setting+"}")
		got := map[string]time.Duration{
			"task_timeout": cfg.Executor.TaskTimeout, "kill_grace": cfg.Executor.KillGrace, "drain_timeout": cfg.Executor.DrainTimeout,
		}
		name, _, _ := strings.Cut(strings.Replace(tt.setting, "_seconds", "", 1), ":")
		require.Equal(t, tt.want, got[name], tt.setting)
	}
}

// A fraction of seconds is the duration that is nearest to it: binary fractions
// are a little beside most decimal ones.
func TestFractionsOfSeconds(t *testing.T) {
	t.Parallel()

	s := slot{field: field{kind: kindDuration, name: "x"}, name: "x_seconds"}
	for ms := range 20_000 {
		text := fmt.Sprintf("%d.%03d", ms/1000, ms%1000)
		d, err := parseDuration(s, text)
		require.NoError(t, err)
		require.Equal(t, time.Duration(ms)*time.Millisecond, d, text)
	}
}

func TestDurationsThatAreNone(t *testing.T) {
	t.Parallel()

	const hint = " is not a duration such as 30s or 1h30m"
	for setting, want := range map[string]string{
		"task_timeout: 5d":         `"5d"` + hint,
		"task_timeout: 5 s":        `"5 s"` + hint,
		"task_timeout: 5S":         `"5S"` + hint,
		"task_timeout: s":          `"s"` + hint,
		"task_timeout: ''":         `""` + hint,
		"task_timeout: 1h30":       `"1h30"` + hint,
		"task_timeout: 300000000h": `"300000000h"` + hint,
		"task_timeout: true":       `"true"` + hint,

		"task_timeout: 5":    `"5" has no unit, write 5s for seconds`,
		"task_timeout: 0.5":  `"0.5" has no unit, write 0.5s for seconds`,
		"task_timeout: 0":    `"0" has no unit, write 0s for seconds`,
		"task_timeout: 1e3":  `"1e3"` + hint, // 1e3s is none either
		"task_timeout: inf":  `"inf"` + hint,
		"task_timeout: nan":  `"nan"` + hint,
		"task_timeout: 0x1F": `"0x1F"` + hint,

		"task_timeout: -1s":                         "-1s is outside 1ms..168h",
		"task_timeout: 168h1ns":                     "168h0m0.000000001s is outside 1ms..168h",
		"task_timeout_seconds: -1":                  "-1s is outside 1ms..168h",
		"task_timeout_seconds: inf":                 `"inf" is out of range`,
		"task_timeout_seconds: -inf":                `"-inf" is out of range`,
		"task_timeout_seconds: nan":                 `"nan" is out of range`,
		"task_timeout_seconds: 1e10":                `"1e10" is out of range`,
		"task_timeout_seconds: 9223372036854775807": `"9223372036854775807" is out of range`,
		"task_timeout_seconds: 1e-12":               "0s is outside 1ms..168h",
		"task_timeout_seconds: 1m":                  `"1m" is not a number of seconds; durations with a unit go under task_timeout`,
		"task_timeout_seconds: ''":                  `"" is not a number of seconds; durations with a unit go under task_timeout`,
		"task_timeout_seconds: 1,5":                 `"1,5" is not a number of seconds; durations with a unit go under task_timeout`,
	} {
		name, value, _ := strings.Cut(setting, ": ")
		require.Equal(t, []string{"executor." + name + ": " + want + " (f.yaml:2)"},
			problemsOf(t, "executor:\n  "+name+": "+value), setting)
		variable := "DRAKKAR_EXECUTOR__" + strings.ToUpper(name)
		require.Equal(t, []string{variable + ": " + want}, problemsOf(t, "", variable+"="+strings.Trim(value, "'")), setting)
	}
	require.Equal(t, []string{`kafka.session_timeout_ms: "9s" is not a number of milliseconds; durations with a unit go under session_timeout (f.yaml:1)`},
		problemsOf(t, "kafka: {session_timeout_ms: 9s}"))
}

func TestWholeNumbers(t *testing.T) {
	t.Parallel()

	for text, want := range map[string]int{
		"1": 1, "+5": 5, "007": 7, "1_000": 1000, `"12"`: 12, "'12'": 12,
	} {
		require.Equal(t, want, mustParse(t, "executor: {window_size: "+text+"}").Executor.WindowSize, text)
	}
	for _, text := range []string{
		"1.0", "1e3", "0x10", "0o17", "0b1", "1 000", "1,000", "٣", "true", "_", "''", "'1 '", "--1", "9223372036854775808", "1k", "null false", ".inf",
	} {
		lines := problemsOf(t, "executor: {window_size: "+strings.ReplaceAll(text, "1,000", "'1,000'")+"}")
		require.Equal(t, []string{"executor.window_size: " + quote(strings.Trim(text, "'")) + " is not a whole number (f.yaml:1)"}, lines)
	}
	require.Equal(t, int64(math.MaxInt64),
		mustParse(t, "sinks: {filesystem: {f: {base_path: /x, rotate_bytes: 9223372036854775807}}}").Sinks.Filesystem["f"].RotateBytes)
	require.Equal(t, []string{`DRAKKAR_EXECUTOR__WINDOW_SIZE: " 5" is not a whole number`}, problemsOf(t, "", "DRAKKAR_EXECUTOR__WINDOW_SIZE= 5"))
	require.Equal(t, []string{"DRAKKAR_EXECUTOR.window_size: \"1e1\" is not a whole number"}, problemsOf(t, "", `DRAKKAR_EXECUTOR={"window_size":1e1}`))
}

func TestTrueAndFalse(t *testing.T) {
	t.Parallel()

	for text, want := range map[string]bool{
		"true": true, "True": true, "TRUE": true, "yes": true, "on": true, "'1'": true, "1": true,
		"false": false, "False": false, "no": false, "OFF": false, "0": false,
	} {
		require.Equal(t, want, mustParse(t, "metrics: {enabled: "+text+"}").Metrics.Enabled, text)
		require.Equal(t, want, mustParse(t, "", "DRAKKAR_METRICS__ENABLED="+strings.Trim(text, "'")).Metrics.Enabled, text)
	}
	for _, text := range []string{"2", "y", "n", "t", "enabled", "''", "tru", "-1"} {
		require.Equal(t, []string{"metrics.enabled: " + quote(strings.Trim(text, "'")) + " is neither true nor false (f.yaml:1)"},
			problemsOf(t, "metrics: {enabled: "+text+"}"))
	}
}

// Texts are what is written, whatever YAML would make of it.
func TestTextsStayAsTheyAreWritten(t *testing.T) {
	t.Parallel()

	for written, want := range map[string]string{
		"1.10": "1.10", "007": "007", "0x1F": "0x1F", "yes": "yes", "true": "true", "1e3": "1e3", "2026-01-01": "2026-01-01",
		"'null'": "null", `"a\tb"`: "a\tb", "' a '": " a ", "a b": "a b", "a#b": "a#b", "'#b'": "#b", `"é\u00e9"`: "éé",
		"|-\n    a\n    b": "a\nb", ">-\n    a\n    b": "a b", "10:30": "10:30",
	} {
		require.Equal(t, want, mustParse(t, "temporal:\n  server_name: "+written).Temporal.ServerName, written)
	}
}
