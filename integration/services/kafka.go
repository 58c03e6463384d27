package services

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// startAttempts is how often a start is tried when ports were chosen here: an
// other process may take one between the choice and the start.
const startAttempts = 3

// clusterID is any 16 bytes in base64, as the broker wants them.
const clusterID = "ZHJha2thci1zZXJ2aWNlcw"

// KafkaConfig says how to run a broker.
type KafkaConfig struct {
	Home Home

	// Dir holds data, configuration and log. Required. A broker that was run
	// in it before goes on with its data.
	Dir string

	// Port of the broker; 0 takes a free one.
	Port int

	// Properties are added to the broker's configuration and win over it.
	Properties map[string]string

	// Secure adds a second listener, with TLS and passwords. Nil adds none.
	Secure *KafkaSecurity
}

// KafkaSecurity is what the broker shows and asks for at its secure listener.
type KafkaSecurity struct {
	// Identity is the broker's certificate and its key (PKCS #8), and Clients
	// the authority of the clients' certificates, which they have to show. PEM.
	Identity, Clients []byte

	// Username and Password log in, by SASL PLAIN.
	Username, Password string
}

// Kafka is one broker without replication, with topics of 4 partitions which
// are made when they are first used.
type Kafka struct {
	cfg   KafkaConfig
	lib   string
	ports []int // of the broker, of its controller, and of its secure listener
	*process
}

// StartKafka installs Kafka if need be, starts a broker and returns once it
// answers. Installing needs a JDK from version 17 on and Maven; as root on
// Debian they are installed too.
func StartKafka(ctx context.Context, cfg KafkaConfig) (*Kafka, error) {
	lib, err := InstallKafka(ctx, cfg.Home)
	if err != nil {
		return nil, err
	}
	k := &Kafka{cfg: cfg, lib: lib}
	for attempt := 1; ; attempt++ {
		err := k.startOnce(ctx)
		if err == nil {
			return k, nil
		}
		if cfg.Port != 0 || !errors.Is(err, errEnded) || attempt == startAttempts {
			return nil, err
		}
	}
}

// startOnce chooses ports and starts.
func (k *Kafka) startOnce(ctx context.Context) error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	if k.cfg.Port != 0 {
		ports[0] = k.cfg.Port
	}
	k.ports = ports
	if err := k.format(ctx); err != nil {
		return err
	}
	return k.launch(ctx)
}

// Addr is the broker's address, host:port. It stays the same over Restart.
func (k *Kafka) Addr() string { return loopback(k.ports[0]) }

// SecureAddr is the address of the secure listener, host:port.
func (k *Kafka) SecureAddr() string { return loopback(k.ports[2]) }

// Log is the path of the broker's log.
func (k *Kafka) Log() string { return filepath.Join(k.cfg.Dir, "kafka.log") }

// Stop ends the broker in an orderly way.
func (k *Kafka) Stop() error { return k.stop() }

// Kill ends the broker with SIGKILL.
func (k *Kafka) Kill() error { return k.kill() }

// Alive returns an error with the end of the log when the broker has ended.
func (k *Kafka) Alive() error { return k.alive() }

// Restart starts the broker again after Stop or Kill, on the same data and at
// the same address, and returns once it answers.
func (k *Kafka) Restart(ctx context.Context) error { return k.launch(ctx) }

// format prepares the data directory of a broker that was never run.
func (k *Kafka) format(ctx context.Context) error {
	if err := os.MkdirAll(k.cfg.Dir, 0o755); err != nil {
		return fmt.Errorf("making Kafka's directory: %w", err)
	}
	if err := os.WriteFile(k.propertiesPath(), []byte(k.properties()), 0o600); err != nil {
		return fmt.Errorf("writing Kafka's configuration: %w", err)
	}
	if s := k.cfg.Secure; s != nil {
		for path, pem := range map[string][]byte{k.identityPath(): s.Identity, k.clientsPath(): s.Clients} {
			if err := os.WriteFile(path, pem, 0o600); err != nil {
				return fmt.Errorf("writing Kafka's certificates: %w", err)
			}
		}
	}
	return k.cfg.Home.run(ctx, tool{
		doing: "formatting Kafka's data directory", name: "java",
		args: []string{
			"-XX:TieredStopAtLevel=1", "-cp", k.classPath(), "kafka.tools.StorageTool",
			"format", "--ignore-formatted", "-t", clusterID, "-c", k.propertiesPath(),
		},
	})
}

// launch starts the broker and waits for it.
func (k *Kafka) launch(ctx context.Context) error {
	p, err := start("kafka", k.Log(), "java", "-Xmx512m", "-XX:+UseSerialGC", "-cp", k.classPath(), "kafka.Kafka", k.propertiesPath())
	if err != nil {
		return err
	}
	k.process = p
	if err := p.wait(ctx, k.answers); err != nil {
		return errors.Join(err, p.kill())
	}
	return nil
}

// answers asks the broker for its metadata.
func (k *Kafka) answers(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Addr()))
	if err != nil {
		return fmt.Errorf("making a Kafka client: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, errProbe)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		return fmt.Errorf("asking the broker: %w", err)
	}
	return nil
}

func (k *Kafka) propertiesPath() string { return filepath.Join(k.cfg.Dir, "server.properties") }

func (k *Kafka) identityPath() string { return filepath.Join(k.cfg.Dir, "identity.pem") }

func (k *Kafka) clientsPath() string { return filepath.Join(k.cfg.Dir, "clients.pem") }

func (k *Kafka) classPath() string { return filepath.Join(k.lib, "*") }

func (k *Kafka) properties() string {
	broker, controller := loopback(k.ports[0]), loopback(k.ports[1])
	properties := map[string]string{
		"process.roles": "broker,controller",
		"node.id":       "1",
		// A fixed quorum, not a dynamic one: that would keep the controller's
		// port in the data.
		"controller.quorum.voters":                 "1@" + controller,
		"controller.listener.names":                "CONTROLLER",
		"listeners":                                "PLAINTEXT://" + broker + ",CONTROLLER://" + controller,
		"advertised.listeners":                     "PLAINTEXT://" + broker,
		"listener.security.protocol.map":           "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs":                                 filepath.Join(k.cfg.Dir, "data"),
		"num.partitions":                           "4",
		"offsets.topic.num.partitions":             "1",
		"offsets.topic.replication.factor":         "1",
		"transaction.state.log.num.partitions":     "1",
		"transaction.state.log.replication.factor": "1",
		"transaction.state.log.min.isr":            "1",
		"group.initial.rebalance.delay.ms":         "0",
		// A killed broker is let in again only when its session is over.
		"broker.session.timeout.ms":    "4000",
		"broker.heartbeat.interval.ms": "1000",
	}
	k.secure(properties)
	maps.Copy(properties, k.cfg.Properties)
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&text, "%s=%s\n", key, properties[key])
	}
	return text.String()
}

// secure adds the secure listener.
func (k *Kafka) secure(properties map[string]string) {
	s := k.cfg.Secure
	if s == nil {
		return
	}
	listener := ",SECURE://" + k.SecureAddr()
	properties["listeners"] += listener
	properties["advertised.listeners"] += listener
	properties["listener.security.protocol.map"] += ",SECURE:SASL_SSL"
	maps.Copy(properties, map[string]string{
		"inter.broker.listener.name": "PLAINTEXT",
		"ssl.keystore.type":          "PEM",
		"ssl.keystore.location":      k.identityPath(),
		"ssl.truststore.type":        "PEM",
		"ssl.truststore.location":    k.clientsPath(),
		"ssl.client.auth":            "required",
		// Otherwise TLS at a listener with SASL asks for no certificate.
		"listener.name.secure.ssl.client.auth":         "required",
		"listener.name.secure.sasl.enabled.mechanisms": "PLAIN",
		"listener.name.secure.plain.sasl.jaas.config": fmt.Sprintf(
			"org.apache.kafka.common.security.plain.PlainLoginModule required user_%s=\"%s\";", s.Username, s.Password),
	})
}
