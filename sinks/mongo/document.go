package mongo

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/drakkar-go/drakkar/sinks"
)

const (
	// maxDocument is how large a document may be; no server takes larger ones.
	maxDocument = 16 << 20

	// maxNamespace is how long database.collection may be.
	maxNamespace = 255
)

// document is a payload on its way into its collection.
type document struct {
	index      int // of the payload in its batch
	collection string
	raw        bson.Raw
	// key is the _id; its type is 0 when the document has none and gets one.
	key bson.RawValue
}

// document reads a payload. An error means that no collection takes it.
func (s *Sink) document(index int, p sinks.Payload) (document, error) {
	if err := s.checkCollection(p.Target); err != nil {
		return document{}, err
	}
	raw, err := parse(p.Value)
	if err != nil {
		return document{}, err
	}
	if s.idField != "" {
		if raw, err = withID(raw, s.idField, p.ID); err != nil {
			return document{}, err
		}
	}
	if len(raw) > maxDocument {
		return document{}, fmt.Errorf("a document of %d bytes is more than MongoDB takes (%d)", len(raw), maxDocument)
	}
	doc := document{index: index, collection: p.Target, raw: raw}
	if doc.key, err = raw.LookupErr(keyField); err != nil && !errors.Is(err, bsoncore.ErrElementNotFound) {
		return document{}, fmt.Errorf("reading %s: %w", keyField, err)
	}
	if s.conflict == conflictUpdate && doc.hasKey() {
		return doc, checkReplacement(raw)
	}
	return doc, nil
}

func (d document) hasKey() bool { return d.key.Type != 0 }

// place tells documents with one key from others.
func (d document) place() string { return d.collection + "\x00" + text(d.key) }

// text is a value with its type, to be compared.
func text(v bson.RawValue) string { return string([]byte{byte(v.Type)}) + string(v.Value) }

// parse reads Extended JSON.
func parse(value []byte) (raw bson.Raw, err error) {
	if !json.Valid(value) || strings.TrimLeft(string(value), " \t\r\n")[0] != '{' {
		return nil, errors.New("the value is not a JSON object")
	}
	if err := bson.UnmarshalExtJSON(value, false, &raw); err != nil {
		return nil, fmt.Errorf("the value is not a document in Extended JSON: %w", err)
	}
	return raw, checkNames(raw)
}

// checkNames refuses a name that stands twice in one document: servers keep
// both, or one of them, or hang up.
func checkNames(raw bson.Raw) error {
	elements, err := raw.Elements()
	if err != nil {
		return fmt.Errorf("reading the document: %w", err)
	}
	seen := make(map[string]bool, len(elements))
	for _, e := range elements {
		if seen[e.Key()] {
			return fmt.Errorf("the field %q is there twice", e.Key())
		}
		seen[e.Key()] = true
		value := e.Value()
		if value.Type != bson.TypeEmbeddedDocument && value.Type != bson.TypeArray {
			continue
		}
		if err := checkNames(bson.Raw(value.Value)); err != nil {
			return err
		}
	}
	return nil
}

// withID puts the delivery id into its field, in place of what is there.
func withID(raw bson.Raw, field, id string) (bson.Raw, error) {
	elements, err := raw.Elements()
	if err != nil {
		return nil, fmt.Errorf("reading the document: %w", err)
	}
	at, out := bsoncore.AppendDocumentStart(nil)
	out = bsoncore.AppendStringElement(out, field, id)
	for _, e := range elements {
		if e.Key() != field {
			out = append(out, e...)
		}
	}
	return bsoncore.AppendDocumentEnd(out, at)
}

// checkReplacement refuses what would be taken for operators of an update.
func checkReplacement(raw bson.Raw) error {
	elements, err := raw.Elements()
	if err != nil {
		return fmt.Errorf("reading the document: %w", err)
	}
	for _, e := range elements {
		if strings.HasPrefix(e.Key(), "$") {
			return fmt.Errorf("the field %q begins with $, which no document that replaces another may have", e.Key())
		}
	}
	return nil
}

func (s *Sink) checkCollection(name string) error {
	switch {
	case name == "":
		return errors.New("the payload names no collection")
	case !utf8.ValidString(name) || strings.ContainsAny(name, "$\x00") ||
		strings.HasPrefix(name, "system.") || strings.HasPrefix(name, ".") || strings.HasSuffix(name, "."):
		return fmt.Errorf("%q is not the name of a collection: use one without $ that does not begin with system. or a dot", name)
	case len(s.database.Name())+1+len(name) > maxNamespace:
		return fmt.Errorf("the collection %q has a name of more than %d bytes with that of the database", name, maxNamespace)
	}
	return nil
}
