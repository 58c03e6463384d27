package exechandler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
)

// The values of output.
const (
	outputWhole = "whole"
	outputLines = "lines"
	outputJSON  = "json"
)

// The types of sinks whose deliveries differ.
const (
	typeKafka      = "kafka"
	typeFilesystem = "filesystem"
)

// delivery is one entry of deliver. Fields that are not set are nil.
type delivery struct {
	cfg                    config.ExecDelivery
	data, key, topic, path *field
}

func compileDelivery(c *compiler, at string, cfg config.ExecDelivery, known []string) delivery {
	optional := func(name, text string) *field {
		if text == "" {
			return nil
		}
		f := c.compile(at+"."+name, text, known)
		return &f
	}
	if kinds[cfg.Type] == nil {
		c.errs = append(c.errs, fmt.Errorf("%s.type: there is no sink of type %q", at, cfg.Type))
	}
	d := delivery{
		cfg: cfg, data: optional("data", cfg.Data), key: optional("key", cfg.Key),
		topic: optional("topic", cfg.Topic), path: optional("path", cfg.Path),
	}
	if d.data == nil {
		c.used[fieldOutput] = true
	}
	if cfg.Type == typeKafka && d.key == nil {
		c.used[fieldKey] = true
	}
	return d
}

// OnTaskComplete maps stdout to payloads.
func (h *handler) OnTaskComplete(_ context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	var out drakkar.CollectResult
	l, err := luggageOf(r.Task)
	if err != nil {
		return out, err
	}
	if h.wantsText && (r.StdoutTruncated || l.Truncated) {
		return out, fmt.Errorf("stdout is not whole, %d bytes of it were kept: it is longer than executor.max_output_bytes, "+
			"or something that the program started kept it open", len(r.Stdout))
	}
	base := h.base(r, l)
	outputs, err := split(h.cfg.Output, r.Stdout)
	if err != nil {
		return out, err
	}
	for i, o := range outputs {
		base.Index, base.Output, base.JSON = i, string(o.text), o.value
		for _, d := range h.deliver {
			if err := d.add(base, o.text, l.Key, &out); err != nil {
				return drakkar.CollectResult{}, err
			}
		}
	}
	return out, nil
}

// base is what the outputs of a task have in common.
func (h *handler) base(r drakkar.Result, l luggage) output {
	rec := l.record(r.Task)
	var value any
	if rec.Value != nil && h.carried[fieldValue] {
		value, _ = decodeJSON(rec.Value) // of a message that was let pass: nil, as in Arrange
	}
	code := r.ExitCode
	if l.ExitCode != 0 {
		code = l.ExitCode
	}
	return output{
		message: scopeOf(rec, value), ExitCode: code,
		Stderr: string(r.Stderr), DurationSeconds: r.Duration.Seconds(),
	}
}

// part is one output.
type part struct {
	text  drakkar.Bytes
	value any // decoded, with output: json
}

// split cuts stdout into outputs.
func split(mode string, stdout drakkar.Bytes) ([]part, error) {
	switch mode {
	case outputLines:
		return splitLines(stdout), nil
	case outputJSON:
		return splitJSON(stdout)
	}
	if stdout == nil {
		stdout = drakkar.Bytes{} // a program that printed nothing makes no tombstone
	}
	return []part{{text: stdout}}, nil
}

func splitLines(stdout []byte) []part {
	var parts []part
	for line := range bytes.Lines(stdout) {
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(line) > 0 {
			parts = append(parts, part{text: line})
		}
	}
	return parts
}

// splitJSON reads a stream of values. One that is broken makes all of it an
// error: what came before may be half of an answer.
func splitJSON(stdout []byte) ([]part, error) {
	var parts []part
	dec := json.NewDecoder(bytes.NewReader(stdout))
	for {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading stdout as JSON, behind %d values: %w", len(parts), err)
		}
		value, err := decodeJSON(raw)
		if err != nil {
			return nil, err
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			return nil, fmt.Errorf("reading stdout as JSON: %w", err)
		}
		parts = append(parts, part{text: compact.Bytes(), value: value})
	}
}

// add adds the payload of an output.
func (d delivery) add(o output, text, messageKey drakkar.Bytes, out *drakkar.CollectResult) error {
	p, err := d.render(o, text)
	if err != nil {
		return err
	}
	if d.key == nil {
		p.key = messageKey
	}
	kinds[d.cfg.Type](d.cfg, p, out)
	return nil
}

// payload are the texts of a delivery. An empty key is none.
type payload struct {
	data, key   drakkar.Bytes
	topic, path string
}

// kinds make payloads of each type of sink.
var kinds = map[string]func(d config.ExecDelivery, p payload, out *drakkar.CollectResult){
	typeKafka: func(d config.ExecDelivery, p payload, out *drakkar.CollectResult) {
		out.Kafka = append(out.Kafka, drakkar.KafkaPayload{Sink: d.Sink, Data: p.data, Key: p.key, Topic: p.topic})
	},
	"postgres": func(d config.ExecDelivery, p payload, out *drakkar.CollectResult) {
		out.Postgres = append(out.Postgres, drakkar.PostgresPayload{Sink: d.Sink, Data: p.data, Table: d.Table})
	},
	"mongo": func(d config.ExecDelivery, p payload, out *drakkar.CollectResult) {
		out.Mongo = append(out.Mongo, drakkar.MongoPayload{Sink: d.Sink, Data: p.data, Collection: d.Collection})
	},
	"http": func(d config.ExecDelivery, p payload, out *drakkar.CollectResult) {
		out.HTTP = append(out.HTTP, drakkar.HTTPPayload{Sink: d.Sink, Data: p.data})
	},
	"redis": func(d config.ExecDelivery, p payload, out *drakkar.CollectResult) {
		out.Redis = append(out.Redis, drakkar.RedisPayload{Sink: d.Sink, Data: p.data, Key: string(p.key), TTL: d.TTL})
	},
	typeFilesystem: func(d config.ExecDelivery, p payload, out *drakkar.CollectResult) {
		out.Files = append(out.Files, drakkar.FilePayload{Sink: d.Sink, Data: p.data, Path: p.path})
	},
}

func (d delivery) render(o output, text drakkar.Bytes) (p payload, err error) {
	p.data = text
	if d.cfg.Type == typeFilesystem {
		p.data = bytes.TrimSuffix(text, []byte("\n")) // the sink ends lines itself
	}
	if d.data != nil {
		if p.data, err = d.data.render(o); err != nil {
			return p, err
		}
	}
	key, err := d.key.text(o)
	if err != nil {
		return p, err
	}
	if key != "" {
		p.key = drakkar.Bytes(key)
	}
	if p.topic, err = d.topic.text(o); err != nil {
		return p, err
	}
	p.path, err = d.path.text(o)
	return p, err
}
