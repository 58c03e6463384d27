package http_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/sinks"
)

// request is one that the server has read.
type request struct {
	*http.Request

	body []byte
}

// endpoint is a server that keeps what it is sent, once for each idempotency
// key, and misbehaves on order.
type endpoint struct {
	*httptest.Server

	// answer may answer by itself: then nothing is kept.
	answer func(w http.ResponseWriter, r request) (answered bool)

	mu       sync.Mutex
	requests []request
	keys     map[string]bool
	bodies   [][]byte
	conns    int
}

func newEndpoint(t *testing.T, answer func(w http.ResponseWriter, r request) bool) *endpoint {
	t.Helper()

	e := newUnstarted(t, answer)
	e.Start()
	return e
}

func newUnstarted(t *testing.T, answer func(w http.ResponseWriter, r request) bool) *endpoint {
	t.Helper()

	e := &endpoint{answer: answer, keys: map[string]bool{}}
	e.Server = httptest.NewUnstartedServer(e)
	e.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.conns++
		}
	}
	t.Cleanup(func() {
		e.CloseClientConnections()
		e.Close()
	})
	return e
}

// ServeHTTP implements http.Handler.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client left
	}
	e.mu.Lock()
	e.requests = append(e.requests, request{r, body})
	e.mu.Unlock()
	if e.answer != nil && e.answer(w, request{r, body}) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if key := r.Header.Get("Idempotency-Key"); !e.keys[key] {
		e.keys[key] = true
		e.bodies = append(e.bodies, body)
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"ok":true}`)
}

// kept are the bodies it has, each idempotency key once.
func (e *endpoint) kept() [][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([][]byte{}, e.bodies...)
}

// elements are those of the arrays it has.
func (e *endpoint) elements(t require.TestingT) [][]byte {
	var rows [][]byte
	for _, body := range e.kept() {
		var array []json.RawMessage
		require.NoError(t, json.Unmarshal(body, &array))
		for _, el := range array {
			rows = append(rows, el)
		}
	}
	return rows
}

// seen are all requests, in the order of their coming.
func (e *endpoint) seen() []request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]request{}, e.requests...)
}

func (e *endpoint) connections() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.conns
}

// hangUp writes the beginning of an answer and cuts the connection.
func hangUp(w http.ResponseWriter, answer string) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = rw.WriteString(answer)
	_ = rw.Flush()
	_ = conn.Close()
}

// payloads are n payloads of JSON.
func payloads(n int) []sinks.Payload {
	batch := make([]sinks.Payload, n)
	for i := range batch {
		batch[i] = sinks.Payload{ID: id(i), Value: []byte{'0' + byte(i%10)}}
	}
	return batch
}

func id(i int) string { return "orders~ab12/0/" + string(rune('a'+i)) + "/m/0" }
