package executor

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drakkar-go/drakkar"
)

// pieces is a reader that returns the bytes in pieces of the given sizes.
type pieces struct {
	data  []byte
	sizes func() int
}

// Read implements io.Reader.
func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.data[:min(len(p.data), max(1, p.sizes()))])
	p.data = p.data[n:]
	return n, nil
}

func anyFraming() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{FramingLines, FramingLength})
}

// Messages come out as they went in, however the bytes arrive.
func TestFrames_RoundTrip(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		framing := anyFraming().Draw(t, "framing")
		messages := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 3000), 0, 6).Draw(t, "messages")
		var wire []byte
		for i, m := range messages {
			if framing == FramingLines {
				m = bytes.ReplaceAll(m, []byte{'\n'}, []byte{' '})
				messages[i] = m
			}
			wire = appendFrame(wire, framing, m)
		}
		f := frames{framing: framing, max: 3000, src: &pieces{data: wire, sizes: func() int {
			return rapid.IntRange(1, 2000).Draw(t, "size")
		}}}
		for _, m := range messages {
			got, err := f.next()
			require.NoError(t, err)
			require.True(t, bytes.Equal(m, got))
			require.Contains(t, string(f.held()), string(m))
		}
		_, err := f.next()
		require.Equal(t, io.EOF, err)
		require.Empty(t, f.held())
		require.False(t, f.beyond())
	})
}

func TestFrames_Ends(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name, framing, wire string
		frames              []string
		err                 error
		held                string
	}{
		{"Nothing", FramingLines, "", nil, io.EOF, ""},
		{"InALine", FramingLines, "a\nbc", []string{"a"}, io.ErrUnexpectedEOF, "bc"},
		{"InALength", FramingLength, "\x00\x00\x00\x01a\x00\x00", []string{"a"}, io.ErrUnexpectedEOF, "\x00\x00"},
		{"InAMessage", FramingLength, "\x00\x00\x00\x02a", nil, io.ErrUnexpectedEOF, "\x00\x00\x00\x02a"},
		{"EmptyMessages", FramingLength, "\x00\x00\x00\x00\x00\x00\x00\x00", []string{"", ""}, io.EOF, ""},
		{"LongestLine", FramingLines, "12345678\n", []string{"12345678"}, io.EOF, ""},
		{"LongLine", FramingLines, "a\n123456789\nx", []string{"a"}, errFrameTooLong, "123456789\nx"},
		{"LongLength", FramingLength, "Hello world", nil, errFrameTooLong, "Hello world"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			f := frames{framing: tt.framing, max: 8, src: strings.NewReader(tt.wire)}
			for _, want := range tt.frames {
				got, err := f.next()
				require.NoError(t, err)
				require.Equal(t, want, string(got))
			}
			_, err := f.next()
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.held, string(f.held()))
		})
	}
}

func TestFrames_ReadError(t *testing.T) {
	t.Parallel()

	f := frames{framing: FramingLines, max: 8, src: io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(errAway))}
	got, err := f.next()
	require.NoError(t, err)
	require.Equal(t, "a", string(got))
	_, err = f.next()
	require.Equal(t, errAway, err)
	require.Equal(t, "b", string(f.held()))
}

// Of a line without an end, no more is held than the limit and one read.
func TestFrames_HoldsLittle(t *testing.T) {
	t.Parallel()

	const limit = 100_000
	f := frames{framing: FramingLines, max: limit, src: neverEnding{}}
	_, err := f.next()
	require.ErrorIs(t, err, errFrameTooLong)
	require.LessOrEqual(t, cap(f.buf), 3*limit)

	large := frames{framing: FramingLines, max: limit, src: strings.NewReader(strings.Repeat("x", limit) + "\n")}
	_, err = large.next()
	require.NoError(t, err)
	_, err = large.next()
	require.Equal(t, io.EOF, err)
	require.LessOrEqual(t, cap(large.buf), frameBuffer, "a large answer is not held for ever")
}

// neverEnding is a reader of one line without an end.
type neverEnding struct{}

// Read implements io.Reader.
func (neverEnding) Read(b []byte) (int, error) {
	return copy(b, bytes.Repeat([]byte("x"), len(b))), nil
}

// Any bytes at all, in any pieces, are cut in the same way, into frames that
// are no longer than they may be, and nothing gets lost or is invented.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("{\"ready\":1}\n{\"id\":1}\n"), false, uint8(3))
	f.Add([]byte("\x00\x00\x00\x02{}\x00\x00\x00\x00\xff"), true, uint8(1))
	f.Add([]byte("Hello"), true, uint8(200))
	f.Fuzz(func(t *testing.T, wire []byte, length bool, size uint8) {
		framing := FramingLines
		if length {
			framing = FramingLength
		}
		cut := func(src io.Reader) (all [][]byte, rest []byte, err error) {
			fr := frames{framing: framing, max: 64, src: src}
			for {
				frame, err := fr.next()
				if err != nil {
					return all, bytes.Clone(fr.held()), err
				}
				require.LessOrEqual(t, len(frame), 64)
				all = append(all, bytes.Clone(frame))
			}
		}
		whole, _, wholeErr := cut(bytes.NewReader(wire))
		inPieces, rest, err := cut(&pieces{data: wire, sizes: func() int { return int(size) }})
		require.Equal(t, whole, inPieces)
		require.Equal(t, wholeErr == io.EOF, err == io.EOF) //nolint:errorlint // it is returned bare
		require.Equal(t, errors.Is(wholeErr, errFrameTooLong), errors.Is(err, errFrameTooLong))
		var again []byte
		for _, m := range inPieces {
			again = appendFrame(again, framing, m)
		}
		require.True(t, bytes.HasPrefix(wire, append(again, rest...)))
	})
}

// Whatever a program answers, it is an answer to what was asked or an error of
// one line.
func FuzzDecodeAnswer(f *testing.F) {
	f.Add([]byte(`{"id":3,"exit_code":0,"stdout":"x","stderr":{"base64":"/w=="}}`))
	f.Add([]byte(`{"id":1,"exit_code":0}`))
	f.Add([]byte(`{"ready":1}`))
	f.Add([]byte("\xff"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		for _, err := range []error{decodeReady(frame), answerError(t, frame)} {
			if err != nil {
				_, is := errors.AsType[*protocolError](err)
				require.True(t, is)
				require.NotContains(t, err.Error(), "\n")
				require.Less(t, len(err.Error()), maxErrorLine+100)
			}
		}
	})
}

func answerError(t *testing.T, frame []byte) error {
	t.Helper()

	a, err := decodeAnswer(frame, 3)
	if err == nil {
		require.EqualValues(t, 3, *a.ID)
		require.LessOrEqual(t, *a.ExitCode, maxExitCode)
	}
	return err
}

// A request says all that a spawned program would be given.
func TestEncodeRequest(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		task drakkar.Task
		want string
	}{
		{drakkar.Task{ID: "a"}, `{"id":7,"task":"a","args":[]}`},
		{drakkar.Task{ID: "a", Stdin: drakkar.Bytes{}}, `{"id":7,"task":"a","args":[],"stdin":""}`},
		{
			drakkar.Task{ID: "a", Args: []string{"", "x\ny", "\xff"}, Stdin: drakkar.Bytes("in\n")},
			`{"id":7,"task":"a","args":["","x\ny",{"base64":"/w=="}],"stdin":"in\n"}`,
		},
	} {
		for _, framing := range []string{FramingLines, FramingLength} {
			frame, err := encodeRequest(framing, 7, tt.task)
			require.NoError(t, err)
			f := frames{framing: framing, max: 1000, src: bytes.NewReader(frame)}
			message, err := f.next()
			require.NoError(t, err)
			require.JSONEq(t, tt.want, string(message))
			require.True(t, json.Valid(message))
		}
	}
}
