package executor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/drakkar-go/drakkar"
)

// ResidentEnv is a variable in the environment of every resident program. Its
// value is the framing, by which a program learns that it is resident.
const ResidentEnv = "DRAKKAR_RESIDENT"

const (
	// protocolVersion is what a program says when it is ready.
	protocolVersion = 1

	// maxReady bounds the first message of a program.
	maxReady = 4 << 10

	// Of what is kept of stdout and of stderr, an answer may be this many
	// times as long, for what encoding adds, and this much longer.
	answerFactor = 8
	answerSpare  = 1 << 20

	// maxExitCode is the highest code that a spawned program can end with.
	maxExitCode = 255
)

// readyMessage is the first message of a program.
type readyMessage struct {
	Ready *int `json:"ready"`
}

// request is one task for a resident program.
type request struct {
	// ID counts the requests of one process from 1.
	ID    uint64          `json:"id"`
	Task  string          `json:"task"`
	Args  []drakkar.Bytes `json:"args"`
	Stdin *drakkar.Bytes  `json:"stdin,omitempty"`
}

// answer is what came of a request.
type answer struct {
	ID       *uint64       `json:"id"`
	ExitCode *int          `json:"exit_code"`
	Stdout   drakkar.Bytes `json:"stdout"`
	Stderr   drakkar.Bytes `json:"stderr"`
}

// protocolError is how a program broke the protocol. Nothing of what the
// program wrote to stdout is in it: messages are logged.
type protocolError struct {
	what  string
	stale bool // it did so because of an earlier task
}

// Error implements error.
func (e *protocolError) Error() string { return e.what }

// encodeRequest returns the frame of a request.
func encodeRequest(framing string, id uint64, t drakkar.Task) ([]byte, error) {
	r := request{ID: id, Task: t.ID, Args: make([]drakkar.Bytes, len(t.Args))}
	for i, a := range t.Args {
		r.Args[i] = append(drakkar.Bytes{}, a...) // not nil, which would be null
	}
	if t.Stdin != nil {
		r.Stdin = &t.Stdin
	}
	message, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	if framing == FramingLength && int64(len(message)) > maxLength {
		return nil, &protocolError{what: fmt.Sprintf("the request has %d bytes, a length can say at most %d", len(message), int64(maxLength))}
	}
	return appendFrame(nil, framing, message), nil
}

// maxLength is the greatest length of a frame.
const maxLength = 1<<32 - 1

// decodeReady checks the first message of a program.
func decodeReady(frame []byte) error {
	var m readyMessage
	if err := decodeStrictly(frame, &m); err != nil {
		return &protocolError{what: fmt.Sprintf("its first message is not {\"ready\":%d}: %s", protocolVersion, err)}
	}
	switch {
	case m.Ready == nil:
		return &protocolError{what: "its first message has no ready"}
	case *m.Ready != protocolVersion:
		return &protocolError{what: fmt.Sprintf("it speaks version %d of the protocol, not %d", *m.Ready, protocolVersion)}
	}
	return nil
}

// decodeAnswer decodes the answer to the request with that id.
func decodeAnswer(frame []byte, id uint64) (answer, error) {
	var a answer
	if err := decodeStrictly(frame, &a); err != nil {
		return answer{}, &protocolError{what: "its answer is none: " + err.Error()}
	}
	switch {
	case a.ID == nil:
		return answer{}, &protocolError{what: "its answer has no id"}
	case *a.ID > 0 && *a.ID < id:
		return answer{}, &protocolError{what: fmt.Sprintf("it answered request %d again, when it was asked %d", *a.ID, id), stale: true}
	case *a.ID != id:
		return answer{}, &protocolError{what: fmt.Sprintf("it answered request %d, when it was asked %d", *a.ID, id)}
	case a.ExitCode == nil:
		return answer{}, &protocolError{what: "its answer has no exit_code"}
	case *a.ExitCode < 0 || *a.ExitCode > maxExitCode:
		return answer{}, &protocolError{what: fmt.Sprintf("its exit_code %d is outside 0..%d", *a.ExitCode, maxExitCode)}
	}
	return a, nil
}

// decodeStrictly decodes one JSON value in which nothing is unknown: a name
// that is misspelt would otherwise be a success. The error shows no value.
func decodeStrictly(frame []byte, v any) error {
	if !utf8.Valid(frame) {
		return errors.New(`it is not UTF-8; other bytes are written as {"base64":"..."}`)
	}
	dec := json.NewDecoder(bytes.NewReader(frame))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the JSON is not whole")
		}
		return errors.New(bounded(err.Error(), maxErrorLine))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind the JSON")
	}
	return nil
}
