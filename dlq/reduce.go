package dlq

import (
	"fmt"
	"unicode/utf8"

	"github.com/drakkar-go/drakkar"
)

const (
	tooLarge = "too large for the dead letter queue"

	// smallExcerpt is what is left of outputs, errors and the like.
	smallExcerpt = 1 << 10
)

// reductions make a dead letter smaller, each of them more than the one before.
// They change copies: the caller keeps what it has for further attempts. What
// is left out of the source can still be read from its topic.
var reductions = []func(Envelope) Envelope{withoutSource, withoutContent, bare}

// withoutSource leaves out the source's value and most of the output.
func withoutSource(e Envelope) Envelope {
	if e.Source.Value != nil {
		e.Source.ValueMissing = missing(len(e.Source.Value))
		e.Source.Value = nil
	}
	if e.Task != nil {
		t := *e.Task
		t.cut(smallExcerpt)
		e.Task = &t
	}
	return e
}

// withoutContent leaves out the payload's value and what the task was given,
// too.
func withoutContent(e Envelope) Envelope {
	e = withoutSource(e)
	if e.Payload != nil && e.Payload.Value != nil {
		p := *e.Payload
		e.PayloadMissing = missing(len(p.Value))
		p.Value = nil
		e.Payload = &p
	}
	if e.Task != nil {
		t := *e.Task
		t.Task.Args, t.Task.Stdin, t.Task.Env, t.Task.Metadata = nil, nil, nil, nil
		t.Task.Labels, t.Task.Precomputed, t.Task.SourceOffsets = nil, nil, nil
		t.Cut = true
		e.Task = &t
	}
	return e
}

// bare leaves coordinates, the reason, and the name of the sink.
func bare(e Envelope) Envelope {
	e = withoutContent(e)
	if e.Source.Key != nil || e.Source.Headers != nil {
		e.Source.Key, e.Source.Headers = nil, nil
		e.Source.ValueMissing = tooLarge
	}
	if e.Payload != nil {
		p := *e.Payload
		p.Key, p.Headers, p.Target = nil, nil, shorten(p.Target)
		e.Payload, e.PayloadMissing = &p, tooLarge
	}
	if e.Task != nil {
		e.Task = &Task{
			Task: drakkar.Task{ID: shorten(e.Task.Task.ID)}, Cut: true,
			Kind: e.Task.Kind, Message: shorten(e.Task.Message), ExitCode: e.Task.ExitCode,
		}
	}
	e.Error = shorten(e.Error)
	return e
}

func missing(bytes int) string { return fmt.Sprintf("%s (%d bytes)", tooLarge, bytes) }

// shorten cuts a text between two characters.
func shorten(s string) string {
	if len(s) <= smallExcerpt {
		return s
	}
	s = s[:smallExcerpt]
	for s != "" && !utf8.RuneStart(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s[:max(0, len(s)-1)] + "..."
}
