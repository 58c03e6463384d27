package services_test

import (
	"bufio"
	"net"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/drakkar-go/drakkar/integration/services/servicestest"
)

// What was answered must be there after a crash, at the same address.
func TestMongo_SurvivesKill(t *testing.T) {
	t.Parallel()

	s := servicestest.OwnMongo(t)
	connect := func() *mongo.Collection {
		client, err := mongo.Connect(options.Client().ApplyURI(s.URL()))
		require.NoError(t, err)
		t.Cleanup(func() { _ = client.Disconnect(t.Context()) })
		return client.Database("d").Collection("c")
	}
	_, err := connect().InsertOne(t.Context(), bson.D{{Key: "_id", Value: "a"}})
	require.NoError(t, err)

	require.NoError(t, s.Kill())
	require.ErrorContains(t, s.Alive(), "it ended")
	require.NoError(t, s.Restart(t.Context()))
	n, err := connect().CountDocuments(t.Context(), bson.D{})
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

func TestPostgres_SurvivesKill(t *testing.T) {
	t.Parallel()

	s := servicestest.OwnPostgres(t)
	connect := func() *pgx.Conn {
		conn, err := pgx.Connect(t.Context(), s.URL())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(t.Context()) })
		return conn
	}
	_, err := connect().Exec(t.Context(), "CREATE TABLE kept AS SELECT 1 AS n")
	require.NoError(t, err)

	// Clients that stay connected keep the old server's processes alive for
	// a while.
	require.NoError(t, s.Kill())
	require.ErrorContains(t, s.Alive(), "it ended")
	require.NoError(t, s.Restart(t.Context()))
	var n int
	require.NoError(t, connect().QueryRow(t.Context(), "SELECT n FROM kept").Scan(&n))
	require.Equal(t, 1, n)

	require.NoError(t, s.Stop())
	require.NoError(t, s.Restart(t.Context()))
}

func TestPostgres_WantsThePassword(t *testing.T) {
	t.Parallel()

	s := servicestest.OwnPostgres(t)
	_, err := pgx.Connect(t.Context(), "postgres://drakkar:wrong@"+s.Addr()+"/postgres")
	require.ErrorContains(t, err, "28P01")
}

func TestRedis_SurvivesKill(t *testing.T) {
	t.Parallel()

	s := servicestest.OwnRedis(t, "--requirepass", "hush")
	ask := func(command string) string {
		conn, err := net.Dial("tcp", s.Addr())
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte("AUTH hush\r\n" + command + "\r\n"))
		require.NoError(t, err)
		answers := bufio.NewReader(conn)
		_, err = answers.ReadString('\n')
		require.NoError(t, err)
		answer, err := answers.ReadString('\n')
		require.NoError(t, err)
		return answer
	}
	for i := range 50 {
		require.Equal(t, "+OK\r\n", ask("SET key "+strconv.Itoa(i)))
	}
	require.NoError(t, s.Kill())
	require.ErrorContains(t, s.Alive(), "it ended")
	require.NoError(t, s.Restart(t.Context()))
	require.Equal(t, "$2\r\n", ask("GET key"))
}
