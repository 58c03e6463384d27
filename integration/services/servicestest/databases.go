package servicestest

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/drakkar-go/drakkar/integration/services"
)

// cleanupTimeout bounds what a test gives back at its end.
const cleanupTimeout = 30 * time.Second

// OwnKafka starts a broker that belongs to the test, which may kill it.
func OwnKafka(tb testing.TB) *services.Kafka {
	tb.Helper()
	return OwnSecureKafka(tb, nil)
}

// OwnSecureKafka is OwnKafka with a secure listener.
func OwnSecureKafka(tb testing.TB, secure *services.KafkaSecurity) *services.Kafka {
	tb.Helper()

	Kafka(tb)
	k, err := services.StartKafka(tb.Context(), services.KafkaConfig{Home: home(tb), Dir: tb.TempDir(), Secure: secure})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, k.Stop()) })
	return k
}

// OwnMongo starts a server that belongs to the test, which may kill it.
func OwnMongo(tb testing.TB) *services.Mongo {
	tb.Helper()

	Mongo(tb)
	s, err := services.StartMongo(tb.Context(), services.MongoConfig{Home: home(tb), Dir: tb.TempDir()})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Stop()) })
	return s
}

// OwnPostgres starts a server that belongs to the test, which may kill it.
func OwnPostgres(tb testing.TB) *services.Postgres {
	tb.Helper()

	Postgres(tb)
	s, err := services.StartPostgres(tb.Context(), services.PostgresConfig{Home: home(tb), Dir: tb.TempDir()})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Stop()) })
	return s
}

// OwnRedis starts a server that belongs to the test, which may kill it. Args
// are added to its command line.
func OwnRedis(tb testing.TB, args ...string) *services.Redis {
	tb.Helper()

	Redis(tb)
	s, err := services.StartRedis(tb.Context(), services.RedisConfig{Home: home(tb), Dir: tb.TempDir(), Args: args})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Stop()) })
	return s
}

func home(tb testing.TB) services.Home {
	tb.Helper()

	h, err := services.NewHome(func(m string) { tb.Log(m) })
	require.NoError(tb, err)
	return h
}

// PostgresSchema makes a schema in the database of the URL and returns a URL
// with which names that are not qualified mean that schema. It is dropped at
// the end of the test.
func PostgresSchema(tb testing.TB, server string) (dsn, schema string) {
	tb.Helper()

	schema = "t" + uuid.NewString()[:8]
	run := func(ctx context.Context, sql string) {
		conn, err := pgx.Connect(ctx, server)
		require.NoError(tb, err)
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, sql)
		require.NoError(tb, err)
	}
	run(tb.Context(), "CREATE SCHEMA "+schema)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), cleanupTimeout)
		defer cancel()
		run(ctx, "DROP SCHEMA "+schema+" CASCADE")
	})
	u, err := url.Parse(server)
	require.NoError(tb, err)
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String(), schema
}

// MongoDatabase returns a database that nobody else uses. It is dropped at the
// end of the test.
func MongoDatabase(tb testing.TB, server string) *mongo.Database {
	tb.Helper()

	client, err := mongo.Connect(options.Client().ApplyURI(server))
	require.NoError(tb, err)
	db := client.Database("t" + uuid.NewString()[:8])
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), cleanupTimeout)
		defer cancel()
		require.NoError(tb, db.Drop(ctx))
		require.NoError(tb, client.Disconnect(ctx))
	})
	return db
}
