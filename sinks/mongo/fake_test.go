package mongo_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// fake is a server in this process that answers writes as it is told, with what
// FerretDB knows nothing of: write concern, indexes that are unique, codes.
type fake struct {
	listener net.Listener
	answer   func(command string, docs []bson.Raw) bson.D
	// maxMessage is how large a message may be for the server.
	maxMessage int

	mu       sync.Mutex
	commands []bson.Raw // without those of the handshake
	conns    []net.Conn
	wg       sync.WaitGroup
}

// The kinds of messages of the protocol.
const (
	opReply = 1
	opQuery = 2004
	opMsg   = 2013
)

// usualMessage is how large a message may be for servers out there.
const usualMessage = 48_000_000

// newFake starts a server that calls answer for each write, with its documents,
// and each find.
func newFake(t *testing.T, answer func(command string, docs []bson.Raw) bson.D) *fake {
	t.Helper()

	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &fake{listener: listener, answer: answer, maxMessage: usualMessage}
	f.wg.Go(f.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		f.mu.Lock()
		for _, c := range f.conns {
			_ = c.Close()
		}
		f.mu.Unlock()
		f.wg.Wait()
	})
	return f
}

func (f *fake) uri(options string) string {
	return "mongodb://" + f.listener.Addr().String() + "/" + options
}

// last is the last command of that name.
func (f *fake) last(t *testing.T, name string) bson.Raw {
	t.Helper()

	f.mu.Lock()
	defer f.mu.Unlock()
	for _, command := range slices.Backward(f.commands) {
		if nameOf(command) == name {
			return command
		}
	}
	require.Fail(t, "there was no command "+name)
	return nil
}

func (f *fake) accept() {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns = append(f.conns, c)
		f.mu.Unlock()
		f.wg.Go(func() { f.serve(c) })
	}
}

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	for {
		header := make([]byte, 16)
		if _, err := io.ReadFull(c, header); err != nil {
			return
		}
		body := make([]byte, binary.LittleEndian.Uint32(header)-16)
		if _, err := io.ReadFull(c, body); err != nil {
			return
		}
		kind, in, docs := read(binary.LittleEndian.Uint32(header[12:]), body)
		out, err := bson.Marshal(f.handle(in, docs))
		if err != nil {
			return
		}
		front := []byte{0, 0, 0, 0, 0} // flags, and the kind of the section
		if kind == opReply {
			front = append(make([]byte, 16), 1, 0, 0, 0) // flags, cursor, start; one document
		}
		head := binary.LittleEndian.AppendUint32(nil, uint32(16+len(front)+len(out)))
		head = binary.LittleEndian.AppendUint32(head, 1)
		head = append(head, header[4:8]...)
		head = binary.LittleEndian.AppendUint32(head, kind)
		if _, err := c.Write(bytes.Join([][]byte{head, front, out}, nil)); err != nil {
			return
		}
	}
}

// read finds the command and its documents in a message, and the kind of the
// answer to it.
func read(kind uint32, body []byte) (answer uint32, in bson.Raw, docs []bson.Raw) {
	if kind == opQuery {
		name := bytes.IndexByte(body[4:], 0)
		return opReply, bson.Raw(body[4+name+1+8:]), nil
	}
	for rest := body[4:]; len(rest) > 0; {
		size := binary.LittleEndian.Uint32(rest[1:])
		section := rest[1 : 1+size]
		if rest[0] == 0 {
			in = bson.Raw(section)
		} else {
			section = section[4+bytes.IndexByte(section[4:], 0)+1:]
			for len(section) > 0 {
				n := binary.LittleEndian.Uint32(section)
				docs = append(docs, bson.Raw(section[:n]))
				section = section[n:]
			}
		}
		rest = rest[1+size:]
	}
	return opMsg, in, docs
}

func nameOf(command bson.Raw) string {
	elements, err := command.Elements()
	if err != nil || len(elements) == 0 {
		return ""
	}
	return elements[0].Key()
}

func (f *fake) handle(in bson.Raw, docs []bson.Raw) bson.D {
	switch name := nameOf(in); name {
	case "hello", "isMaster", "ismaster":
		return bson.D{
			{Key: "ok", Value: 1}, {Key: "isWritablePrimary", Value: true}, {Key: "ismaster", Value: true}, {Key: "helloOk", Value: true},
			{Key: "maxBsonObjectSize", Value: 16 << 20}, {Key: "maxMessageSizeBytes", Value: f.maxMessage},
			{Key: "maxWriteBatchSize", Value: 100_000}, {Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 21},
		}
	case "insert", "update", "find":
		f.mu.Lock()
		f.commands = append(f.commands, in)
		f.mu.Unlock()
		return f.answer(name, docs)
	default:
		return bson.D{{Key: "ok", Value: 1}}
	}
}
