package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// MongoConfig says how to run a server that speaks MongoDB's protocol.
type MongoConfig struct {
	Home Home

	// Dir holds data and log. Required. A server that was run in it before
	// goes on with its data.
	Dir string

	// Port of the server; 0 takes a free one.
	Port int
}

// Mongo is one FerretDB over SQLite: it answers like a MongoDB without
// replication, transactions and write concern. What it has answered survives
// Kill.
type Mongo struct{ *server }

// StartMongo builds FerretDB if need be, starts a server and returns once it
// answers.
func StartMongo(ctx context.Context, cfg MongoConfig) (*Mongo, error) {
	binary, err := InstallFerretDB(ctx, cfg.Home)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(cfg.Dir, "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, fmt.Errorf("making FerretDB's directory: %w", err)
	}
	s := &server{name: NameMongo, dir: cfg.Dir, port: cfg.Port}
	m := &Mongo{s}
	s.command = func() *exec.Cmd {
		return exec.Command(binary, s.Addr(), "file:"+data+"/") //nolint:noctx // it ends by Stop and Kill
	}
	s.answers = m.answers
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// URL is the server's address for clients.
func (m *Mongo) URL() string { return "mongodb://" + m.Addr() + "/" }

// answers asks for the databases, which the storage has to know.
func (m *Mongo) answers(ctx context.Context) (err error) {
	client, err := mongo.Connect(options.Client().ApplyURI(m.URL()))
	if err != nil {
		return fmt.Errorf("connecting to FerretDB: %w", err)
	}
	defer func() { err = errors.Join(err, client.Disconnect(context.WithoutCancel(ctx))) }()
	if _, err := client.ListDatabaseNames(ctx, struct{}{}); err != nil {
		return fmt.Errorf("asking FerretDB: %w", err)
	}
	return nil
}
