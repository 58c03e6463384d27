package drakkar

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Bytes is a byte string which reads well in JSON and survives it unchanged.
//
// Text is written as a JSON string; anything else, which is not valid UTF-8 or
// mostly control characters, as {"base64": "..."}. Nil is null and differs from
// empty. Message values, program output and payloads are Bytes, because they
// show up in Temporal's history, where an operator reads them.
type Bytes []byte

type base64Bytes struct {
	Base64 *string `json:"base64"`
}

// String returns the bytes as a string, unchanged.
func (b Bytes) String() string { return string(b) }

// MarshalJSON implements json.Marshaler.
func (b Bytes) MarshalJSON() ([]byte, error) {
	switch {
	case b == nil:
		return []byte("null"), nil
	case b.isText():
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(string(b)); err != nil {
			return nil, fmt.Errorf("encoding bytes: %w", err)
		}
		return bytes.TrimRight(buf.Bytes(), "\n"), nil
	default:
		s := base64.StdEncoding.EncodeToString(b)
		return json.Marshal(base64Bytes{Base64: &s})
	}
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	switch {
	case bytes.Equal(data, []byte("null")):
		*b = nil
		return nil
	case len(data) > 0 && data[0] == '{':
		var wrapped base64Bytes
		if err := json.Unmarshal(data, &wrapped); err != nil {
			return fmt.Errorf("decoding bytes: %w", err)
		}
		if wrapped.Base64 == nil {
			return errors.New("decoding bytes: the object has no base64 field")
		}
		raw, err := base64.StdEncoding.DecodeString(*wrapped.Base64)
		if err != nil {
			return fmt.Errorf("decoding bytes: %w", err)
		}
		*b = nonNil(raw)
		return nil
	default:
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return fmt.Errorf("decoding bytes: %w", err)
		}
		*b = nonNil([]byte(s))
		return nil
	}
}

// EncodedLen is an upper bound of the length of b as JSON, found without
// encoding it: what a window may hold is counted as it will travel.
func (b Bytes) EncodedLen() int {
	switch {
	case b == nil:
		return len("null")
	case !b.isText():
		return b.base64Len()
	}
	n := b.escapedLen()
	for _, c := range b {
		if c == '<' || c == '>' || c == '&' { // escaped by an outer json.Marshal
			n += 5
		}
	}
	return n
}

// isText says that b is written as a string. Markup counts as text although an
// outer json.Marshal makes it longer: it is what people want to read.
func (b Bytes) isText() bool { return utf8.Valid(b) && b.escapedLen() <= b.base64Len() }

func (b Bytes) base64Len() int {
	return base64.StdEncoding.EncodedLen(len(b)) + len(`{"base64":""}`)
}

// escapedLen is an upper bound of the length of b as a JSON string in which
// markup stays itself.
func (b Bytes) escapedLen() int {
	n := len(b) + 2
	for i, c := range b {
		switch {
		case c == '"' || c == '\\':
			n++
		case c < 0x20 || c == 0x7f:
			n += 5
		case c == 0xe2 && i+2 < len(b) && b[i+1] == 0x80 && b[i+2]&^1 == 0xa8:
			n += 3 // U+2028 and U+2029 are written as \u2028 and \u2029
		}
	}
	return n
}

func nonNil(b []byte) Bytes {
	if b == nil {
		return Bytes{}
	}
	return b
}
