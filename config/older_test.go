package config

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A file that uses all of what the Python product has loads as it is. What has
// no meaning any more is warned about, each once and at its line; nothing is
// dropped in silence.
func TestFilesOfThePythonProductLoad(t *testing.T) {
	t.Parallel()

	data, err := os.ReadFile("testdata/older.yaml")
	require.NoError(t, err)
	cfg, warnings, err := Parse(data, "older.yaml", nil)
	require.NoError(t, err)

	require.Equal(t, 45*time.Second, cfg.Kafka.SessionTimeout)
	require.Equal(t, 5*time.Minute, cfg.Kafka.MaxPollInterval)
	require.Equal(t, 3*time.Second, cfg.Kafka.HeartbeatInterval)
	require.Empty(t, cfg.Executor.BinaryPath)
	require.Equal(t, 2*time.Minute, cfg.Executor.TaskTimeout)
	require.Equal(t, 30*time.Second, cfg.Executor.DrainTimeout)
	require.Equal(t, 4, cfg.Sinks.HTTP["hook"].Delivery.MaxAttempts, "three retries are four attempts")
	require.Equal(t, 30*time.Second, cfg.Sinks.HTTP["hook"].Delivery.Timeout)
	require.Equal(t, 30*time.Second, cfg.Sinks.CircuitBreaker.Cooldown)
	require.Equal(t, "input-events_dlq", cfg.DLQ.Topic)
	require.Equal(t, "main", cfg.Cluster(nil))

	lines := strings.Split(string(data), "\n")
	warned := map[string]bool{}
	for _, w := range warnings {
		require.Contains(t, retired, w.Key)
		require.False(t, warned[w.Key], w.Key)
		warned[w.Key] = true
		name := w.Key[strings.LastIndexByte(w.Key, '.')+1:]
		require.Contains(t, lines[w.Line-1], name+":", "the line of %s", w.Key)
	}
	require.Equal(t, slices.Sorted(maps.Keys(retired)), slices.Sorted(maps.Keys(warned)), "the file has all that is retired")
}

// Every retired setting is told about with advice, whatever its value, by file
// and by variable, and never as a mistake.
func TestEveryRetiredSetting(t *testing.T) {
	t.Parallel()

	for key, advice := range retired {
		keys := strings.Split(key, ".")
		for _, value := range []any{"x", 1, nil, []any{1}, tree{"a": "b"}} {
			file := value
			for _, k := range slices.Backward(keys) {
				file = tree{k: file}
			}
			_, warnings, err := Parse([]byte(written(t, file.(tree))), "f.yaml", nil)
			require.NoError(t, err, key)
			require.Equal(t, []Warning{{Key: key, Text: advice, File: "f.yaml", Line: len(keys)}}, warnings, "%v", value)
		}
		variable := variablePrefix + strings.ToUpper(strings.Join(keys, variableNest))
		for _, text := range []string{"", "x", "{"} {
			_, warnings, err := Parse(nil, "", []string{variable + "=" + text})
			require.NoError(t, err, variable)
			require.Equal(t, []Warning{{Key: variable, Text: advice}}, warnings)
		}
		require.Regexp(t, `^(has no effect: |is not supported yet)`, advice)
	}
}

// A setting beside retired ones is a mistake as everywhere, and the nearest
// name may be a retired one.
func TestMistakesBesideRetiredSettings(t *testing.T) {
	t.Parallel()

	for file, want := range map[string]string{
		"debug: {store_event: 1}":         "debug.store_event: is not a setting, the nearest that is one is store_events (f.yaml:1)",
		"cache: {peer_sync: {batch: 1}}":  "cache.peer_sync.batch: is not a setting, the nearest that is one is batch_size (f.yaml:1)",
		"cache: {peer_sink: {}}":          "cache.peer_sink: is not a setting, the nearest that is one is peer_sync (f.yaml:1)",
		"kafka: {max_poll_record: 1}":     "kafka.max_poll_record: is not a setting, the nearest that is one is max_poll_records (f.yaml:1)",
		"caches: {enabled: true}":         "caches: is not a setting, the nearest that is one is cache (f.yaml:1)",
		"executor: {backpressure_low: 1}": "executor.backpressure_low: is not a setting, the nearest that is one is backpressure_low_multiplier (f.yaml:1)",
	} {
		require.Equal(t, []string{want}, problemsOf(t, file))
	}
}
