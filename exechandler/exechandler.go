// Package exechandler is the handler of a pipeline that is written in YAML
// alone: one command for each message, its arguments, standard input and
// environment text/templates over the decoded message, its output mapped to
// sinks by further templates. Its settings are config.ExecHandler.
//
// # What templates see
//
// All templates see the message:
//
//	.Value           the decoded JSON value; numbers keep all of their digits
//	.Raw             the value as text
//	.Key             the key as text
//	.Topic .Partition .Offset
//	.Timestamp       a time: {{.Timestamp.Unix}}
//	.Header "name"   the last header of that name, as text
//
// Those of deliver see its output too:
//
//	.Output          the text: all of stdout, a line, or a JSON value
//	.JSON            the output decoded, with output: json
//	.Index           the number of the output, from 0
//	.ExitCode .DurationSeconds
//	.Stderr          as far as it was kept
//
// What a message does not have is nil: .Value and .Raw of a tombstone, .Value
// of one that could not be decoded and was let pass, .Key, .Timestamp and a
// header that is not there. With input: raw there is no .Value at all.
//
// # What templates print
//
// Text is printed as it is, numbers in full, a time as RFC 3339, lists and
// objects as JSON. A field that is not there, nil and JSON's null are never
// printed as some word: they are errors of the message.
//
// Besides the functions of text/template there are
//
//	json VALUE              as JSON, null included
//	default ALTERNATIVE VALUE   the alternative for nil and empty text
//	join SEPARATOR LIST     the elements of a list
//	lower, upper, trim TEXT
//	base64 TEXT
//	number VALUE            a number of text, and for printf "%d"
//
// Numbers of JSON are compared by what they are worth, whatever they are written
// like and compared with, and to if, with, and, or and not 0 is false. Beside
// text a number is equal to its own digits.
//
// A field that may be missing is asked for by index:
//
//	{{default "all" (index .Value "scope")}}
//
// # How the program runs
//
// As executor.mode says: with resident, one program takes the commands of many
// messages, each with its arguments and standard input, in the protocol of
// docs/resident.md. Env that is a template over the message makes the programs
// differ, and each of them takes only messages with the same values.
//
// # What becomes of messages and exit codes
//
// A message that a template cannot be rendered for is dead-lettered at once
// with the setting's name, and the others of its window go on.
//
// Exit code 0 and success_codes mean that stdout is delivered. After
// retry_codes the task runs again as its retry policy says, skip_codes are
// accepted without output, and anything else, a timeout and a signal included,
// goes by on_failure. A program that cannot be started is not tried again:
// with on_failure retry it is dead-lettered at once, like with dlq.
//
// Output that was cut at executor.max_output_bytes is never delivered as if it
// were whole. It is an error of the task's hook, as is stdout that is not JSON
// with output: json, and a delivery whose template cannot be rendered: nothing
// of that message is delivered, and it goes to the dead letter queue in the
// end.
package exechandler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
)

var (
	_ drakkar.Handler[any]      = (*handler)(nil)
	_ drakkar.Deserializer[any] = (*handler)(nil)
	_ drakkar.TaskCompleter     = (*handler)(nil)
	_ drakkar.ErrorHandler      = (*handler)(nil)
)

// handler is a pipeline of one command for each message.
type handler struct {
	cfg       config.ExecHandler
	command   command
	deliver   []delivery
	carried   fields // of the message, for the templates of deliver
	wantsText bool   // a delivery depends on stdout being whole
}

// New compiles the templates and returns the pipeline. Binary is
// executor.binary_path, which runs when handler.exec.binary is empty. The error
// names every setting that is wrong.
func New(cfg config.ExecHandler, binary string) (*drakkar.Pipeline, error) {
	h, err := newHandler(cfg, binary)
	if err != nil {
		return nil, err
	}
	return drakkar.NewPipeline(h), nil
}

func newHandler(cfg config.ExecHandler, binary string) (*handler, error) {
	h := &handler{cfg: cfg}
	var errs []error
	if cfg.Binary == "" && binary == "" {
		errs = append(errs, errors.New("handler.exec.binary: must be set, or executor.binary_path"))
	}
	c := &compiler{}
	h.command = compileCommand(c, cfg)
	c.used = fields{} // from here on: what has to be carried
	known := deliveryFields(cfg)
	for i, d := range cfg.Deliver {
		h.deliver = append(h.deliver, compileDelivery(c, fmt.Sprintf("handler.exec.deliver[%d]", i), d, known))
	}
	h.carried = c.used
	h.wantsText = cfg.Output != outputWhole || c.used[fieldOutput]
	if err := errors.Join(append(errs, c.errs...)...); err != nil {
		return nil, err
	}
	return h, nil
}

// Deserialize decodes the value as one JSON value, or not at all.
func (h *handler) Deserialize(_ context.Context, r drakkar.Record) (any, error) {
	if h.cfg.Input == inputRaw {
		return nil, nil
	}
	return decodeJSON(r.Value)
}

// The values of input.
const inputRaw = "raw"

// decodeJSON decodes exactly one value. Numbers stay as they are written.
func decodeJSON(data []byte) (value any, err error) {
	if !utf8.Valid(data) { // the decoder would put other characters there, the same for all
		return nil, errors.New("decoding the value as JSON: it is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		return nil, fmt.Errorf("decoding the value as JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("decoding the value as JSON: there is something behind the first value")
	}
	return value, nil
}

// Arrange makes one task for each message.
func (h *handler) Arrange(_ context.Context, w drakkar.Window[any]) ([]drakkar.Task, error) {
	tasks := make([]drakkar.Task, 0, len(w.Messages))
	for _, m := range w.Messages {
		tasks = append(tasks, h.task(m))
	}
	return tasks, nil
}

// task is the command for a message. A message that it cannot be rendered for
// becomes a task that has failed: an error of Arrange would hold up the whole
// window for all of its attempts, and no repetition can make a difference.
func (h *handler) task(m drakkar.Message[any]) drakkar.Task {
	t := m.Task()
	if err := h.command.render(messageScope(m), &t); err != nil {
		if m.PayloadErr != nil {
			err = errors.Join(err, m.PayloadErr)
		}
		t = drakkar.Task{ID: t.ID, SourceOffsets: t.SourceOffsets}
		t.Precomputed = &drakkar.Precomputed{ExitCode: -1, Stderr: drakkar.Bytes(err.Error())}
		carry(&t, luggage{Unrenderable: true})
		return t
	}
	carry(&t, pack(m, h.carried))
	return t
}

// OnError goes by the exit code.
func (h *handler) OnError(_ context.Context, t drakkar.Task, e drakkar.TaskError) drakkar.ErrorAction {
	l, err := luggageOf(t)
	if err != nil || l.Unrenderable {
		return drakkar.DeadLetter()
	}
	if e.Kind == drakkar.TaskExit {
		switch code := e.Result.ExitCode; {
		case slices.Contains(h.cfg.SuccessCodes, code):
			return drakkar.Replace(succeeded(t, l, e.Result))
		case slices.Contains(h.cfg.RetryCodes, code):
			return drakkar.Retry(0)
		case slices.Contains(h.cfg.SkipCodes, code):
			return drakkar.Skip()
		}
	}
	switch {
	case h.cfg.OnFailure == onFailureSkip:
		return drakkar.Skip()
	case h.cfg.OnFailure == onFailureDLQ || e.Kind == drakkar.TaskStart:
		return drakkar.DeadLetter()
	}
	return drakkar.Retry(0)
}

// The values of on_failure besides retry.
const (
	onFailureDLQ  = "dlq"
	onFailureSkip = "skip"
)

// succeeded is a task that has done what t did, as a success.
func succeeded(t drakkar.Task, l luggage, r drakkar.Result) drakkar.Task {
	l.ExitCode, l.Truncated = r.ExitCode, r.StdoutTruncated
	out := drakkar.Task{
		Labels:      t.Labels,
		Precomputed: &drakkar.Precomputed{Stdout: r.Stdout, Stderr: r.Stderr, Duration: r.Duration},
	}
	carry(&out, l)
	return out
}
