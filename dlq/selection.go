package dlq

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"
)

// Selection says which dead letters are meant: those that match each of its
// fields that is set. Of the values of one field, one has to match.
type Selection struct {
	// IDs of dead letters.
	IDs []string `json:"ids,omitempty"`

	Kinds   []Kind   `json:"kinds,omitempty"`
	Classes []string `json:"classes,omitempty"`

	// Sinks as type:name, or as the name alone. Only payloads have one.
	Sinks []string `json:"sinks,omitempty"`

	// Topics and Partitions are those of the source message.
	Topics     []string `json:"topics,omitempty"`
	Partitions []int32  `json:"partitions,omitempty"`

	// Since and Until bound the time at which the dead letter was made; Since
	// is within, Until is not.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`

	// Text is found, as it is written, in the error, in keys, values and
	// headers, or in the task's arguments and output.
	Text string `json:"text,omitempty"`
}

// Canonical is the selection with its lists in order and without repetitions: it
// selects the same, and equals every other that was written down otherwise.
func (s Selection) Canonical() Selection {
	s.IDs, s.Kinds, s.Classes = canonical(s.IDs), canonical(s.Kinds), canonical(s.Classes)
	s.Sinks, s.Topics, s.Partitions = canonical(s.Sinks), canonical(s.Topics), canonical(s.Partitions)
	return s
}

func canonical[T cmp.Ordered](list []T) []T {
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// Matches reports whether the dead letter is selected.
func (s Selection) Matches(e Envelope) bool {
	return anyOf(s.IDs, e.ID) && anyOf(s.Kinds, e.Kind) && anyOf(s.Classes, e.Class) &&
		anyOf(s.Topics, e.Source.Topic) && anyOf(s.Partitions, e.Source.Partition) &&
		s.sink(e) && s.time(e.Written) && (s.Text == "" || e.contains([]byte(s.Text)))
}

func anyOf[T comparable](wanted []T, got T) bool {
	return len(wanted) == 0 || slices.Contains(wanted, got)
}

func (s Selection) sink(e Envelope) bool {
	if len(s.Sinks) == 0 {
		return true
	}
	if e.Payload == nil || e.Kind != KindPayload {
		return false
	}
	return slices.Contains(s.Sinks, e.Payload.To.String()) || slices.Contains(s.Sinks, e.Payload.To.Name)
}

func (s Selection) time(written time.Time) bool {
	return !written.Before(s.Since) && (s.Until.IsZero() || written.Before(s.Until))
}

// contains reports whether the text is in what people look for.
func (e Envelope) contains(text []byte) bool {
	in := func(b []byte) bool { return bytes.Contains(b, text) }
	has := func(s string) bool { return strings.Contains(s, string(text)) }
	if has(e.ID) || has(e.Error) || in(e.Source.Key) || in(e.Source.Value) {
		return true
	}
	for _, h := range e.Source.Headers {
		if has(h.Key) || in(h.Value) {
			return true
		}
	}
	if p := e.Payload; p != nil && (in(p.Key) || in(p.Value) || has(p.Target) || has(p.Topic)) {
		return true
	}
	t := e.Task
	return t != nil && (has(t.Task.ID) || has(t.Message) || in(t.Task.Stdin) || in(t.Stdout) || in(t.Stderr) || slices.ContainsFunc(t.Task.Args, has))
}
