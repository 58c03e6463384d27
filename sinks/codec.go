package sinks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/drakkar-go/drakkar"
)

// Codec turns the data of payloads into what is delivered. []byte,
// [drakkar.Bytes] and json.RawMessage do not come to it: they are delivered as
// they are. It is used by many goroutines at the same time, and the same data
// has to become the same bytes: hooks run again after a crash. Its errors and
// panics are errors of the hook which returned the payload.
type Codec interface {
	Encode(data any) ([]byte, error)
}

// The codecs that sinks.<type>.<name>.codec knows without being told.
var (
	// JSON is the default. <, > and & stay themselves.
	JSON Codec = jsonCodec{}
	// Raw takes bytes only, for sinks that other data would reach by mistake.
	Raw Codec = rawCodec{}
)

type jsonCodec struct{}

// Encode implements Codec.
func (jsonCodec) Encode(data any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(data); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

type rawCodec struct{}

// Encode implements Codec.
func (rawCodec) Encode(data any) ([]byte, error) {
	return nil, fmt.Errorf("the sink's codec is raw, which takes []byte, drakkar.Bytes and json.RawMessage, not %T", data)
}

// encodeValue calls the author's code, whose panics are errors of the hook as
// well.
func encodeValue(codec Codec, data any) (value drakkar.Bytes, err error) {
	switch v := data.(type) {
	case nil:
		return nil, nil
	case []byte:
		return v, nil
	case drakkar.Bytes:
		return v, nil
	case json.RawMessage:
		return drakkar.Bytes(v), nil
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the value's encoder panicked: %v", r)
		}
	}()
	value, err = codec.Encode(data)
	if err == nil && value == nil {
		err = errors.New("the sink's codec returned neither bytes nor an error")
	}
	return value, err
}
