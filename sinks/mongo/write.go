package mongo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/drakkar-go/drakkar/sinks"
)

// delivery is one batch on its way.
type delivery struct {
	sink     *Sink
	failures []sinks.Failure
	// waiting are the places of documents that failed and may be tried again.
	waiting map[string]bool
}

var errEarlier = errors.New("not tried: an earlier document with the same _id has to be written first")

// ready returns the documents that no earlier one with the same key stands in
// the way of. The others are to be tried after that one, which would replace
// them.
func (d *delivery) ready(ctx context.Context, docs []document) []document {
	var ready []document
	for _, doc := range docs {
		if d.waiting[doc.place()] {
			d.failDocs(ctx, sinks.Transient, errEarlier, doc)
			continue
		}
		ready = append(ready, doc)
	}
	return ready
}

func (d *delivery) fail(f sinks.Failure) { d.failures = append(d.failures, f) }

func (d *delivery) err() error {
	if len(d.failures) == 0 {
		return nil
	}
	slices.SortFunc(d.failures, func(a, b sinks.Failure) int { return cmp.Compare(a.Index, b.Index) })
	return &sinks.DeliverError{Failures: d.failures}
}

// failDocs fails documents for one reason.
func (d *delivery) failDocs(ctx context.Context, class sinks.Class, err error, docs ...document) {
	for _, doc := range docs {
		d.fail(sinks.Failure{
			Index: doc.index, Class: class,
			Err: fmt.Errorf("writing to %s: %w", doc.collection, d.sink.explain(ctx, err)),
		})
		if class == sinks.Transient && doc.hasKey() {
			d.waiting[doc.place()] = true
		}
	}
}

// write writes a bulk. When the server refuses the whole of it, it tries the
// halves, until each refused document stands alone.
func (d *delivery) write(ctx context.Context, b *bulk) {
	err := d.sink.bulkWrite(ctx, b)
	if err == nil {
		return
	}
	if named, ok := errors.AsType[mongo.BulkWriteException](err); ok {
		d.settle(ctx, b, named)
		return
	}
	class := classify(err)
	if class == sinks.Permanent && len(b.docs) > 1 {
		half := len(b.docs) / 2
		d.write(ctx, b.with(b.docs[:half]))
		d.write(ctx, b.with(b.docs[half:]))
		return
	}
	d.failDocs(ctx, class, err, b.docs...)
}

// bulkWrite writes the documents of a bulk.
func (s *Sink) bulkWrite(ctx context.Context, b *bulk) error {
	models := make([]mongo.WriteModel, len(b.docs))
	for i, doc := range b.docs {
		if b.replaces {
			models[i] = mongo.NewReplaceOneModel().SetFilter(bson.D{{Key: keyField, Value: doc.key}}).SetReplacement(doc.raw).SetUpsert(true)
		} else {
			models[i] = mongo.NewInsertOneModel().SetDocument(doc.raw)
		}
	}
	_, err := s.database.Collection(b.collection).BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	return err
}

// settle finds out what became of the documents of a bulk when the server has
// named those that it did not write.
func (d *delivery) settle(ctx context.Context, b *bulk, named mongo.BulkWriteException) {
	refused := map[int]bool{}
	var conflicts, again []document
	for _, e := range named.WriteErrors {
		if e.Index < 0 || e.Index >= len(b.docs) {
			d.failDocs(ctx, sinks.Transient, fmt.Errorf("the server named document %d of %d: %w", e.Index, len(b.docs), named), b.docs...)
			return
		}
		refused[e.Index] = true
		doc := b.docs[e.Index]
		taken := isDuplicate(e.Code) && doc.hasKey()
		switch {
		case taken && d.sink.conflict == conflictNothing:
			conflicts = append(conflicts, doc)
		case taken && d.sink.conflict == conflictUpdate && !b.again:
			again = append(again, doc)
		default:
			d.failDocs(ctx, classifyCode(e.Code), e.WriteError, doc)
		}
	}
	if len(again) > 0 {
		retry := b.with(again)
		retry.again = true
		d.write(ctx, retry)
	}
	written := d.present(ctx, b.collection, conflicts)
	for i, doc := range b.docs {
		if !refused[i] {
			written = append(written, doc)
		}
	}
	if named.WriteConcernError != nil {
		// They are written, or were before, but not where they have to be.
		d.failDocs(ctx, sinks.Transient, *named.WriteConcernError, written...)
	}
}

var errOtherKey = errors.New("another document has a key of it that must be unique, which is not its _id")

// present returns which of the documents are there under their _id. The others
// were refused because of another unique index.
func (d *delivery) present(ctx context.Context, collection string, docs []document) []document {
	if len(docs) == 0 {
		return nil
	}
	keys := make(bson.A, len(docs))
	for i, doc := range docs {
		keys[i] = doc.key
	}
	found, err := d.sink.find(ctx, collection, bson.D{{Key: "$in", Value: keys}})
	if err != nil {
		d.failDocs(ctx, sinks.Transient, fmt.Errorf("looking for documents with the same _id: %w", err), docs...)
		return nil
	}
	var there []document
	for _, doc := range docs {
		taken := found[text(doc.key)]
		if !taken {
			// Its _id may be there in another type: 1 and 1.0 are one key.
			same, err := d.sink.find(ctx, collection, bson.D{{Key: "$eq", Value: doc.key}})
			if err != nil {
				d.failDocs(ctx, sinks.Transient, fmt.Errorf("looking for a document with the same _id: %w", err), doc)
				continue
			}
			taken = len(same) > 0
		}
		if taken {
			there = append(there, doc)
		} else {
			d.failDocs(ctx, sinks.Permanent, errOtherKey, doc)
		}
	}
	return there
}

// find returns the keys of _id that are taken, of those that a condition is true
// of.
func (s *Sink) find(ctx context.Context, collection string, condition bson.D) (map[string]bool, error) {
	cursor, err := s.database.Collection(collection).Find(ctx, bson.D{{Key: keyField, Value: condition}},
		options.Find().SetProjection(bson.D{{Key: keyField, Value: 1}}))
	if err != nil {
		return nil, err
	}
	var docs []bson.Raw
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, err
	}
	found := make(map[string]bool, len(docs))
	for _, doc := range docs {
		found[text(doc.Lookup(keyField))] = true
	}
	return found, nil
}
