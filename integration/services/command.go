package services

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
)

// Default ports of services up: those that the configuration's defaults
// expect.
const (
	kafkaPortDefault      = 9092
	temporalPortDefault   = 7233
	temporalUIPortDefault = 8233
)

var errUsage = errors.New("usage: services install|up SERVICE..., or services run SERVICE... -- COMMAND")

// Command is the command line of the services command, without its name.
func Command(ctx context.Context, h Home, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	switch args[0] {
	case "install":
		return Install(ctx, h, expand(args[1:]))
	case "up":
		return up(ctx, h, args[1:])
	case "run":
		end := slices.Index(args, "--")
		if end < 0 {
			return errUsage
		}
		return Run(ctx, h, expand(args[1:end]), args[end+1:])
	}
	return errUsage
}

// up runs services until ctx ends.
func up(ctx context.Context, h Home, args []string) error {
	var ports Ports
	flags := flag.NewFlagSet("services up", flag.ContinueOnError)
	flags.IntVar(&ports.Kafka, "kafka-port", kafkaPortDefault, "port of the broker, 0 for a free one")
	flags.IntVar(&ports.Temporal, "temporal-port", temporalPortDefault, "port of Temporal, 0 for a free one")
	flags.IntVar(&ports.TemporalUI, "temporal-ui-port", temporalUIPortDefault, "port of Temporal's web UI, 0 for none")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("reading the flags: %w", err)
	}
	g, err := Up(ctx, h, ports, expand(flags.Args()))
	if err != nil {
		return err
	}
	if g.Kafka != nil {
		fmt.Fprintf(os.Stdout, "kafka     %s  log %s\n", g.Kafka.Addr(), g.Kafka.Log())
	}
	if g.Temporal != nil {
		fmt.Fprintf(os.Stdout, "temporal  %s  namespace %s  log %s\n", g.Temporal.Addr(), g.Temporal.Namespace(), g.Temporal.Log())
	}
	<-ctx.Done()
	return g.Down()
}

// expand replaces "all", and nothing at all, by every service.
func expand(names []string) []string {
	if len(names) == 0 || slices.Contains(names, "all") {
		return []string{NameKafka, NameTemporal}
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}
