package chaos

import (
	"context"
	"fmt"
	"strings"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
)

// store is a sink that keeps one row for a delivery id, and what can be read
// back of it. A further kind of store is one more of these, and its payload in
// receipts.
type store interface {
	// name is for the report's reader: sqlite.
	name() string

	// sink is the settings of the sink that writes to the store, as they stand
	// below "sinks".
	sink() section

	// rows calls each with the number that every row holds.
	rows(ctx context.Context, each func(n int)) error

	// close lets go of the store.
	close() error
}

// openStores makes the stores of one pipeline.
func openStores(ctx context.Context, w *world, dir, group string) (out []store, err error) {
	for _, open := range []func() (store, error){
		func() (store, error) { return newSQLiteStore(dir) },
		func() (store, error) { return newPostgresStore(ctx, w.postgresURL, group) },
		func() (store, error) { return newMongoStore(w.mongoURL, group) },
		func() (store, error) { return newRedisStore(w.redisURL, group) },
	} {
		s, err := open()
		if err != nil {
			return out, fmt.Errorf("making a store: %w", err)
		}
		out = append(out, s)
	}
	return out, nil
}

// tableOf is the name that the tables of a pipeline have, where they need one
// of their own.
func tableOf(group string) string { return strings.ReplaceAll(group, "-", "_") }

// receipts is the receipt of a task for each sink there is.
func receipts(cfg *config.Config, task drakkar.Task, data receipt) (out drakkar.CollectResult) {
	for name := range cfg.Sinks.Kafka {
		out.Kafka = append(out.Kafka, drakkar.KafkaPayload{Sink: name, Data: data})
	}
	for name := range cfg.Sinks.Filesystem {
		out.Files = append(out.Files, drakkar.FilePayload{Sink: name, Data: data, Path: storeFile})
	}
	for name := range cfg.Sinks.Postgres {
		out.Postgres = append(out.Postgres, drakkar.PostgresPayload{Sink: name, Data: data, Table: tableOf(cfg.Kafka.ConsumerGroup)})
	}
	for name := range cfg.Sinks.Mongo {
		out.Mongo = append(out.Mongo, drakkar.MongoPayload{Sink: name, Data: data, Collection: storeCollection})
	}
	for name := range cfg.Sinks.Redis {
		out.Redis = append(out.Redis, drakkar.RedisPayload{Sink: name, Data: data, Key: task.ID})
	}
	return out
}

// only leaves what is for one kind of sink; empty is all of them.
func only(kind string, all drakkar.CollectResult) (drakkar.CollectResult, error) {
	switch kind {
	case "":
		return all, nil
	case "kafka":
		return drakkar.CollectResult{Kafka: all.Kafka}, nil
	case "redis":
		return drakkar.CollectResult{Redis: all.Redis}, nil
	default:
		return drakkar.CollectResult{}, fmt.Errorf("receipts are for kafka, redis, or all sinks, not for %q", kind)
	}
}
