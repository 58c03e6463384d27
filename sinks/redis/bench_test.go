package redis_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/redis"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

// benchBatch is the default of batch_size.
const benchBatch = 1000

// Payloads a second through the sink, beside a bare loop of pipelines of the
// driver against the same server.
func BenchmarkDeliver(b *testing.B) {
	server := servicestest.OwnRedis(b)
	batch := make([]sinks.Payload, benchBatch)
	for i := range batch {
		batch[i] = sinks.Payload{
			ID: fmt.Sprintf("orders~ab12/0/%d/m/0", i), Key: drakkar.Bytes(fmt.Sprint("bench:", i)), Value: bytes.Repeat([]byte("7"), 200),
		}
	}
	o, err := goredis.ParseURL(server.URL())
	require.NoError(b, err)
	client := goredis.NewClient(o)
	defer client.Close()
	for _, mode := range []string{"set", "list"} {
		b.Run(mode, func(b *testing.B) {
			s, err := redis.New("bench", settings(server.URL(), mode))
			require.NoError(b, err)
			defer s.Close(context.Background())
			sinkstest.Compare(b, benchBatch, func() {
				require.NoError(b, s.Deliver(b.Context(), batch))
			}, func() {
				bareLoop(b, client, mode, batch)
			})
			require.NoError(b, client.FlushAll(b.Context()).Err())
		})
	}
}

func bareLoop(b *testing.B, client *goredis.Client, mode string, batch []sinks.Payload) {
	b.Helper()

	pipe := client.Pipeline()
	for _, p := range batch {
		if mode == "set" {
			pipe.Set(b.Context(), string(p.Key), []byte(p.Value), 0)
		} else {
			pipe.RPush(b.Context(), string(p.Key), []byte(p.Value))
		}
	}
	_, err := pipe.Exec(b.Context())
	require.NoError(b, err)
}
