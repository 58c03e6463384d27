// Package mongo is the sink that writes documents to MongoDB.
//
// A payload is a document in Extended JSON; a batch is one unordered bulk for
// each collection, or some of up to 32 MiB. Documents that the server refuses do not take the others
// along.
//
// A payload that is delivered again, after a crash for instance, is a second
// document, unless id_field is _id and on_conflict is nothing or update.
package mongo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
)

// What on_conflict may be, beside error.
const (
	conflictNothing = "nothing"
	conflictUpdate  = "update"
)

// keyField is the key of every collection.
const keyField = "_id"

var (
	_ sinks.Sink      = (*Sink)(nil)
	_ sinks.Checker   = (*Sink)(nil)
	_ sinks.Validator = (*Sink)(nil)
)

var errClosed = errors.New("the sink is closed")

// Sink writes to the collections of one database.
type Sink struct {
	client   *mongo.Client
	database *mongo.Database
	conflict string
	idField  string
	secrets  *sinks.Secrets
	closed   atomic.Bool
}

// New makes the sink that is configured as sinks.mongo.<name>. It does not wait
// for the server.
func New(name string, cfg config.MongoSink) (*Sink, error) {
	if err := checkDatabase(cfg.Database); err != nil {
		return nil, fmt.Errorf("sinks.mongo.%s.database: %w", name, err)
	}
	if err := checkField(cfg.IDField); err != nil {
		return nil, fmt.Errorf("sinks.mongo.%s.id_field: %w", name, err)
	}
	opts, secrets, err := clientOptions(cfg)
	if err != nil {
		return nil, fmt.Errorf("sinks.mongo.%s.uri: %w", name, err)
	}
	client, err := mongo.Connect(opts)
	if err != nil {
		return nil, fmt.Errorf("sinks.mongo.%s.uri: %w", name, secrets.Redact(err))
	}
	// What is there under a key only the primary knows.
	database := client.Database(cfg.Database, options.Database().SetReadPreference(readpref.Primary()))
	return &Sink{
		client: client, database: database,
		conflict: cfg.OnConflict, idField: cfg.IDField, secrets: secrets,
	}, nil
}

// concern is the write concern of the setting, and what the address says about
// the journal.
func concern(setting string, address *writeconcern.WriteConcern) *writeconcern.WriteConcern {
	out := &writeconcern.WriteConcern{W: setting}
	if n, err := strconv.Atoi(setting); err == nil {
		out.W = n
	}
	if address != nil {
		out.Journal = address.Journal
	}
	return out
}

func checkDatabase(name string) error {
	const longest = 63
	if name == "" || len(name) > longest || strings.ContainsAny(name, "/\\. \"$\x00") {
		return fmt.Errorf("%q is not the name of a database: use 1 to %d bytes without / \\ . \" $ and spaces", name, longest)
	}
	return nil
}

func checkField(name string) error {
	if strings.HasPrefix(name, "$") || strings.ContainsAny(name, ".\x00") {
		return fmt.Errorf("%q is not the name of a field: use one without dots that does not begin with $", name)
	}
	return nil
}

// Deliver implements sinks.Sink.
func (s *Sink) Deliver(ctx context.Context, batch []sinks.Payload) error {
	if s.closed.Load() {
		return errClosed
	}
	d := &delivery{sink: s, waiting: map[string]bool{}}
	docs := make([]document, 0, len(batch))
	for i, p := range batch {
		doc, err := s.document(i, p)
		if err != nil {
			d.fail(sinks.Failure{Index: i, Class: sinks.Permanent, Err: err})
			continue
		}
		docs = append(docs, doc)
	}
	for _, b := range s.bulks(docs) {
		if b.docs = d.ready(ctx, b.docs); len(b.docs) > 0 {
			d.write(ctx, b)
		}
	}
	return d.err()
}

// Check implements sinks.Checker: it asks the primary for nothing.
func (s *Sink) Check(ctx context.Context) error {
	if s.closed.Load() {
		return errClosed
	}
	if err := s.client.Ping(ctx, readpref.Primary()); err != nil {
		return fmt.Errorf("asking MongoDB: %w", s.explain(ctx, err))
	}
	return nil
}

// Validate implements sinks.Validator.
func (s *Sink) Validate(p sinks.Payload) error {
	_, err := s.document(0, p)
	return err
}

// Close implements sinks.Sink.
func (s *Sink) Close(ctx context.Context) error {
	if s.closed.Swap(true) {
		return nil
	}
	if err := s.client.Disconnect(ctx); err != nil {
		return fmt.Errorf("closing the connections to MongoDB: %w", s.explain(ctx, err))
	}
	return nil
}

// explain adds why ctx ended to an error that came of it, and takes secrets out.
func (s *Sink) explain(ctx context.Context, err error) error {
	err = s.secrets.Redact(err)
	cause := context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", cause, err)
}

// clientOptions reads the connection string. Errors do not show it: where it is
// wrong, a password may be anywhere in it.
func clientOptions(cfg config.MongoSink) (*options.ClientOptions, *sinks.Secrets, error) {
	secrets := secretsOf(cfg.URI)
	opts := options.Client().ApplyURI(cfg.URI)
	if err := opts.Validate(); err != nil {
		return nil, nil, uriError(err)
	}
	if opts.Auth != nil {
		secrets.Add(opts.Auth.Password)
		for _, value := range opts.Auth.AuthMechanismProperties {
			secrets.Add(value)
		}
	}
	if opts.AppName == nil {
		opts.SetAppName("drakkar")
	}
	return opts.SetWriteConcern(concern(cfg.WriteConcern, opts.WriteConcern)), secrets, nil
}
