package config

import (
	"cmp"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
)

// FileVariable is the environment variable that names the configuration file
// when no file is named explicitly.
const FileVariable = "DRAKKAR_CONFIG"

// LoadOptions say where the configuration is.
type LoadOptions struct {
	// Path of the file. Empty means the one which DRAKKAR_CONFIG in Environ
	// names, and no file when that is empty too.
	Path string

	// Environ is the environment, in the form of os.Environ. Nil means none.
	Environ []string
}

// Load reads the file and the environment.
//
// A setting of the environment wins over the file, and the file over the
// default. What follows from other settings is filled in, see
// [Config.Complete], and the result is valid, see [Config.Validate]. All that
// is wrong with the configuration is reported at once, as [Problems]; another
// error means that the file cannot be read. Warnings name settings that have
// no effect; they are returned in any case.
func Load(opts LoadOptions) (*Config, []Warning, error) {
	path := cmp.Or(opts.Path, newExpander(opts.Environ).vars[FileVariable])
	if path == "" {
		return Parse(nil, "", opts.Environ)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return Parse(data, path, opts.Environ)
}

// Parse is Load for a file which was read already; name is what problems call
// it.
func Parse(data []byte, name string, environ []string) (*Config, []Warning, error) {
	l := loader{findings: newFindings(), expand: newExpander(environ)}
	l.readFile(data, name)
	l.readEnvironment(environ)
	cfg := l.decode()
	l.refuseStrays(cfg)
	if err := l.problems.err(); err != nil {
		return nil, l.warnings, err
	}
	return cfg, l.warnings, nil
}

// Default is the configuration of an empty file and environment, except for
// what follows from other settings: change it as needed and call
// [Config.Complete] for that.
func Default() *Config {
	cfg := DefaultOf[Config]()
	return &cfg
}

// DefaultOf is a section with its defaults, for instance a sink that a program
// or a test adds to a configuration.
func DefaultOf[T any]() T {
	var section T
	newDecoder(newFindings()).section(reflect.ValueOf(&section).Elem(), path{})
	return section
}

// Complete fills in what follows from other settings and was not set: the name
// of the pipeline, the dead letter queue's topic when there is a single source
// topic, the brokers of it and of sinks, and the attempts of HTTP sinks that
// count retries. Doing it twice changes nothing.
func (c *Config) Complete() {
	c.Pipeline = cmp.Or(c.Pipeline, c.Kafka.ConsumerGroup)
	c.Debug.AuthToken = strings.TrimSpace(c.Debug.AuthToken)
	if c.DLQ.Dir == "" {
		c.completeDLQ()
	}
	for name, sink := range c.Sinks.Kafka {
		if sink.Brokers == "" {
			sink.Brokers, sink.Security = c.Kafka.Brokers, c.Kafka.Security
			c.Sinks.Kafka[name] = sink
		}
	}
	for name, sink := range c.Sinks.HTTP {
		if sink.MaxRetries != nil {
			sink.Delivery.MaxAttempts, sink.MaxRetries = *sink.MaxRetries+1, nil
			c.Sinks.HTTP[name] = sink
		}
	}
}

func (c *Config) completeDLQ() {
	if c.DLQ.Topic == "" && c.Kafka.isOne() {
		c.DLQ.Topic = c.DLQ.TopicOf(c.Kafka.Topics()[0])
	}
	if c.DLQ.Brokers == "" {
		c.DLQ.Brokers, c.DLQ.Security = c.Kafka.Brokers, c.Kafka.Security
	}
}

// Validate reports all that is wrong with a configuration, as [Problems]. Load
// has done so; call it again after a change.
func (c *Config) Validate() error {
	v := newValidator(newFindings(), nil)
	v.config(c)
	return v.problems.err()
}

// loader holds what is known while a configuration is loaded.
type loader struct {
	*findings
	expand *expander
}

func (l loader) decode() *Config {
	d := newDecoder(l.findings)
	cfg := &Config{}
	d.section(reflect.ValueOf(cfg).Elem(), path{})
	v := newValidator(l.findings, d.origins)
	// Before Complete, which copies settings: a problem is told once, where it
	// was made.
	v.loaded(cfg)
	v.config(cfg)
	cfg.Complete()
	return cfg
}

// refuseStrays reports the variables that are no settings. One that the file
// itself uses by name is none either, but known.
func (l loader) refuseStrays(cfg *Config) {
	for _, stray := range l.strays {
		if l.expand.used[stray.Key] || slices.Contains([]string{cfg.WorkerNameEnv, cfg.ClusterNameEnv}, stray.Key) {
			continue
		}
		l.problems = append(l.problems, stray)
	}
}
