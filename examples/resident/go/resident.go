package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"unicode/utf8"
)

// This file is the resident protocol of Drakkar, docs/resident.md. Copy it: it
// needs nothing but the standard library.

// Task is what Serve hands to its function.
type Task struct {
	Args           []string
	Stdin          []byte
	Stdout, Stderr io.Writer
}

// Serve calls handle, which returns the exit code, for each task. A panic is
// exit code 1, with its stack. Serve returns at the end of the input.
//
// Print as you like: os.Stdout becomes os.Stderr, which is the task's, and
// os.Stdin is empty. The descriptors stay what they are: what has taken
// os.Stdout before, as a logger made in a package variable, or prints from C,
// breaks the protocol. When the program was not started as a resident one, it
// does the one task of its arguments and its standard input, and exits.
func Serve(handle func(Task) int) error {
	stdin, stdout := os.Stdin, os.Stdout
	empty, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	os.Stdin, os.Stdout = empty, os.Stderr
	framing, resident := os.LookupEnv("DRAKKAR_RESIDENT")
	if !resident {
		input, err := io.ReadAll(stdin)
		if err != nil {
			return fmt.Errorf("reading standard input: %w", err)
		}
		os.Exit(guarded(handle, Task{Args: os.Args[1:], Stdin: input, Stdout: stdout, Stderr: os.Stderr}))
	}
	if err := os.Unsetenv("DRAKKAR_RESIDENT"); err != nil { // not for our own children
		return err
	}
	s := &stream{in: bufio.NewReader(stdin), out: stdout, length: framing == "length"}
	if err := s.write(map[string]int{"ready": 1}); err != nil {
		return err
	}
	for {
		message, err := s.read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a request: %w", err)
		}
		if err := s.serve(message, handle); err != nil {
			return err
		}
	}
}

// stream is the two ends of the protocol.
type stream struct {
	in     *bufio.Reader
	out    io.Writer
	length bool // length-prefixed, not lines
}

// anyBytes is text, or {"base64": ...}.
type anyBytes []byte

// MarshalJSON implements json.Marshaler.
func (b anyBytes) MarshalJSON() ([]byte, error) {
	if utf8.Valid(b) {
		return json.Marshal(string(b))
	}
	return json.Marshal(map[string][]byte{"base64": b})
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *anyBytes) UnmarshalJSON(data []byte) error {
	if data[0] == '{' {
		var wrapped struct {
			Base64 []byte `json:"base64"`
		}
		err := json.Unmarshal(data, &wrapped)
		*b = wrapped.Base64
		return err
	}
	var text string
	err := json.Unmarshal(data, &text)
	*b = anyBytes(text)
	return err
}

// serve does one task.
func (s *stream) serve(message []byte, handle func(Task) int) error {
	var request struct {
		ID    int64      `json:"id"`
		Args  []anyBytes `json:"args"`
		Stdin anyBytes   `json:"stdin"`
	}
	if err := json.Unmarshal(message, &request); err != nil {
		return fmt.Errorf("decoding a request: %w", err)
	}
	var stdout, stderr bytes.Buffer
	t := Task{Stdin: request.Stdin, Stdout: &stdout, Stderr: &stderr}
	for _, a := range request.Args {
		t.Args = append(t.Args, string(a))
	}
	code := guarded(handle, t)
	return s.write(map[string]any{
		"id": request.ID, "exit_code": code, "stdout": anyBytes(stdout.Bytes()), "stderr": anyBytes(stderr.Bytes()),
	})
}

// guarded turns a panic into an exit code: a task that fails is no reason to
// end.
func guarded(handle func(Task) int, t Task) (code int) {
	defer func() {
		if value := recover(); value != nil {
			fmt.Fprintf(t.Stderr, "panic: %v\n%s", value, debug.Stack())
			code = 1
		}
	}()
	return handle(t) & 0xff // as of a process
}

func (s *stream) read() ([]byte, error) {
	if !s.length {
		return s.in.ReadBytes('\n')
	}
	var length uint32
	if err := binary.Read(s.in, binary.BigEndian, &length); err != nil {
		return nil, err
	}
	message := make([]byte, length)
	_, err := io.ReadFull(s.in, message)
	return message, err
}

func (s *stream) write(message any) error {
	data, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encoding an answer: %w", err)
	}
	if s.length {
		data = append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...)
	} else {
		data = append(data, '\n')
	}
	if _, err := s.out.Write(data); err != nil {
		return fmt.Errorf("writing an answer: %w", err)
	}
	return nil
}
