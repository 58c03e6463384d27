package mongo_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/mongo"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

// benchBatch is the default of batch_size.
const benchBatch = 1000

// Payloads a second through the sink, beside a bare loop of the driver's
// InsertMany of documents that are no JSON any more.
func BenchmarkDeliver(b *testing.B) {
	server := servicestest.Mongo(b)
	db := servicestest.MongoDatabase(b, server)
	s, err := mongo.New("bench", settings(server, db.Name()))
	require.NoError(b, err)
	defer func() { _ = s.Close(context.Background()) }()
	batch := make([]sinks.Payload, benchBatch)
	docs := make([]any, benchBatch)
	for i := range batch {
		batch[i] = to("bench", fmt.Sprintf(`{"file":"src/net/http/server.go","line":%d,"words":["one","two"]}`, i))
		docs[i] = bson.D{{Key: "file", Value: "src/net/http/server.go"}, {Key: "line", Value: i}, {Key: "words", Value: bson.A{"one", "two"}}}
	}
	sinkstest.Compare(b, benchBatch, func() {
		require.NoError(b, s.Deliver(b.Context(), batch))
	}, func() { bareLoop(b, db, docs) })
}

func bareLoop(b *testing.B, db *driver.Database, docs []any) {
	b.Helper()

	_, err := db.Collection("bench").InsertMany(b.Context(), docs, options.InsertMany().SetOrdered(false))
	require.NoError(b, err)
}
