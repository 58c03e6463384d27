package config

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"strconv"
)

// Role is what a process does.
type Role string

// The roles. A program that hosts both has a name and ports for each.
const (
	RoleIngest   Role = "ingest"
	RoleExecutor Role = "executor"
)

// port is a setting that holds one.
type port struct {
	at     path
	number int
}

// WorkerName is the name of this process: the value of the variable that
// worker_name_env names, or else "<role>-<host>-<metrics port>", which stays
// the same over restarts. With a random port the process id stands for it.
func (c *Config) WorkerName(role Role, environ []string) string {
	if name := newExpander(environ).vars[c.WorkerNameEnv]; c.WorkerNameEnv != "" && name != "" {
		return name
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	metrics, _ := c.portSettings(role)
	return fmt.Sprintf("%s-%s-%d", role, host, cmp.Or(c.shifted(metrics.number), os.Getpid()))
}

// Cluster is the logical cluster: the value of the variable that
// cluster_name_env names, or else cluster_name. It may be empty.
func (c *Config) Cluster(environ []string) string {
	if c.ClusterNameEnv == "" {
		return c.ClusterName
	}
	return cmp.Or(newExpander(environ).vars[c.ClusterNameEnv], c.ClusterName)
}

// MetricsAddr is where a process of the role serves machines, on all
// interfaces, with ports.offset applied. Port 0 stays 0: the system chooses.
func (c *Config) MetricsAddr(role Role) string {
	metrics, _ := c.portSettings(role)
	return net.JoinHostPort("", strconv.Itoa(c.shifted(metrics.number)))
}

// DebugAddr is where a process of the role serves people, with ports.offset
// applied. Port 0 stays 0: the system chooses. It is empty when the pages are
// turned off.
func (c *Config) DebugAddr(role Role) string {
	if !c.Debug.Enabled {
		return ""
	}
	_, debug := c.portSettings(role)
	return net.JoinHostPort(c.Debug.Host, strconv.Itoa(c.shifted(debug.number)))
}

func (c *Config) portSettings(role Role) (metrics, debug port) {
	if role == RoleIngest {
		return port{setting("ingest.metrics_port"), c.Ingest.MetricsPort},
			port{setting("ingest.debug_port"), c.Ingest.DebugPort}
	}
	return port{setting("metrics.port"), c.Metrics.Port}, port{setting("debug.port"), c.Debug.Port}
}

func (c *Config) shifted(number int) int {
	if number == 0 {
		return 0
	}
	return number + c.Ports.Offset
}
