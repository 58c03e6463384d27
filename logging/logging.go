// Package logging makes the logger of a process and writes the lines about
// what happens to messages.
//
// JSON lines have the names of the Elastic Common Schema, so that log stores
// know them without a mapping; the console format is for people. Nothing that
// comes from the environment, from connection strings or from a task's
// arguments is ever written.
package logging

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/drakkar-go/drakkar/config"
)

// Identity is what every line says about its process. Empty fields are left
// out.
type Identity struct {
	// Worker is the name of the process.
	Worker string
	// Cluster is the logical cluster it belongs to.
	Cluster string
	// Role is ingest, executor, or the name of a command.
	Role string
	// Version is that of the program.
	Version string
	// Group is the Kafka consumer group.
	Group string
}

// levels are the names that logging.level may have, in lower case.
var levels = map[string]zapcore.Level{
	"debug":   zapcore.DebugLevel,
	"info":    zapcore.InfoLevel,
	"warn":    zapcore.WarnLevel,
	"warning": zapcore.WarnLevel,
	"error":   zapcore.ErrorLevel,
}

// New makes the logger that cfg describes. The function it returns writes out
// what is left and closes the output; nothing may be logged after it.
func New(cfg config.Logging, id Identity) (*zap.Logger, func() error, error) {
	level, ok := levels[strings.ToLower(cfg.Level)]
	if !ok {
		return nil, nil, fmt.Errorf("logging.level: %q is none of DEBUG, INFO, WARN, WARNING, ERROR", cfg.Level)
	}
	newCore, ok := formats[cfg.Format]
	if !ok {
		return nil, nil, fmt.Errorf("logging.format: %q is none of json, console", cfg.Format)
	}
	out, closeOut, err := open(cfg.Output, id)
	if err != nil {
		return nil, nil, err
	}
	core := newCore(zapcore.Lock(out), level, id)
	return zap.New(core, zap.AddStacktrace(zapcore.DPanicLevel)), closeOut, nil
}

// formats are the values of logging.format.
var formats = map[string]func(zapcore.WriteSyncer, zapcore.Level, Identity) zapcore.Core{
	"json":    newECSCore,
	"console": newConsoleCore,
}

// open opens logging.output.
func open(output string, id Identity) (zapcore.WriteSyncer, func() error, error) {
	switch output {
	case "stderr", "":
		return os.Stderr, func() error { return nil }, nil
	case "stdout":
		return os.Stdout, func() error { return nil }, nil
	}
	path := strings.NewReplacer(
		"{worker_id}", fileName(id.Worker),
		"{cluster_name}", fileName(id.Cluster),
	).Replace(output)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, nil, fmt.Errorf("making the directory of logging.output: %w", err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("opening logging.output: %w", err)
	}
	return file, func() error { return errors.Join(file.Sync(), file.Close()) }, nil
}

// fileName keeps a name from choosing another directory.
func fileName(name string) string {
	name = strings.NewReplacer("/", "_", `\`, "_").Replace(name)
	if name == "." || name == ".." {
		return "_"
	}
	return name
}
