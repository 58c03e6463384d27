package http_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
	httpsink "github.com/drakkar-go/drakkar/sinks/http"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
	"github.com/drakkar-go/drakkar/sinks/sinkstest/conformance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// settings are those of a sink for tests.
func settings(url string) config.HTTPSink {
	return config.HTTPSink{URL: url, Method: http.MethodPost, Body: "payload", MaxConcurrency: 8}
}

func newSink(t *testing.T, cfg config.HTTPSink) *httpsink.Sink {
	t.Helper()

	s, err := httpsink.New("hook", cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return s
}

func harness(t *testing.T, change func(*config.HTTPSink)) (*endpoint, sinkstest.Harness) {
	t.Helper()

	e := newEndpoint(t, func(w http.ResponseWriter, r request) bool {
		if !bytes.Contains(r.body, []byte(`"bad"`)) {
			return false
		}
		// A server that tells what it was asked.
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprintf(w, "%s %s %v %s", r.Method, r.URL, r.Header, r.body)
		return true
	})
	line := sinkstest.NewLine(t, e.Listener.Addr().String())
	cfg := settings("http://drakkar:hunter2@" + line.Addr() + "/hooks/swordfish?key=open-sesame")
	cfg.Headers = map[string]string{"X-Token": "Bearer tr0ub4dor"}
	change(&cfg)
	return e, sinkstest.Harness{
		Sink: newSink(t, cfg),
		Rows: func(sinkstest.T) [][]byte { return e.kept() },
		Bad:  func(int) sinks.Payload { return sinks.Payload{Value: drakkar.Bytes(`{"kind":"bad"}`)} },
		Secrets: []string{
			"hunter2", "swordfish", "open-sesame", "tr0ub4dor",
			base64.StdEncoding.EncodeToString([]byte("drakkar:hunter2")),
		},
		Down:  func(sinkstest.T) { line.Down() },
		Up:    func(sinkstest.T) { line.Up() },
		Stall: func(sinkstest.T) func() { return line.Stall() },
	}
}

// killable is a harness whose server is killed by cutting all that leads to it:
// what it has kept stays.
func killable(h sinkstest.Harness) sinkstest.Harness {
	h.Kill, h.Restart = h.Down, h.Up
	return h
}

func TestSink_Conforms(t *testing.T) {
	t.Parallel()

	// The endpoint keeps to the idempotency key, so a redelivery leaves one.
	caps := sinkstest.Caps{Upserts: true, AnyBytes: true, Report: conformance.Of("HTTP", "a server that misbehaves on order")}
	caps.Own = func(t *testing.T) sinkstest.Harness {
		t.Helper()

		_, h := harness(t, func(*config.HTTPSink) {})
		return killable(h)
	}
	sinkstest.Exercise(t, caps, func(t *testing.T) sinkstest.Harness {
		t.Helper()

		_, h := harness(t, func(*config.HTTPSink) {})
		return h
	})
}

func TestSink_ConformsWithArrays(t *testing.T) {
	t.Parallel()

	open := func(t *testing.T) sinkstest.Harness {
		t.Helper()

		e, h := harness(t, func(cfg *config.HTTPSink) { cfg.Body = "batch" })
		h.Rows = func(t sinkstest.T) [][]byte { return e.elements(t) }
		return h
	}
	caps := sinkstest.Caps{
		Report:    conformance.Of("HTTP arrays", "a server that misbehaves on order"),
		NoUpserts: "after a failure an array may be cut differently, and then has another Idempotency-Key",
		Own:       func(t *testing.T) sinkstest.Harness { return killable(open(t)) },
	}
	sinkstest.Exercise(t, caps, open)
}

// status answers every request alike.
func status(code int, header ...string) func(http.ResponseWriter, request) bool {
	return func(w http.ResponseWriter, _ request) bool {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		return true
	}
}

// first answers only the first request so.
func first(answer func(http.ResponseWriter, request) bool) func(http.ResponseWriter, request) bool {
	var n atomic.Int32
	return func(w http.ResponseWriter, r request) bool { return n.Add(1) == 1 && answer(w, r) }
}

func failures(t *testing.T, err error) []sinks.Failure {
	t.Helper()

	var de *sinks.DeliverError
	require.ErrorAs(t, err, &de)
	return de.Failures
}

func TestSink_Request(t *testing.T) {
	t.Parallel()

	e := newEndpoint(t, nil)
	cfg := settings(strings.Replace(e.URL, "http://", "http://drakkar:hunter2@", 1) + "/in?a=b")
	cfg.Method = http.MethodPut
	cfg.Headers = map[string]string{"x-team": "blue", "x-kind": "set", "Host": "events.example", "User-Agent": "ours"}
	s := newSink(t, cfg)
	p := sinks.Payload{ID: "orders~ab12/0/7/m/0", Value: drakkar.Bytes("\x00raw"), Headers: []drakkar.Header{
		{Key: "Content-Type", Value: drakkar.Bytes("application/octet-stream")},
		{Key: "x-kind", Value: drakkar.Bytes("one")}, {Key: "X-Kind", Value: drakkar.Bytes("two")},
	}}
	require.NoError(t, s.Deliver(t.Context(), []sinks.Payload{p, {ID: "plain", Value: drakkar.Bytes("{}")}}))

	seen := e.seen()
	slices.SortFunc(seen, func(a, b request) int { return len(b.body) - len(a.body) })
	r := seen[0]
	require.Equal(t, "PUT /in?a=b", r.Method+" "+r.RequestURI)
	require.Equal(t, "\x00raw", string(r.body))
	require.Equal(t, p.ID, r.Header.Get(httpsink.HeaderID))
	require.Equal(t, []string{"application/octet-stream"}, r.Header["Content-Type"])
	require.Equal(t, []string{"one", "two"}, r.Header["X-Kind"])
	require.Equal(t, "blue", r.Header.Get("X-Team"))
	require.Equal(t, "ours", r.Header.Get("User-Agent"))
	require.Equal(t, "events.example", r.Host)
	user, password, _ := r.BasicAuth()
	require.Equal(t, "drakkar:hunter2", user+":"+password)

	require.Equal(t, []string{"application/json"}, seen[1].Header["Content-Type"], "the payload before has left no trace")
	require.Equal(t, []string{"set"}, seen[1].Header["X-Kind"])
}

func TestSink_Statuses(t *testing.T) {
	t.Parallel()

	classes := map[sinks.Class][]int{
		sinks.Transient: {401, 403, 407, 408, 425, 429, 500, 502, 503, 504, 507, 529},
		sinks.Permanent: {300, 301, 302, 303, 304, 307, 308, 400, 404, 405, 409, 410, 413, 415, 422, 451},
	}
	for class, codes := range classes {
		for _, code := range codes {
			t.Run(fmt.Sprint(code), func(t *testing.T) {
				t.Parallel()

				e := newEndpoint(t, status(code))
				f := failures(t, newSink(t, settings(e.URL)).Deliver(t.Context(), payloads(1)))[0]
				require.Equal(t, class, f.Class, "%v", f.Err)
				require.ErrorContains(t, f.Err, fmt.Sprintf("answered %d", code))
			})
		}
	}
	for _, code := range []int{200, 201, 202, 204, 207, 299} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()

			e := newEndpoint(t, status(code))
			require.NoError(t, newSink(t, settings(e.URL)).Deliver(t.Context(), payloads(1)))
		})
	}
}

// An endpoint that wants to talk something else holds nothing up, and the place
// of its connection is free again.
func TestSink_SwitchingProtocolsIsRefused(t *testing.T) {
	t.Parallel()

	e := newEndpoint(t, func(w http.ResponseWriter, _ request) bool {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(io.Discard, rw) // says nothing until it is hung up
		_ = conn.Close()
		return true
	})
	cfg := settings(e.URL)
	cfg.MaxConcurrency = 1
	fs := failures(t, newSink(t, cfg).Deliver(t.Context(), payloads(3)))
	require.Len(t, fs, 3)
	for _, f := range fs {
		require.Equal(t, sinks.Permanent, f.Class)
		require.ErrorContains(t, f.Err, "answered 101")
	}
}

// A conflict of a repeated request may be one with the request before, that the
// server still works on. It is not waited for without end.
func TestSink_Conflict(t *testing.T) {
	t.Parallel()

	for _, body := range []string{"payload", "batch"} {
		for attempt, class := range map[int]sinks.Class{
			1: sinks.Permanent, 2: sinks.Transient, 9: sinks.Transient, 10: sinks.Permanent, 11: sinks.Permanent,
		} {
			t.Run(fmt.Sprint(body, attempt), func(t *testing.T) {
				t.Parallel()

				e := newEndpoint(t, status(http.StatusConflict))
				cfg := settings(e.URL)
				cfg.Body, cfg.Delivery.MaxAttempts = body, 10
				fs := failures(t, newSink(t, cfg).Deliver(sinks.WithAttempt(t.Context(), attempt), payloads(2)))
				require.Len(t, fs, 2)
				require.Equal(t, class, fs[0].Class)
				if body == "batch" && class == sinks.Transient {
					require.Len(t, e.seen(), 1, "halves would have other keys")
				}
			})
		}
	}
}

// So may one of a request of an attempt that was cut off, or that the transport
// has sent again by itself.
func TestSink_ConflictOfAFirstAttempt(t *testing.T) {
	t.Parallel()

	for _, body := range []string{"payload", "batch"} {
		t.Run("CutOff"+body, func(t *testing.T) {
			t.Parallel()

			e := newEndpoint(t, status(http.StatusConflict))
			cfg := settings(e.URL)
			cfg.Body, cfg.Delivery.MaxAttempts = body, 10
			fs := failures(t, newSink(t, cfg).Deliver(sinks.WithRepeat(t.Context()), payloads(2)))
			require.Equal(t, sinks.Transient, fs[0].Class, "%v", fs[0].Err)

			cfg.Delivery.MaxAttempts = 1
			fs = failures(t, newSink(t, cfg).Deliver(sinks.WithRepeat(t.Context()), payloads(2)))
			require.Equal(t, sinks.Permanent, fs[0].Class, "%v", fs[0].Err)
		})
		t.Run("SentAgain"+body, func(t *testing.T) {
			t.Parallel()

			var asked atomic.Int32
			e := newEndpoint(t, func(w http.ResponseWriter, _ request) bool {
				switch asked.Add(1) {
				case 1:
					return false
				case 2:
					hangUp(w, "")
				default:
					w.WriteHeader(http.StatusConflict)
				}
				return true
			})
			cfg := settings(e.URL)
			cfg.Body, cfg.Delivery.MaxAttempts = body, 10
			s := newSink(t, cfg)
			require.NoError(t, s.Deliver(t.Context(), payloads(1)))
			f := failures(t, s.Deliver(t.Context(), payloads(1)))[0]
			require.EqualValues(t, 3, asked.Load())
			require.Equal(t, sinks.Transient, f.Class, "%v", f.Err)
			f = failures(t, s.Deliver(t.Context(), payloads(1)))[0]
			require.Equal(t, sinks.Permanent, f.Class, "this one was sent once: %v", f.Err)
		})
	}
}

func TestSink_RedirectsAreRefused(t *testing.T) {
	t.Parallel()

	other := newEndpoint(t, nil)
	e := newEndpoint(t, status(http.StatusTemporaryRedirect, "Location", other.URL+"/path?token=swordfish"))
	f := failures(t, newSink(t, settings(e.URL)).Deliver(t.Context(), payloads(1)))[0]
	require.Equal(t, sinks.Permanent, f.Class)
	require.ErrorContains(t, f.Err, "redirects are not followed, this one leads to "+other.URL)
	require.NotContains(t, f.Err.Error(), "swordfish")
	require.Empty(t, other.seen())
}

func TestSink_RetryAfter(t *testing.T) {
	t.Parallel()

	e := newEndpoint(t, status(http.StatusServiceUnavailable, "Retry-After", "7"))
	cfg := settings(e.URL)
	cfg.MaxConcurrency = 1
	fs := failures(t, newSink(t, cfg).Deliver(t.Context(), payloads(5)))
	require.Len(t, fs, 5)
	for i, f := range fs {
		require.Equal(t, i, f.Index)
		require.Equal(t, sinks.Transient, f.Class)
		require.Equal(t, 7*time.Second, f.RetryAfter)
	}
	require.Len(t, e.seen(), 1, "it is left alone at once")
	require.ErrorContains(t, fs[4].Err, "not sent")
}

// With one request at a time, nothing overtakes a payload that is tried again.
func TestSink_InOrder(t *testing.T) {
	t.Parallel()

	e := newEndpoint(t, func(w http.ResponseWriter, r request) bool {
		switch string(r.body) {
		case "1":
			w.WriteHeader(http.StatusBadRequest)
		case "3":
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			return false
		}
		return true
	})
	cfg := settings(e.URL)
	cfg.MaxConcurrency, cfg.Delivery.OnOpen, cfg.Delivery.MaxAttempts = 1, "dlq", 4
	s := newSink(t, cfg)
	fs := failures(t, s.Deliver(sinks.WithAttempt(t.Context(), 3), payloads(6)))
	got := map[int]sinks.Class{}
	for _, f := range fs {
		got[f.Index] = f.Class
	}
	require.Equal(t, map[int]sinks.Class{
		1: sinks.Permanent, 3: sinks.Transient, 4: sinks.Transient, 5: sinks.Transient,
	}, got)
	require.ErrorContains(t, fs[3].Err, "not sent, since another request failed")
	require.Equal(t, [][]byte{[]byte("0"), []byte("2")}, e.kept())

	fs = failures(t, s.Deliver(sinks.WithAttempt(t.Context(), 4), payloads(6)[3:]))
	require.Len(t, fs, 1, "what is given up after this attempt keeps nothing back")
	require.Equal(t, [][]byte{[]byte("0"), []byte("2"), []byte("4"), []byte("5")}, e.kept())
}

func TestSink_PartOfABatch(t *testing.T) {
	t.Parallel()

	e := newEndpoint(t, func(w http.ResponseWriter, r request) bool {
		switch string(r.body) {
		case "1":
			w.WriteHeader(http.StatusBadGateway)
		case "2":
			w.WriteHeader(http.StatusForbidden)
		case "3":
			w.WriteHeader(http.StatusTeapot)
		case "5":
			hangUp(w, "")
		case "6":
			hangUp(w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of")
		case "7":
			hangUp(w, "nonsense\r\n\r\n")
		default:
			return false
		}
		return true
	})
	fs := failures(t, newSink(t, settings(e.URL)).Deliver(t.Context(), payloads(9)))
	got := map[int]sinks.Class{}
	for _, f := range fs {
		got[f.Index] = f.Class
	}
	require.Equal(t, map[int]sinks.Class{
		1: sinks.Transient, 2: sinks.Transient, 3: sinks.Permanent, 5: sinks.Transient, 6: sinks.Transient, 7: sinks.Transient,
	}, got)
	require.ErrorContains(t, fs[4].Err, "reading the answer, which began with 200 OK")
	require.Len(t, e.kept(), 3)
}

// A server that goes away in the middle of a batch leaves what it has answered
// delivered, and takes the rest once it is back.
func TestSink_ServerGoesMidBatch(t *testing.T) {
	t.Parallel()

	var n atomic.Int32
	var line *sinkstest.Line
	e := newEndpoint(t, func(http.ResponseWriter, request) bool {
		if n.Add(1) == 30 {
			line.Down()
		}
		return false
	})
	line = sinkstest.NewLine(t, e.Listener.Addr().String())
	s := newSink(t, settings("http://"+line.Addr()))
	batch := make([]sinks.Payload, 200)
	for i := range batch {
		batch[i] = sinks.Payload{ID: fmt.Sprint(i), Value: drakkar.Bytes(fmt.Sprint(i))}
	}
	var left []sinks.Payload
	fs := failures(t, s.Deliver(t.Context(), batch))
	require.Less(t, len(fs), 180)
	for _, f := range fs {
		require.Equal(t, sinks.Transient, f.Class, "%v", f.Err)
		left = append(left, batch[f.Index])
	}
	line.Up()
	require.NoError(t, s.Deliver(t.Context(), left))
	var want [][]byte
	for _, p := range batch {
		want = append(want, p.Value)
	}
	require.ElementsMatch(t, want, e.kept(), "each is there, and once by its key")
}

// A kept connection that died meanwhile costs nothing.
func TestSink_DeadConnections(t *testing.T) {
	t.Parallel()

	e := newEndpoint(t, nil)
	s := newSink(t, settings(e.URL))
	for range 5 {
		require.NoError(t, s.Deliver(t.Context(), payloads(8)))
		e.CloseClientConnections()
	}
}

func TestSink_AnswersAreBounded(t *testing.T) {
	t.Parallel()

	for _, code := range []int{http.StatusOK, http.StatusBadRequest} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()

			e := newEndpoint(t, func(w http.ResponseWriter, r request) bool {
				w.WriteHeader(code)
				for r.Context().Err() == nil { // for ever
					_, _ = w.Write(bytes.Repeat([]byte("x"), 4096))
				}
				return true
			})
			err := newSink(t, settings(e.URL)).Deliver(t.Context(), payloads(1))
			if code == http.StatusOK {
				require.NoError(t, err, "it was said that it is delivered")
				return
			}
			require.Less(t, len(failures(t, err)[0].Err.Error()), 1000)
		})
	}
}

func TestSink_RequestTimeout(t *testing.T) {
	t.Parallel()

	e := newEndpoint(t, func(_ http.ResponseWriter, r request) bool {
		if string(r.body) != "2" {
			return false
		}
		<-r.Context().Done()
		return true
	})
	cfg := settings(e.URL)
	cfg.RequestTimeout = 300 * time.Millisecond
	fs := failures(t, newSink(t, cfg).Deliver(t.Context(), payloads(5)))
	require.Len(t, fs, 1)
	require.Equal(t, 2, fs[0].Index)
	require.Equal(t, sinks.Transient, fs[0].Class)
	require.ErrorContains(t, fs[0].Err, "request_timeout (300ms)")
}

func TestSink_Concurrency(t *testing.T) {
	t.Parallel()

	const limit = 3
	var now, most atomic.Int32
	release := make(chan struct{})
	e := newEndpoint(t, func(http.ResponseWriter, request) bool {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
		return false
	})
	cfg := settings(e.URL)
	cfg.MaxConcurrency = limit
	s := newSink(t, cfg)
	done := make(chan error, 2)
	for range 2 { // together they keep to it, too
		go func() { done <- s.Deliver(t.Context(), payloads(10)) }()
	}
	require.Eventually(t, func() bool { return now.Load() == limit }, 30*time.Second, time.Millisecond)
	close(release)
	require.NoError(t, <-done)
	require.NoError(t, <-done)
	require.Equal(t, int32(limit), most.Load())
	require.LessOrEqual(t, e.connections(), limit, "connections are used again")
}

func TestSink_ConnectionsAreKeptAfterErrors(t *testing.T) {
	t.Parallel()

	e := newEndpoint(t, func(w http.ResponseWriter, _ request) bool {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(bytes.Repeat([]byte("no. "), 5000))
		return true
	})
	cfg := settings(e.URL)
	cfg.MaxConcurrency = 1
	require.Len(t, failures(t, newSink(t, cfg).Deliver(t.Context(), payloads(20))), 20)
	require.Equal(t, 1, e.connections())
}

func TestSink_NobodyListens(t *testing.T) {
	t.Parallel()

	e := newEndpoint(t, nil)
	e.Close()
	s := newSink(t, settings(e.URL))
	fs := failures(t, s.Deliver(t.Context(), payloads(100)))
	require.Len(t, fs, 100)
	require.ErrorContains(t, fs[0].Err, "connection refused")
	require.ErrorContains(t, fs[99].Err, "not sent, since another request failed")
	require.Error(t, s.Check(t.Context()))
}

func TestSink_Check(t *testing.T) {
	t.Parallel()

	e := newEndpoint(t, nil)
	s := newSink(t, settings(e.URL))
	require.NoError(t, s.Check(t.Context()))
	require.Empty(t, e.seen(), "no request is sent")
	require.NoError(t, s.Close(t.Context()))
	require.Error(t, s.Check(t.Context()))
	require.Error(t, s.Deliver(t.Context(), payloads(1)))
}

func TestSink_Arrays(t *testing.T) {
	t.Parallel()

	arrays := func(url string) config.HTTPSink {
		cfg := settings(url)
		cfg.Body = "batch"
		return cfg
	}

	t.Run("KeyIsThatOfThePayloads", func(t *testing.T) {
		t.Parallel()

		e := newEndpoint(t, nil)
		s := newSink(t, arrays(e.URL))
		for _, batch := range [][]sinks.Payload{payloads(5), payloads(5), payloads(4)} {
			require.NoError(t, s.Deliver(t.Context(), batch))
		}
		seen := e.seen()
		require.Equal(t, "[0,1,2,3,4]", string(seen[0].body))
		key := func(i int) string { return seen[i].Header.Get(httpsink.HeaderID) }
		require.Regexp(t, `^batch-[0-9a-f]{32}$`, key(0))
		require.Equal(t, key(0), key(1))
		require.NotEqual(t, key(0), key(2))
	})

	t.Run("TooLargeIsHalved", func(t *testing.T) {
		t.Parallel()

		e := newEndpoint(t, func(w http.ResponseWriter, r request) bool {
			tooLarge := bytes.Count(r.body, []byte(",")) > 2
			if tooLarge {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			}
			return tooLarge
		})
		require.NoError(t, newSink(t, arrays(e.URL)).Deliver(t.Context(), payloads(10)))
		require.Len(t, e.elements(t), 10)
	})

	t.Run("RefusedAsAWholeIsNotHalved", func(t *testing.T) {
		t.Parallel()

		e := newEndpoint(t, status(http.StatusUnauthorized))
		require.Len(t, failures(t, newSink(t, arrays(e.URL)).Deliver(t.Context(), payloads(10))), 10)
		require.Len(t, e.seen(), 1)
	})

	t.Run("HalvesStopWhenTheServerAsksForIt", func(t *testing.T) {
		t.Parallel()

		tooLarge := first(status(http.StatusRequestEntityTooLarge))
		e := newEndpoint(t, func(w http.ResponseWriter, r request) bool {
			return tooLarge(w, r) || status(http.StatusTooManyRequests)(w, r)
		})
		for _, f := range failures(t, newSink(t, arrays(e.URL)).Deliver(t.Context(), payloads(10))) {
			require.Equal(t, sinks.Transient, f.Class)
		}
		require.Len(t, e.seen(), 2)
	})

	t.Run("WhatIsNoJSONStaysOut", func(t *testing.T) {
		t.Parallel()

		e := newEndpoint(t, nil)
		s := newSink(t, arrays(e.URL))
		batch := payloads(4)
		batch[1].Value = drakkar.Bytes("1] , [2")
		batch[2].Headers = []drakkar.Header{{Key: "X-A", Value: drakkar.Bytes("b")}}
		fs := failures(t, s.Deliver(t.Context(), batch))
		require.Len(t, fs, 2)
		require.Equal(t, []int{1, 2}, []int{fs[0].Index, fs[1].Index})
		require.Equal(t, sinks.Permanent, fs[0].Class)
		require.Equal(t, "[0,3]", string(e.kept()[0]))
	})
}

func TestSink_RefusesBadHeaders(t *testing.T) {
	t.Parallel()

	s := newSink(t, settings("http://localhost:1"))
	for _, h := range []drakkar.Header{
		{Key: "Content-Length", Value: drakkar.Bytes("1")}, {Key: "idempotency-key", Value: drakkar.Bytes("mine")},
		{Key: "host", Value: drakkar.Bytes("other")}, {Key: "two words", Value: drakkar.Bytes("x")}, {Key: ""},
		{Key: "X-Split", Value: drakkar.Bytes("a\r\nX-Evil: b")},
	} {
		require.Error(t, s.Validate(sinks.Payload{Headers: []drakkar.Header{h}}), "%v", h)
	}
	require.NoError(t, s.Validate(sinks.Payload{Headers: []drakkar.Header{{Key: "X-A", Value: drakkar.Bytes("b\tc é")}}}))
}

func TestNew_NamesTheSetting(t *testing.T) {
	t.Parallel()

	for want, change := range map[string]func(*config.HTTPSink){
		"sinks.http.hook.url: ***":                  func(c *config.HTTPSink) { c.URL = "http://a:hunter2%zz@h" },
		"sinks.http.hook.headers.Connection:":       func(c *config.HTTPSink) { c.Headers = map[string]string{"Connection": "hunter2"} },
		"sinks.http.hook.headers.X-A: its value":    func(c *config.HTTPSink) { c.Headers = map[string]string{"X-A": "hunter2\n"} },
		"sinks.http.hook.ca_file: open /no/such/ca": func(c *config.HTTPSink) { c.TLS.CAFile = "/no/such/ca" },
		"sinks.http.hook.cert_file: open /no/such":  func(c *config.HTTPSink) { c.TLS.CertFile, c.TLS.KeyFile = "/no/such", "/no/such" },
		"sinks.http.hook.allow_addresses: ":         func(c *config.HTTPSink) { c.AllowAddresses = []string{"10.0.0.0/99"} },
	} {
		cfg := settings("http://localhost")
		change(&cfg)
		_, err := httpsink.New("hook", cfg)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
		if !strings.HasPrefix(want, "sinks.http.hook.url") {
			require.ErrorContains(t, err, want)
		}
	}
}
