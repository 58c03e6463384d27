package chaos

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	mongooptions "go.mongodb.org/mongo-driver/v2/mongo/options"
)

const storeCollection = "receipts"

// mongoStore is a collection in MongoDB whose _id is the delivery id.
type mongoStore struct {
	url    string
	db     *mongo.Database
	client *mongo.Client
}

// newMongoStore needs no server yet: a collection is there once it is written
// to.
func newMongoStore(url, group string) (*mongoStore, error) {
	client, err := mongo.Connect(mongooptions.Client().ApplyURI(url))
	if err != nil {
		return nil, fmt.Errorf("making a client of MongoDB: %w", err)
	}
	return &mongoStore{url: url, db: client.Database(tableOf(group)), client: client}, nil
}

func (s *mongoStore) name() string { return "mongo" }

func (s *mongoStore) sink() section {
	return section{"mongo": section{"store": section{
		"uri": s.url, "database": s.db.Name(), "id_field": "_id", "on_conflict": "nothing",
		"write_concern": "1", // the server of a round is no replica set
	}}}
}

// rows implements store.
func (s *mongoStore) rows(ctx context.Context, each func(n int)) error {
	found, err := s.db.Collection(storeCollection).Find(ctx, bson.D{})
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	var all []receipt
	if err := found.All(ctx, &all); err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	for _, r := range all {
		each(r.N)
	}
	return nil
}

func (s *mongoStore) close() error { return s.client.Disconnect(context.Background()) }
