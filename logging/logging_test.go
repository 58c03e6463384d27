package logging

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdklog "go.temporal.io/sdk/log"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/drakkar-go/drakkar/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var identity = Identity{Worker: "worker-1", Cluster: "blue", Role: "executor", Version: "v1.2.3", Group: "group"}

func TestNew(t *testing.T) {
	t.Parallel()

	write := func(t *testing.T, cfg config.Logging, id Identity) (path string) {
		t.Helper()

		dir := t.TempDir()
		cfg.Output = filepath.Join(dir, cfg.Output)
		log, closeLog, err := New(cfg, id)
		require.NoError(t, err)
		log.Debug("quiet")
		log.Info("hello")
		require.NoError(t, closeLog())
		return dir
	}

	t.Run("FileIsAppendedTo", func(t *testing.T) {
		t.Parallel()

		cfg := config.Logging{Level: "INFO", Format: "json", Output: filepath.Join(t.TempDir(), "a", "b", "log.json")}
		for range 2 {
			log, closeLog, err := New(cfg, identity)
			require.NoError(t, err)
			log.Info("hello")
			require.NoError(t, closeLog())
		}
		text, err := os.ReadFile(cfg.Output)
		require.NoError(t, err)
		require.Equal(t, 2, bytes.Count(text, []byte("\n")))
	})

	t.Run("FileIsNamedAfterTheProcess", func(t *testing.T) {
		t.Parallel()

		dir := write(t, config.Logging{Level: "INFO", Format: "json", Output: "{cluster_name}/{worker_id}.log"}, identity)
		text, err := os.ReadFile(filepath.Join(dir, "blue", "worker-1.log"))
		require.NoError(t, err)
		require.Equal(t, 1, bytes.Count(text, []byte("\n")))
	})

	t.Run("FileStaysInItsDirectory", func(t *testing.T) {
		t.Parallel()

		dir := write(t, config.Logging{Level: "INFO", Format: "json", Output: "{cluster_name}/{worker_id}.log"},
			Identity{Worker: "../../w", Cluster: ".."})
		require.FileExists(t, filepath.Join(dir, "_", ".._.._w.log"))
	})

	t.Run("Refuses", func(t *testing.T) {
		t.Parallel()

		file := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		for _, tt := range []struct {
			cfg  config.Logging
			want string
		}{
			{config.Logging{Level: "LOUD", Format: "json"}, "logging.level"},
			{config.Logging{Level: "INFO", Format: "xml"}, "logging.format"},
			{config.Logging{Level: "INFO", Format: "json", Output: filepath.Join(file, "log.json")}, "logging.output"},
			{config.Logging{Level: "INFO", Format: "json", Output: filepath.Dir(file)}, "logging.output"},
		} {
			_, _, err := New(tt.cfg, identity)
			require.ErrorContains(t, err, tt.want)
		}
	})

	t.Run("Level", func(t *testing.T) {
		t.Parallel()

		for name, want := range map[string]zapcore.Level{
			"DEBUG": zap.DebugLevel, "INFO": zap.InfoLevel, "warn": zap.WarnLevel, "WARNING": zap.WarnLevel, "error": zap.ErrorLevel,
		} {
			for format := range formats {
				log, closeLog, err := New(config.Logging{Level: name, Format: format, Output: "stdout"}, identity)
				require.NoError(t, err)
				require.Equal(t, want, log.Level())
				require.NoError(t, closeLog())
			}
		}
	})
}

func TestECS(t *testing.T) {
	t.Parallel()

	type testBundle struct {
		log *zap.Logger
		out *bytes.Buffer
	}

	setup := func(id Identity) *testBundle {
		out := &bytes.Buffer{}
		core := newECSCore(zapcore.AddSync(out), zap.InfoLevel, id)
		return &testBundle{log: zap.New(core, zap.AddStacktrace(zapcore.DPanicLevel)), out: out}
	}

	t.Run("Identity", func(t *testing.T) {
		t.Parallel()

		b := setup(identity)
		b.log.Info("hello")
		line := decode(t, b.out)
		at, err := time.Parse(time.RFC3339Nano, line["@timestamp"].(string))
		require.NoError(t, err)
		require.Equal(t, time.UTC, at.Location())
		require.WithinDuration(t, time.Now(), at, time.Minute)
		delete(line, "@timestamp")
		require.Equal(t, map[string]any{
			"log.level": "info", "message": "hello", "ecs.version": ecsVersion,
			"service.name": "drakkar", "service.version": "v1.2.3", "service.node.name": "worker-1",
			"labels.cluster": "blue", "labels.role": "executor", "labels.consumer_group": "group",
		}, line)
	})

	t.Run("EmptyIdentityIsLeftOut", func(t *testing.T) {
		t.Parallel()

		b := setup(Identity{})
		b.log.Info("hello")
		for key := range decode(t, b.out) {
			require.False(t, strings.HasPrefix(key, "labels."), key)
		}
	})

	t.Run("Fields", func(t *testing.T) {
		t.Parallel()

		for _, tt := range []struct {
			name  string
			field zap.Field
			key   string
			want  any
		}{
			{"Error", zap.Error(errors.New("broken")), "error.message", "broken"},
			{"ErrorText", zap.String("error", "broken"), "error.message", "broken"},
			{"ErrorOfAnotherType", zap.Int("error", 7), "labels.error", 7.0},
			{"Event", zap.String("event", "consumed"), "event.action", "consumed"},
			{"Category", zap.String("category", "kafka"), "event.dataset", "drakkar.kafka"},
			{"CategoryOfAnotherType", zap.Int("category", 3), "labels.category", 3.0},
			{"Took", zap.Duration("took", time.Millisecond), "event.duration", 1e6},
			{"Duration", zap.Duration("waited", 1500*time.Millisecond), "labels.waited", 1.5},
			{"Other", zap.Int32("partition", 3), "labels.partition", 3.0},
			{"NameOfTheSchema", zap.String("url.path", "/"), "url.path", "/"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()

				b := setup(Identity{})
				b.log.Info("written", tt.field)
				require.Equal(t, tt.want, decode(t, b.out)[tt.key])

				b = setup(Identity{})
				b.log.With(tt.field).Info("bound")
				require.Equal(t, tt.want, decode(t, b.out)[tt.key])
			})
		}
	})

	t.Run("CallersFieldsStay", func(t *testing.T) {
		t.Parallel()

		b := setup(Identity{})
		fields := []zap.Field{zap.Int("n", 1)}
		b.log.Info("hello", fields...)
		require.Equal(t, "n", fields[0].Key)
	})

	t.Run("Level", func(t *testing.T) {
		t.Parallel()

		b := setup(Identity{})
		b.log.Debug("quiet")
		require.Zero(t, b.out.Len())
	})

	t.Run("Namespace", func(t *testing.T) {
		t.Parallel()

		b := setup(Identity{})
		b.log.With(zap.Namespace("order"), zap.Int("id", 1)).Info("hello", zap.Int("rows", 2))
		require.Equal(t, map[string]any{"id": 1.0, "rows": 2.0}, decode(t, b.out)["labels.order"])
	})

	t.Run("StackTrace", func(t *testing.T) {
		t.Parallel()

		b := setup(Identity{})
		b.log.DPanic("broken")
		require.Contains(t, decode(t, b.out)["error.stack_trace"], "TestECS")
	})
}

func TestConsole(t *testing.T) {
	t.Parallel()

	out := &bytes.Buffer{}
	log := zap.New(newConsoleCore(zapcore.AddSync(out), zap.InfoLevel, identity))
	log.Debug("quiet")
	log.Warn("hello", zap.String("category", "kafka"), zap.Duration("took", time.Second), zap.Int("n", 1))
	require.Regexp(t, `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  WARN  hello  \{"worker": "worker-1", "took": "1s", "n": 1\}\n$`, out.String())
}

func TestTemporal(t *testing.T) {
	t.Parallel()

	out := &bytes.Buffer{}
	log := Temporal(zap.New(newECSCore(zapcore.AddSync(out), zap.DebugLevel, Identity{})))

	tests := []struct {
		name  string
		write func(msg string, keyvals ...any)
		level string
	}{
		{"Debug", log.Debug, "debug"},
		{"Info", log.Info, "info"},
		{"Warn", log.Warn, "warn"},
		{"Error", log.Error, "error"},
	}
	for _, tt := range tests { // one after the other, they share a buffer
		tt.write("Activity error.", "Attempt", 3, "Error", errors.New("broken"), 7, "seven", "odd")
		line := decode(t, out)
		require.Equal(t, tt.level, line["log.level"])
		require.Equal(t, "Activity error.", line["message"])
		require.Equal(t, "drakkar.temporal", line["event.dataset"])
		require.EqualValues(t, 3, line["labels.Attempt"])
		require.Equal(t, "broken", line["error.message"])
		require.Equal(t, "seven", line["labels.7"])
		require.Equal(t, "odd", line["labels.value"])
	}

	sdklog.With(log, "Namespace", "default").Info("Started Worker")
	require.Equal(t, "default", decode(t, out)["labels.Namespace"])
}

// decode reads the one line that was written and empties out.
func decode(t *testing.T, out *bytes.Buffer) map[string]any {
	t.Helper()

	require.Equal(t, 1, strings.Count(out.String(), "\n"), out.String())
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	out.Reset()
	return line
}
