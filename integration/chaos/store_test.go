package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/drakkar-go/drakkar/integration/services/servicestest"
)

// A row more than there should be is seen in each database, and so is one that
// is missing.
func TestStores_SeeDoubles(t *testing.T) {
	t.Parallel()

	w := &world{postgresURL: servicestest.Postgres(t), mongoURL: servicestest.Mongo(t), redisURL: servicestest.Redis(t)}
	group := fmt.Sprintf("doubles-%d", time.Now().UnixNano())
	stores, err := openStores(t.Context(), w, t.TempDir(), group)
	require.NoError(t, err)
	require.Len(t, stores, 4)

	for _, s := range stores {
		t.Cleanup(func() { require.NoError(t, s.close()) })
		put, known := map[string]func(id string, n int) error{
			"postgres": func(id string, n int) error {
				p := s.(*postgresStore)
				return p.do(t.Context(), func(conn *pgx.Conn) error {
					_, err := conn.Exec(t.Context(), "INSERT INTO "+p.quoted()+" (id, n) VALUES ($1, $2)", id, n)
					return err
				})
			},
			"mongo": func(id string, n int) error {
				_, err := s.(*mongoStore).db.Collection(storeCollection).InsertOne(t.Context(), bson.M{"_id": id, "n": n})
				return err
			},
			"redis": func(id string, n int) error {
				return s.(*redisStore).client.Set(t.Context(), group+":"+id, fmt.Sprintf(`{"n":%d}`, n), redis.KeepTTL).Err()
			},
		}[s.name()]
		if !known {
			continue // see TestSQLiteStore
		}
		t.Run(s.name(), func(t *testing.T) {
			t.Parallel()

			require.Equal(t, tally{}, read(t, s))
			require.NoError(t, put("in/0/1", 1))
			require.NoError(t, put("in/0/2", 2))
			require.NoError(t, put("in/0/3", 2))
			require.Equal(t, tally{1: 1, 2: 2}, read(t, s))
		})
	}
}

func read(t *testing.T, s store) tally {
	t.Helper()

	rows := tally{}
	require.NoError(t, s.rows(t.Context(), func(n int) { rows[n]++ }))
	return rows
}
