package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Summary is the configuration in one line, for the first line of the log and
// the head of the pages. It holds no secret.
func (c *Config) Summary(role Role, environ []string) string {
	metrics, debug := c.portSettings(role)
	fields := []string{
		fmt.Sprintf("[%s/%s]", c.WorkerName(role, environ), c.Cluster(environ)),
		"topic=" + c.Kafka.SourceTopic,
		"group=" + c.Kafka.ConsumerGroup,
		"pipeline=" + cmp.Or(c.Pipeline, c.Kafka.ConsumerGroup),
		"temporal=" + c.Temporal.Address + "/" + c.Temporal.Namespace,
		fmt.Sprintf("exec=%dw/%dwin", c.Executor.MaxExecutors, c.Executor.WindowSize),
		fmt.Sprintf("retries=%d/%s", c.Executor.MaxRetries, durationText(c.Executor.TaskTimeout)),
		"debug=" + c.portText(c.Debug.Enabled, debug),
		"cache=off",
		"metrics=" + c.portText(c.Metrics.Enabled, metrics),
		"dlq=" + cmp.Or(c.DLQ.Dir, c.DLQ.TopicOf(c.Kafka.SourceTopic)),
		"sinks=" + c.Sinks.summary(),
		"log=" + c.Logging.Level,
	}
	return strings.Join(fields, " ")
}

func (c *Config) portText(on bool, p port) string {
	if !on {
		return "off"
	}
	return fmt.Sprint(c.shifted(p.number))
}

// summary names all sinks: "[kf:results pg:main,audit]", or "none".
func (s Sinks) summary() string {
	kinds := []struct {
		short string
		names []string
	}{
		{"kf", slices.Sorted(maps.Keys(s.Kafka))},
		{"pg", slices.Sorted(maps.Keys(s.Postgres))},
		{"mg", slices.Sorted(maps.Keys(s.Mongo))},
		{"http", slices.Sorted(maps.Keys(s.HTTP))},
		{"rd", slices.Sorted(maps.Keys(s.Redis))},
		{"fs", slices.Sorted(maps.Keys(s.Filesystem))},
		{"custom", slices.Sorted(maps.Keys(s.Custom))},
	}
	var parts []string
	for _, k := range kinds {
		if len(k.names) > 0 {
			parts = append(parts, k.short+":"+strings.Join(k.names, ","))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return "[" + strings.Join(parts, " ") + "]"
}
