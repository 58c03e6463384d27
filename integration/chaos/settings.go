package chaos

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// topics are the names of one pipeline.
type topics struct {
	source, results, letters string
	group                    string // and the pipeline's name
}

func topicsOf(name string) topics {
	return topics{source: name + "-in", results: name + "-out", letters: name + "-dlq", group: name}
}

// section is a part of the settings.
type section = map[string]any

// settings are drakkar.yaml of all processes. Everything that is not here has
// its default.
func (r *round) settings(task string) section {
	sinks := section{"kafka": section{"results": section{"topic": r.topics.results}}}
	for _, s := range r.stores {
		maps.Copy(sinks, s.sink())
	}
	kafka := section{"brokers": r.world.kafkaAddr, "source_topic": r.topics.source, "consumer_group": r.topics.group}
	if r.session > 0 {
		kafka["session_timeout"], kafka["heartbeat_interval"] = r.session.String(), (r.session / 4).String()
	}
	return section{
		"kafka":    kafka,
		"temporal": section{"address": r.world.temporalAddr, "namespace": r.world.namespace},
		"ingest":   section{"metrics_port": 0},
		"metrics":  section{"port": 0},
		"executor": section{
			"binary_path": task, "max_executors": r.slots,
			"env": section{envLog: r.path("executions.log")},
		},
		"windows": section{"store": r.path("blobs")},
		"sinks":   sinks,
		"dlq":     section{"topic": r.topics.letters},
	}
}

// configure builds the task program and writes the settings.
func (r *round) configure(ctx context.Context) (config string, err error) {
	for _, dir := range []string{"blobs", "logs"} {
		if err := os.MkdirAll(r.path(dir), 0o755); err != nil {
			return "", fmt.Errorf("making %s: %w", dir, err)
		}
	}
	task := r.path("task")
	build := exec.CommandContext(ctx, "go", "build", "-o", task, "github.com/drakkar-go/drakkar/integration/chaos/task")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the task program: %w\n%s", err, text)
	}
	text, err := yaml.Marshal(r.settings(task))
	if err != nil {
		return "", fmt.Errorf("encoding the settings: %w", err)
	}
	config = r.path("drakkar.yaml")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return "", fmt.Errorf("writing the settings: %w", err)
	}
	return config, nil
}

func (r *round) path(name string) string { return filepath.Join(r.dir, name) }
