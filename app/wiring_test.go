package app

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/executor"
)

// A setting that is read, checked and documented must also arrive. With every
// setting of the executor other than its zero value, nothing of what the pool
// and the activities are told may be zero.
func TestEverySettingArrives(t *testing.T) {
	t.Parallel()

	c := settings()
	c.Executor.BinaryPath, c.Executor.Env = "rg", map[string]string{"A": "b"}
	for name, got := range map[string]any{"pool": poolConfig(c.Executor), "activities": activityConfig(c)} {
		v := reflect.ValueOf(got)
		for i := range v.NumField() {
			if v.Field(i).Kind() == reflect.Bool || v.Type().Field(i).Name == "Environ" {
				continue // false says something; the environment is the process's
			}
			require.False(t, v.Field(i).IsZero(), "%s: %s is not taken from the settings", name, v.Type().Field(i).Name)
		}
	}
}

// Settings of one kind and like values are easily mixed up: each has a value of
// its own here.
func TestSettingsAreNotMixedUp(t *testing.T) {
	t.Parallel()

	c := settings()
	c.Executor.TaskTimeout, c.Executor.KillGrace = time.Second, 2*time.Second
	c.Executor.RetryInitialInterval, c.Executor.RetryMaxInterval, c.Executor.HeartbeatTimeout = 3*time.Second, 4*time.Second, 5*time.Second
	c.Hooks.InitialInterval, c.Hooks.MaxInterval, c.Hooks.Timeout = 6*time.Second, 7*time.Second, 8*time.Second
	c.Hooks.MaxAttempts, c.Executor.MaxRetries, c.Executor.MaxReplacementDepth = 11, 12, 13
	c.Executor.MaxExecutors, c.Executor.MaxOutputBytes = 14, 15
	c.Windows.Arrange, c.Windows.Collect = "local", "regular"

	c.Executor.Mode = "resident"
	c.Executor.Resident = config.Resident{Framing: "length", Args: []string{"a"}, StartTimeout: 9 * time.Second, MaxTasks: 16, MaxMemoryBytes: 17}
	pool := poolConfig(c.Executor)
	require.Equal(t, drakkar.ModeResident, pool.Mode)
	require.Equal(t, executor.Resident{Framing: "length", Args: []string{"a"}, StartTimeout: 9 * time.Second, MaxTasks: 16, MaxMemoryBytes: 17}, pool.Resident)
	require.Equal(t, []any{14, time.Second, 2 * time.Second, 15}, []any{pool.Slots, pool.TaskTimeout, pool.KillGrace, pool.MaxOutputBytes})
	acts := activityConfig(c)
	require.Equal(t, []any{3 * time.Second, 4 * time.Second, 5 * time.Second, 6 * time.Second, 7 * time.Second, 8 * time.Second}, []any{
		acts.RetryInitialInterval, acts.RetryMaxInterval, acts.HeartbeatTimeout, acts.HookInitialInterval, acts.HookMaxInterval, acts.HookTimeout,
	})
	require.Equal(t, []any{11, 12, 13, "local", "regular"}, []any{
		acts.HookMaxAttempts, acts.MaxRetries, acts.MaxReplacementDepth, acts.Arrange, acts.Collect,
	})
}
