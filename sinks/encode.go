package sinks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/drakkar-go/drakkar"
)

// Stage is the kind of hook that returned a payload.
type Stage string

// The stages, as they appear in delivery ids.
const (
	StageTask    Stage = "t"
	StageMessage Stage = "m"
	StageWindow  Stage = "w"
)

// Origin is where a CollectResult came from. It makes the ids of its payloads,
// so equal origins must mean the same call of the same hook, whatever happened
// in between.
type Origin struct {
	Topic string
	// TopicID are a few characters of the topic's id, which tell it from one
	// of the same name that was deleted.
	TopicID   string
	Partition int32
	// Offset is the message's, the task's lowest, or the window's first.
	Offset int64
	Stage  Stage
	// Index tells the tasks of one offset apart; empty for other stages.
	Index string
	// TaskID is empty for payloads of message and window hooks.
	TaskID string
}

// DeliveryID is the id of the n-th payload, counted from 0:
//
//	<topic>~<topic id>/<partition>/<offset>/<stage><index>/<n>
func (o Origin) DeliveryID(n int) string {
	return o.Topic + "~" + o.TopicID + "/" + strconv.Itoa(int(o.Partition)) + "/" +
		strconv.FormatInt(o.Offset, 10) + "/" + string(o.Stage) + o.Index + "/" + strconv.Itoa(n)
}

func (o Origin) source() drakkar.Source {
	return drakkar.Source{Topic: o.Topic, Partition: o.Partition, Offset: o.Offset, TaskID: o.TaskID}
}

// Encode turns what a hook returned into payloads that can be delivered:
// routed to an instance, encoded, and with ids which count through the result
// in the order kafka, postgres, mongo, http, redis, filesystem, custom.
//
// []byte, [drakkar.Bytes] and json.RawMessage are delivered as they are,
// anything else as the instance's codec makes it: JSON in which <, > and & stay
// themselves, unless it has another. A nil Data, or a
// nil byte slice, is Kafka's tombstone. For the other sinks nil is the JSON
// null, and a nil byte slice is empty. Data for postgres and mongo must be a
// JSON object.
//
// An error is an error of the hook: it names every payload that is wrong, and
// there are no payloads then.
func (s *Set) Encode(o Origin, r drakkar.CollectResult) ([]Payload, error) {
	drafts := drafts(r)
	payloads := make([]Payload, 0, len(drafts))
	var errs []error
	for n, d := range drafts {
		d.payload.ID = o.DeliveryID(n)
		d.payload.Source = o.source()
		p, err := s.encode(d)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s payload %d: %w", d.payload.To.Type, d.number, err))
			continue
		}
		payloads = append(payloads, p)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return payloads, nil
}

// draft is a payload before it is routed and encoded. To has no name yet.
type draft struct {
	payload Payload
	number  int // among the payloads of its type
	sink    string
	data    any
}

func drafts(r drakkar.CollectResult) []draft {
	ds := make([]draft, 0, r.Len())
	add := func(t Type, number int, sink string, data any, p Payload) {
		p.To.Type = t
		ds = append(ds, draft{payload: p, number: number, sink: sink, data: data})
	}
	for i, p := range r.Kafka {
		add(Kafka, i, p.Sink, p.Data, Payload{
			Key: p.Key, Topic: p.Topic, Partition: p.Partition, Headers: slices.Clone(p.Headers),
		})
	}
	for i, p := range r.Postgres {
		add(Postgres, i, p.Sink, p.Data, Payload{Target: p.Table})
	}
	for i, p := range r.Mongo {
		add(Mongo, i, p.Sink, p.Data, Payload{Target: p.Collection})
	}
	for i, p := range r.HTTP {
		add(HTTP, i, p.Sink, p.Data, Payload{Headers: slices.Clone(p.Headers)})
	}
	for i, p := range r.Redis {
		add(Redis, i, p.Sink, p.Data, Payload{Key: drakkar.Bytes(p.Key), TTL: p.TTL})
	}
	for i, p := range r.Files {
		add(Filesystem, i, p.Sink, p.Data, Payload{Target: p.Path})
	}
	for i, p := range r.Custom {
		add(Custom, i, p.Sink, p.Data, Payload{Key: p.Key, Target: p.Target, Headers: slices.Clone(p.Headers)})
	}
	return ds
}

func (s *Set) encode(d draft) (Payload, error) {
	p := d.payload
	ref, err := s.Route(p.To.Type, d.sink)
	if err != nil {
		return Payload{}, err
	}
	p.To = ref
	if p.Value, err = encodeData(p.To.Type, s.instances[ref].codec, d.data); err != nil {
		return Payload{}, fmt.Errorf("encoding data: %w", err)
	}
	if err := checkText(p); err != nil {
		return Payload{}, err
	}
	if v, ok := s.instances[ref].sink.(Validator); ok {
		if err := v.Validate(p); err != nil {
			return Payload{}, fmt.Errorf("%s refuses it: %w", ref, err)
		}
	}
	return p, nil
}

func encodeData(t Type, codec Codec, data any) (drakkar.Bytes, error) {
	value, err := encodeValue(codec, data)
	if err != nil {
		return nil, err
	}
	switch {
	case t == Kafka:
		return value, nil
	case (t == Postgres || t == Mongo) && !isObject(value):
		return nil, fmt.Errorf("%s takes a JSON object, and this is %s", t, excerpt(value))
	case value == nil && isBytes(data):
		return drakkar.Bytes{}, nil
	case value == nil:
		return drakkar.Bytes("null"), nil
	}
	return value, nil
}

func isBytes(data any) bool {
	switch data.(type) {
	case []byte, drakkar.Bytes:
		return true
	}
	return false
}

func isObject(value []byte) bool {
	trimmed := bytes.TrimLeft(value, " \t\r\n")
	return len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(value)
}

// excerpt is the beginning of a value, for errors.
func excerpt(value []byte) string {
	const enough = 40
	switch {
	case value == nil:
		return "nil"
	case len(value) > enough:
		return strconv.Quote(string(value[:enough])) + "..."
	}
	return strconv.Quote(string(value))
}

// checkText refuses names which would not survive the JSON of Temporal's
// history unchanged.
func checkText(p Payload) error {
	if !utf8.ValidString(p.Target) || !utf8.ValidString(p.Topic) {
		return fmt.Errorf("the target %q is not valid UTF-8", p.Target+p.Topic)
	}
	for _, h := range p.Headers {
		if !utf8.ValidString(h.Key) {
			return fmt.Errorf("the header name %q is not valid UTF-8", h.Key)
		}
	}
	return nil
}
