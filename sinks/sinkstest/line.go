package sinkstest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Line is a stretch of wire in front of a real server, which can be cut and
// held up: what Down, Up and Stall of a [Harness] need.
type Line struct {
	tb     testing.TB
	server string
	addr   string
	wg     sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while the line is down
	conns    map[net.Conn]bool
	held     chan struct{} // closed while nothing holds it up
}

// NewLine puts a line in front of the server at an address. It ends with the
// test.
func NewLine(tb testing.TB, server string) *Line {
	tb.Helper()

	l := &Line{tb: tb, server: server, addr: "127.0.0.1:0", conns: map[net.Conn]bool{}, held: make(chan struct{})}
	close(l.held)
	l.Up()
	l.addr = l.listener.Addr().String()
	tb.Cleanup(func() {
		l.Down()
		l.release()
		l.wg.Wait()
	})
	return l
}

// Addr is where clients connect to.
func (l *Line) Addr() string { return l.addr }

// Down cuts all connections and refuses new ones.
func (l *Line) Down() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		_ = l.listener.Close()
		l.listener = nil
	}
	for c := range l.conns {
		_ = c.Close()
	}
}

// Up lets connections through again, at the same address.
func (l *Line) Up() {
	l.tb.Helper()

	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", l.addr)
	require.NoError(l.tb, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener = listener
	l.wg.Go(func() { l.accept(listener) })
}

// Stall accepts connections and passes nothing on until resume.
func (l *Line) Stall() (resume func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = make(chan struct{})
	return l.release
}

func (l *Line) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.held:
	default:
		close(l.held)
	}
}

func (l *Line) gate() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

func (l *Line) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		l.wg.Go(func() { l.serve(client) })
	}
}

// serve connects a client to the server, until one of them ends it.
func (l *Line) serve(client net.Conn) {
	defer l.forget(client)
	if !l.keep(client) {
		return
	}
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", l.server)
	if err != nil {
		return
	}
	defer l.forget(server)
	if !l.keep(server) {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { l.pass(server, client) })
	l.pass(client, server)
	wg.Wait()
}

func (l *Line) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = true
	return l.listener != nil
}

func (l *Line) forget(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	_ = c.Close()
}

// pass copies one direction, and ends both with it.
func (l *Line) pass(to, from net.Conn) {
	_, _ = io.Copy(gated{to, l}, from)
	_ = to.Close()
	_ = from.Close()
}

// gated writes only while the line is not held up.
type gated struct {
	net.Conn
	line *Line
}

// Write implements io.Writer.
func (g gated) Write(p []byte) (int, error) {
	<-g.line.gate()
	return g.Conn.Write(p)
}
