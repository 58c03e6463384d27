package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/drakkar-go/drakkar/integration/services"
)

// world is everything the demo has started.
type world struct {
	goroot   string
	programs []running
	ends     []func() error // last first
}

// running is a process and the port of its metrics.
type running struct {
	*services.Program
	port int
}

// alive returns the first program that has ended by itself.
func (w *world) alive() error {
	for _, p := range w.programs {
		if err := p.Alive(); err != nil {
			return err
		}
	}
	return nil
}

// start starts everything and prints where it is.
func (d *demo) start(ctx context.Context) error {
	logs := filepath.Join(d.o.dir, "logs")
	for _, dir := range []string{logs, filepath.Join(d.o.dir, "out"), filepath.Join(d.o.dir, "bin"), filepath.Join(d.o.dir, "store")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", dir, err)
		}
	}
	home, err := services.NewHome(func(m string) { fmt.Fprintln(d.out, m) })
	if err != nil {
		return err
	}
	if err := d.build(ctx); err != nil {
		return err
	}
	kafkaAddr, err := d.startKafka()
	if err != nil {
		return err
	}
	t := topics{
		source: "search-requests-" + d.run, results: "search-results-" + d.run, letters: "search-requests-" + d.run + "_dlq",
		group: "drakkar-demo-" + d.run, partitions: d.o.partitions,
	}
	if d.broker, err = openBroker(ctx, kafkaAddr, t, d.ledger); err != nil {
		return err
	}
	d.world.ends = append(d.world.ends, d.broker.close)
	temporal, err := d.startTemporal(ctx, home)
	if err != nil {
		return err
	}
	if err := d.configure(kafkaAddr, temporal, t); err != nil {
		return err
	}
	if err := d.startPrograms(); err != nil {
		return err
	}
	d.tell(kafkaAddr, temporal, t)
	return nil
}

// build builds the two programs. The cache of Go makes the second time quick.
func (d *demo) build(ctx context.Context) error {
	fmt.Fprintln(d.out, "building ingest and the search executor")
	for name, pkg := range map[string]string{
		"ingest": "github.com/drakkar-go/drakkar/cmd/ingest",
		"search": "github.com/drakkar-go/drakkar/examples/search",
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(d.o.dir, "bin", name), pkg)
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", pkg, err, text)
		}
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("asking Go for its root: %w", err)
	}
	d.world.goroot = strings.TrimSpace(string(root))
	return nil
}

func (d *demo) startKafka() (string, error) {
	if d.o.kafka != "" {
		return d.o.kafka, nil
	}
	addr, stop, err := embedded(0)
	if err != nil {
		return "", err
	}
	d.world.ends = append(d.world.ends, func() error { stop(); return nil })
	return addr, nil
}

// temporalAt is where Temporal is.
type temporalAt struct{ addr, namespace, ui string }

func (d *demo) startTemporal(ctx context.Context, home services.Home) (temporalAt, error) {
	if d.o.temporal != "" {
		return temporalAt{addr: d.o.temporal, namespace: d.o.namespace}, nil
	}
	ui, err := freePort()
	if err != nil {
		return temporalAt{}, err
	}
	fmt.Fprintln(d.out, "starting Temporal")
	t, err := services.StartTemporal(ctx, services.TemporalConfig{
		Home: home, Dir: filepath.Join(d.o.dir, "temporal"), UIPort: ui,
	})
	if err != nil {
		return temporalAt{}, err
	}
	d.world.ends = append(d.world.ends, t.Stop)
	return temporalAt{addr: t.Addr(), namespace: t.Namespace(), ui: fmt.Sprintf("http://localhost:%d", ui)}, nil
}

func freePort() (int, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	defer l.Close()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("finding a free port: not a TCP address")
	}
	return addr.Port, nil
}

// settings are the demo's drakkar.yaml, the same file for all processes.
const settings = `# Written by the demo.
kafka:
  brokers: %q
  source_topic: %q
  consumer_group: %q
temporal:
  address: %q
  namespace: %q
ingest:
  min_retention: 1h
executor:
  binary_path: grep
  max_executors: %d
windows:
  store: %q
sinks:
  kafka:
    results:
      topic: %q
  filesystem:
    requests:
      base_path: %q
dlq:
  topic: %q
`

func (d *demo) config() string { return filepath.Join(d.o.dir, "drakkar.yaml") }

func (d *demo) configure(kafkaAddr string, t temporalAt, names topics) error {
	text := fmt.Sprintf(settings, kafkaAddr, names.source, names.group, t.addr, t.namespace, d.o.slots,
		filepath.Join(d.o.dir, "store"), names.results, filepath.Join(d.o.dir, "out"), names.letters)
	if err := os.WriteFile(d.config(), []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing the demo's settings: %w", err)
	}
	return nil
}

func (d *demo) startPrograms() error {
	if err := d.startProgram("ingest", "ingest"); err != nil {
		return err
	}
	for i := range d.o.executors {
		if err := d.startProgram(fmt.Sprintf("executor-%d", i+1), "search"); err != nil {
			return err
		}
	}
	return nil
}

// startProgram starts one process, on a free port, so that several demos fit on
// a host.
func (d *demo) startProgram(name, binary string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	p, err := services.StartProgram(services.ProgramConfig{
		Name: name, Binary: filepath.Join(d.o.dir, "bin", binary), Args: []string{"-config", d.config()},
		Env: []string{
			"WORKER_ID=" + name,
			fmt.Sprintf("DRAKKAR_METRICS__PORT=%d", port), fmt.Sprintf("DRAKKAR_INGEST__METRICS_PORT=%d", port),
		},
		Log: filepath.Join(d.o.dir, "logs", name+".log"),
	})
	if err != nil {
		return err
	}
	d.world.programs = append(d.world.programs, running{p, port})
	d.world.ends = append(d.world.ends, p.Stop)
	return nil
}

// tell prints where everything is.
func (d *demo) tell(kafkaAddr string, t temporalAt, names topics) {
	fmt.Fprintf(d.out, "Kafka            %s, %s -> %s\n", kafkaAddr, names.source, names.results)
	fmt.Fprintf(d.out, "Temporal         %s, namespace %s\n", t.addr, t.namespace)
	if t.ui != "" {
		fmt.Fprintf(d.out, "Temporal web UI  %s/namespaces/%s/workflows\n", t.ui, t.namespace)
	}
	for _, p := range d.world.programs {
		fmt.Fprintf(d.out, "%-16s pid %d, http://localhost:%d/metrics and /readyz\n", p.Name(), p.PID(), p.port)
	}
	fmt.Fprintf(d.out, "settings, logs   %s\n", d.o.dir)
	fmt.Fprintf(d.out, "JSON lines       %s\n", filepath.Join(d.o.dir, "out", "requests.jsonl"))
}

// end stops everything, the last first.
func (d *demo) end() error {
	var errs []error
	for _, end := range slices.Backward(d.world.ends) {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}
