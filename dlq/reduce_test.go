package dlq

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/sinks"
)

// genLarge draws bytes, text or not, in sizes that matter.
var genLarge = rapid.Custom(func(t *rapid.T) []byte {
	piece := rapid.SampledFrom([]string{"", "a", "é", "\xff", "\"", "\x00", "\u2028"}).Draw(t, "piece")
	return []byte(strings.Repeat(piece, rapid.SampledFrom([]int{0, 1, smallExcerpt - 1, smallExcerpt, smallExcerpt + 1, 5000}).Draw(t, "times")))
})

var genLetter = rapid.Custom(func(t *rapid.T) Envelope {
	large := func(of string) []byte { return genLarge.Draw(t, of) }
	e := Envelope{
		V: Version, ID: "orders~ab12/3/100/t0/0", Kind: KindPayload, Class: "permanent", Attempts: 2, Pipeline: "p", Workflow: "w",
		Error: string(large("error")),
		Payload: &sinks.Payload{
			ID: "orders~ab12/3/100/t0/0", To: sinks.Ref{Type: sinks.Kafka, Name: "out"}, Value: large("value"), Key: large("key"),
			Target: string(large("target")), Headers: []drakkar.Header{{Key: string(large("header")), Value: large("header's value")}},
			Source: drakkar.Source{Topic: "orders", Partition: 3, Offset: 100},
		},
		Source: Source{
			Topic: "orders", TopicID: "ab12", Partition: 3, Offset: 100, Key: large("source key"), Value: large("source value"),
			Headers: []drakkar.Header{{Key: "h", Value: large("source header")}},
		},
	}
	if rapid.Bool().Draw(t, "task") {
		e.Task = &Task{
			Task: drakkar.Task{
				ID: string(large("task id")), Args: []string{string(large("arg"))}, Stdin: large("stdin"),
				Env: map[string]string{"A": string(large("env"))}, Metadata: map[string]any{"m": string(large("metadata"))},
			},
			Kind: drakkar.TaskExit, Message: string(large("message")), ExitCode: 3, Stdout: large("stdout"), Stderr: large("stderr"),
		}
	}
	return e
})

// bareLimit is more than a bare letter of the shortest names ever takes.
const bareLimit = 32 << 10

// Each reduction is no longer than the one before and still a dead letter with
// its id, its reason and its coordinates; the letter itself is left alone.
func TestReductions(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		e := genLetter.Draw(t, "letter")
		before, err := json.Marshal(e)
		require.NoError(t, err)
		const slack = 1 << 10 // saying what is missing takes some room
		last := len(before)
		for _, reduce := range reductions {
			small := reduce(e)
			data, err := small.Encode()
			require.NoError(t, err)
			require.LessOrEqual(t, len(data), last+slack)
			last = len(data)

			got, err := Decode(data)
			require.NoError(t, err)
			require.Equal(t, []any{e.ID, e.Kind, e.Class, e.Attempts, e.Workflow}, []any{got.ID, got.Kind, got.Class, got.Attempts, got.Workflow})
			require.Equal(t, []any{"orders", "ab12", int32(3), int64(100)}, []any{got.Source.Topic, got.Source.TopicID, got.Source.Partition, got.Source.Offset})
			require.Equal(t, e.Payload.To, got.Payload.To)
			require.Equal(t, e.Task != nil, got.Task != nil)
			if e.Source.Value != nil {
				require.Nil(t, got.Source.Value)
				require.NotEmpty(t, got.Source.ValueMissing, "what is not there is told of")
			}
			if got.Payload.Value == nil && e.Payload.Value != nil {
				require.NotEmpty(t, got.PayloadMissing)
			}
			if got.Task != nil && len(got.Task.Stdout) < len(e.Task.Stdout) {
				require.True(t, got.Task.Cut)
				require.True(t, strings.HasSuffix(string(e.Task.Stdout), string(got.Task.Stdout)), "the end of it is kept")
			}
		}
		require.LessOrEqual(t, last, bareLimit)
		after, err := json.Marshal(e)
		require.NoError(t, err)
		require.Equal(t, string(before), string(after), "the caller's letter is left alone")
	})
}

// What JSON cannot hold goes with the reductions too.
func TestReductions_WhatCannotBeEncoded(t *testing.T) {
	t.Parallel()

	e := Envelope{ID: "id", Kind: KindTask, Task: &Task{Task: drakkar.Task{ID: "t", Metadata: map[string]any{"nan": math.NaN()}}}}
	_, err := e.Encode()
	require.ErrorContains(t, err, "encoding dead letter id")
	_, err = withoutContent(e).Encode()
	require.NoError(t, err)
	require.NotNil(t, e.Task.Task.Metadata)
}

func TestShorten(t *testing.T) {
	t.Parallel()

	for _, text := range []string{"", "short", strings.Repeat("x", smallExcerpt)} {
		require.Equal(t, text, shorten(text))
	}
	for _, piece := range []string{"x", "é", "€", "😀"} {
		got := shorten(strings.Repeat(piece, smallExcerpt+1))
		require.True(t, utf8.ValidString(got), "no character is cut")
		require.True(t, strings.HasSuffix(got, piece+"..."))
		require.InDelta(t, smallExcerpt, len(got), 8)
	}
	require.Equal(t, "...", shorten(strings.Repeat("\x80", smallExcerpt+1)), "no text at all")
}
