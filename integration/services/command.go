package services

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Default ports of services up: those that the configuration's defaults
// expect.
const (
	kafkaPortDefault      = 9092
	mongoPortDefault      = 27017
	postgresPortDefault   = 5432
	redisPortDefault      = 6379
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
	flags.IntVar(&ports.Mongo, "mongo-port", mongoPortDefault, "port of FerretDB, 0 for a free one")
	flags.IntVar(&ports.Postgres, "postgres-port", postgresPortDefault, "port of PostgreSQL, 0 for a free one")
	flags.IntVar(&ports.Redis, "redis-port", redisPortDefault, "port of Redis, 0 for a free one")
	flags.IntVar(&ports.Temporal, "temporal-port", temporalPortDefault, "port of Temporal, 0 for a free one")
	flags.IntVar(&ports.TemporalUI, "temporal-ui-port", temporalUIPortDefault, "port of Temporal's web UI, 0 for none")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("reading the flags: %w", err)
	}
	g, err := Up(ctx, h, ports, expand(flags.Args()))
	if err != nil {
		return err
	}
	all := g.services()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(os.Stdout, "%-9s %s  log %s\n", name, all[name].Addr(), all[name].Log())
	}
	<-ctx.Done()
	return g.Down()
}

// expand reads names, which may also be joined by commas: "all" is every
// service, and nothing at all means those that Drakkar cannot do without.
func expand(args []string) []string {
	var names []string
	for _, arg := range args {
		names = append(names, strings.Split(arg, ",")...)
	}
	switch {
	case len(names) == 0:
		return []string{NameKafka, NameTemporal}
	case slices.Contains(names, "all"):
		return every
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}
