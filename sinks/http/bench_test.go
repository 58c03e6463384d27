package http_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/sinks"
	httpsink "github.com/drakkar-go/drakkar/sinks/http"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

// benchSize is the default of max_concurrency, benchBatch that of batch_size.
const (
	benchSize  = 16
	benchBatch = 1000
)

// Payloads a second through the sink, beside a bare loop of net/http's client
// against the same server.
func BenchmarkDeliver(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	batch := make([]sinks.Payload, benchBatch)
	for i := range batch {
		batch[i] = sinks.Payload{ID: "orders~ab12/0/7/m/0", Value: bytes.Repeat([]byte("7"), 200)}
	}

	cfg := settings(server.URL)
	cfg.MaxConcurrency = benchSize
	s, err := httpsink.New("bench", cfg)
	require.NoError(b, err)
	defer s.Close(context.Background())
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchSize, MaxConnsPerHost: benchSize}}
	defer client.CloseIdleConnections()
	sinkstest.Compare(b, benchBatch, func() {
		require.NoError(b, s.Deliver(b.Context(), batch))
	}, func() {
		bareLoop(b, client, server.URL, batch)
	})
}

func bareLoop(b *testing.B, client *http.Client, url string, batch []sinks.Payload) {
	b.Helper()

	var (
		wg   sync.WaitGroup
		next atomic.Int64
	)
	for range benchSize {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(batch); i = int(next.Add(1)) - 1 {
				res, err := client.Post(url, "application/json", bytes.NewReader(batch[i].Value))
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		})
	}
	wg.Wait()
}
