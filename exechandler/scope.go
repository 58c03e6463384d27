package exechandler

import (
	"slices"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
)

// message is what every template sees. Fields of type any are nil when the
// message has no such thing.
type message struct {
	Value     any
	Raw       any
	Key       any
	Topic     string
	Partition int32
	Offset    int64
	Timestamp any

	headers []drakkar.Header
}

// Header is the value of the last header of the name, or nil.
func (m message) Header(name string) any {
	for _, h := range slices.Backward(m.headers) {
		if h.Key == name {
			return text(h.Value)
		}
	}
	return nil
}

// output is what the templates of a delivery see.
type output struct {
	message

	Output          string
	JSON            any
	Index           int
	ExitCode        int
	Stderr          string
	DurationSeconds float64
}

// fields are names of what templates refer to.
type fields map[string]bool

// Fields that something depends on besides the templates that use them.
const (
	fieldOutput = "Output"
	fieldKey    = "Key"
	fieldValue  = "Value"
)

// messageFields are what templates over a message may use.
func messageFields(cfg config.ExecHandler) []string {
	out := []string{"Raw", fieldKey, "Topic", "Partition", "Offset", "Timestamp", "Header"}
	if cfg.Input != inputRaw {
		out = append(out, fieldValue)
	}
	return out
}

// deliveryFields are those of messages and those of outputs.
func deliveryFields(cfg config.ExecHandler) []string {
	out := append([]string{fieldOutput, "Index", "ExitCode", "Stderr", "DurationSeconds"}, messageFields(cfg)...)
	if cfg.Output == outputJSON {
		out = append(out, "JSON")
	}
	return out
}

func messageScope(m drakkar.Message[any]) message {
	return scopeOf(m.Record, m.Payload)
}

func scopeOf(r drakkar.Record, value any) message {
	m := message{
		Value: value, Raw: text(r.Value), Key: text(r.Key),
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, headers: r.Headers,
	}
	if !r.Timestamp.IsZero() {
		m.Timestamp = r.Timestamp
	}
	return m
}

// text is a byte string as templates see it: nil or a string.
func text(b drakkar.Bytes) any {
	if b == nil {
		return nil
	}
	return string(b)
}
