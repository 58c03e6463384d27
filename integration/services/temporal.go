package services

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	// TemporalNamespaceDefault is the namespace that pipelines use.
	TemporalNamespaceDefault = "drakkar"

	// TemporalRetentionDefault is ingest.min_retention and some more. The
	// development server's own is one day.
	TemporalRetentionDefault = 8 * 24 * time.Hour
)

// probeTimeout bounds one question whether a service answers.
const probeTimeout = 3 * time.Second

var errProbe = errors.New("the service did not answer the probe in time")

// TemporalConfig says how to run a development server.
type TemporalConfig struct {
	Home Home

	// Dir holds the log and the database. Required.
	Dir string

	// Port of the frontend; 0 takes a free one.
	Port int

	// UIPort serves Temporal's web UI; 0 leaves it out.
	UIPort int

	// Namespace is made. Defaults to TemporalNamespaceDefault.
	Namespace string

	// Retention of the namespace. Defaults to TemporalRetentionDefault.
	Retention time.Duration

	// DynamicConfig is added to the server's dynamic configuration and wins
	// over what is set here. Values are JSON.
	DynamicConfig map[string]string
}

// dynamicConfig is what a server with one shard needs. Its transfer queue is
// polled 20 times a second by default, so every step of a workflow would wait
// up to 50 ms; at 1,000 the server is busy with polling.
var dynamicConfig = map[string]string{
	"history.transferProcessorMaxPollRPS":  "100",
	"matching.numTaskqueueReadPartitions":  "1",
	"matching.numTaskqueueWritePartitions": "1",
	"system.enableActivityEagerExecution":  "true",
	"system.namespaceCacheRefreshInterval": `"1s"`,
}

// Temporal is a development server.
type Temporal struct {
	cfg    TemporalConfig
	binary string
	port   int
	*process
}

// StartTemporal builds the Temporal CLI if need be, starts a server and
// returns once the namespace can be used.
func StartTemporal(ctx context.Context, cfg TemporalConfig) (*Temporal, error) {
	if cfg.Namespace == "" {
		cfg.Namespace = TemporalNamespaceDefault
	}
	if cfg.Retention == 0 {
		cfg.Retention = TemporalRetentionDefault
	}
	binary, err := InstallTemporal(ctx, cfg.Home)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("making Temporal's directory: %w", err)
	}
	t := &Temporal{cfg: cfg, binary: binary}
	for attempt := 1; ; attempt++ {
		err := t.startOnce(ctx)
		if err == nil {
			return t, nil
		}
		if cfg.Port != 0 || !errors.Is(err, errEnded) || attempt == startAttempts {
			return nil, err
		}
	}
}

// startOnce chooses a port and starts.
func (t *Temporal) startOnce(ctx context.Context) error {
	t.port = t.cfg.Port
	if t.port == 0 {
		ports, err := freePorts(1)
		if err != nil {
			return err
		}
		t.port = ports[0]
	}
	return t.launch(ctx)
}

// Addr is the frontend's address, host:port. It stays the same over Restart.
func (t *Temporal) Addr() string { return loopback(t.port) }

// Namespace is the namespace that was made.
func (t *Temporal) Namespace() string { return t.cfg.Namespace }

// Log is the path of the server's log.
func (t *Temporal) Log() string { return filepath.Join(t.cfg.Dir, "temporal.log") }

// Stop ends the server in an orderly way.
func (t *Temporal) Stop() error { return t.stop() }

// Kill ends the server with SIGKILL.
func (t *Temporal) Kill() error { return t.kill() }

// Alive returns an error with the end of the log when the server has ended.
func (t *Temporal) Alive() error { return t.alive() }

// Restart starts the server again after Stop or Kill, at the same address, and
// returns once the namespace can be used.
func (t *Temporal) Restart(ctx context.Context) error { return t.launch(ctx) }

// launch starts the server and waits for it.
func (t *Temporal) launch(ctx context.Context) error {
	p, err := start("temporal", t.Log(), t.binary, t.args()...)
	if err != nil {
		return err
	}
	t.process = p
	if err := p.wait(ctx, t.prepare); err != nil {
		return errors.Join(err, p.kill())
	}
	return nil
}

func (t *Temporal) args() []string {
	args := []string{
		"server", "start-dev", "--ip", "127.0.0.1", "--port", strconv.Itoa(t.port),
		"--namespace", t.cfg.Namespace, "--log-level", "warn",
		// A database in memory is gone with its last connection, and a request
		// that times out on a busy machine closes one. What a killed process
		// has written to a file is safe without any sync.
		"--db-filename", filepath.Join(t.cfg.Dir, "temporal.db"),
		"--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=0",
	}
	if t.cfg.UIPort == 0 {
		args = append(args, "--headless")
	} else {
		args = append(args, "--ui-port", strconv.Itoa(t.cfg.UIPort))
	}
	values := maps.Clone(dynamicConfig)
	maps.Copy(values, t.cfg.DynamicConfig)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		args = append(args, "--dynamic-config-value", key+"="+values[key])
	}
	return args
}

// prepare gives the namespace its retention, once the server answers.
func (t *Temporal) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, errProbe)
	defer cancel()

	namespaces, err := client.NewNamespaceClient(client.Options{HostPort: t.Addr()})
	if err != nil {
		return fmt.Errorf("connecting to Temporal: %w", err)
	}
	defer namespaces.Close()
	described, err := namespaces.Describe(ctx, t.cfg.Namespace)
	if err != nil {
		return fmt.Errorf("asking for namespace %s: %w", t.cfg.Namespace, err)
	}
	if described.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration() == t.cfg.Retention {
		return nil
	}
	err = namespaces.Update(ctx, &workflowservice.UpdateNamespaceRequest{
		Namespace: t.cfg.Namespace,
		Config:    &namespace.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(t.cfg.Retention)},
	})
	if err != nil {
		return fmt.Errorf("setting the retention of namespace %s: %w", t.cfg.Namespace, err)
	}
	return nil
}
