package config

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestWorkerName(t *testing.T) {
	t.Parallel()

	host, err := os.Hostname()
	require.NoError(t, err)
	cfg := mustParse(t, "ports: {offset: 5}")
	require.Equal(t, "w", cfg.WorkerName(RoleExecutor, []string{"WORKER_ID=w"}))
	require.Equal(t, "executor-"+host+"-9095", cfg.WorkerName(RoleExecutor, []string{"WORKER_ID="}))
	require.Equal(t, "ingest-"+host+"-9096", cfg.WorkerName(RoleIngest, nil))

	cfg = mustParse(t, "worker_name_env: ''\nmetrics: {port: 0}")
	require.Equal(t, fmt.Sprintf("executor-%s-%d", host, os.Getpid()), cfg.WorkerName(RoleExecutor, []string{"=x"}))
}

func TestCluster(t *testing.T) {
	t.Parallel()

	cfg := mustParse(t, "cluster_name: blue")
	require.Equal(t, "blue", cfg.Cluster([]string{"=x"}))
	cfg.ClusterNameEnv = "CLUSTER"
	require.Equal(t, "green", cfg.Cluster([]string{"CLUSTER=green"}))
	require.Equal(t, "blue", cfg.Cluster([]string{"CLUSTER="}))
}

func TestAddresses(t *testing.T) {
	t.Parallel()

	cfg := mustParse(t, "ports: {offset: 100}\ningest: {debug_port: 0}")
	require.Equal(t, ":9190", cfg.MetricsAddr(RoleExecutor))
	require.Equal(t, ":9191", cfg.MetricsAddr(RoleIngest))
	require.Equal(t, "127.0.0.1:8180", cfg.DebugAddr(RoleExecutor))
	require.Equal(t, "127.0.0.1:0", cfg.DebugAddr(RoleIngest))
	cfg.Debug.Enabled = false
	require.Empty(t, cfg.DebugAddr(RoleExecutor))
}
