package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/sinks"
)

// reserved headers are the protocol's own, or ours.
var reserved = map[string]string{
	"Connection":        "it belongs to the connection",
	"Content-Length":    "it follows from the body",
	"Expect":            "it belongs to the connection",
	"Idempotency-Key":   "it is the delivery id",
	"Keep-Alive":        "it belongs to the connection",
	"Proxy-Connection":  "it belongs to the connection",
	"Te":                "it belongs to the connection",
	"Trailer":           "it belongs to the connection",
	"Transfer-Encoding": "it belongs to the connection",
	"Upgrade":           "it belongs to the connection",
}

// fixedHeaders are those of every request. A Host comes back by itself. Errors
// begin with the header's name.
func fixedHeaders(set map[string]string) (h http.Header, host string, err error) {
	h = http.Header{"Content-Type": {"application/json"}, "User-Agent": {"drakkar"}}
	for name, value := range set {
		canonical := http.CanonicalHeaderKey(name)
		if canonical == "Host" {
			host = value
			continue
		}
		if err := checkHeader(canonical, value); err != nil {
			return nil, "", fmt.Errorf("%s: %w", name, err)
		}
		h.Set(canonical, value)
	}
	return h, host, nil
}

// checkHeader does not show the value: it may be a secret.
func checkHeader(name, value string) error {
	if why, ok := reserved[name]; ok {
		return fmt.Errorf("it cannot be set: %s", why)
	}
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isToken(r) }) {
		return errors.New("it is not a name of a header")
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return errors.New("its value holds control characters")
	}
	return nil
}

// isToken says which characters names of headers are made of: RFC 9110, 5.6.2.
func isToken(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// Validate implements sinks.Validator.
func (s *Sink) Validate(p sinks.Payload) error {
	if s.arrays {
		switch {
		case len(p.Headers) > 0:
			return errors.New("a payload that shares its request cannot have headers of its own: see body of the sink")
		case !json.Valid(p.Value):
			return errors.New("it is not JSON, and the sink sends arrays of JSON: see body of the sink")
		}
		return nil
	}
	for _, h := range p.Headers {
		if err := checkHeader(http.CanonicalHeaderKey(h.Key), string(h.Value)); err != nil {
			return fmt.Errorf("header %q: %w", h.Key, err)
		}
		if strings.EqualFold(h.Key, "Host") {
			return errors.New("header Host: it is the sink's to set")
		}
	}
	return nil
}

// send makes one request and reads the answer. Nil means delivered.
func (s *Sink) send(ctx context.Context, key string, body []byte, own []drakkar.Header) *sinks.Failure {
	if s.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("the request took longer than request_timeout (%s)", s.timeout))
		defer cancel()
	}
	// The transport itself sends once more when a kept connection turns out to
	// be dead: bytes.Reader lets it read the body again, and HeaderID says that
	// it may.
	sent := 0
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent++ }})
	req, err := http.NewRequestWithContext(ctx, s.method, "", bytes.NewReader(body))
	if err != nil {
		return &sinks.Failure{Class: sinks.Permanent, Err: fmt.Errorf("making the request: %w", err)}
	}
	req.URL, req.Host, req.Header = s.url, s.host, s.header(key, own)
	if s.url.User != nil && req.Header.Get("Authorization") == "" {
		password, _ := s.url.User.Password()
		req.SetBasicAuth(s.url.User.Username(), password)
	}
	res, err := s.transport.RoundTrip(req)
	if err != nil {
		return s.unanswered(ctx, err)
	}
	defer res.Body.Close()
	return s.judge(ctx, res, own, sent > 1)
}

// unanswered is a request of which nobody knows what became of it.
func (s *Sink) unanswered(ctx context.Context, err error) *sinks.Failure {
	op, ok := errors.AsType[*net.OpError](err)
	return &sinks.Failure{Err: &requestError{
		text:  fmt.Sprintf("sending to %s", s.where()),
		cause: s.secrets.Redact(causeOf(ctx, err)),
		halts: ok && op.Op == "dial" && ctx.Err() == nil,
	}}
}

// requestError is a request that was not answered with 2xx.
type requestError struct {
	text  string
	cause error // nil when it was answered

	// halts is set when the rest of a batch would fare no better: the server
	// asked to be left alone, or there is no way to it.
	halts bool

	// ofContent is set when the answer speaks about what was sent, not about
	// who sent it where.
	ofContent bool
}

// Error implements error.
func (e *requestError) Error() string {
	if e.cause != nil {
		return e.text + ": " + e.cause.Error()
	}
	return e.text
}

func (e *requestError) Unwrap() error { return e.cause }

// asRequestError is the zero value for other errors.
func asRequestError(err error) requestError {
	if e, ok := errors.AsType[*requestError](err); ok {
		return *e
	}
	return requestError{}
}

// header makes the request's headers. A header that the payload has several
// times is sent several times.
func (s *Sink) header(key string, own []drakkar.Header) http.Header {
	h := make(http.Header, len(s.headers)+len(own)+1)
	maps.Copy(h, s.headers)
	for _, o := range own {
		h.Del(o.Key)
	}
	for _, o := range own {
		h.Add(o.Key, string(o.Value))
	}
	h[HeaderID] = []string{key}
	return h
}

// hostOf is where an address leads to, for errors: its path and query may be
// secret.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "another path"
	}
	return u.Scheme + "://" + u.Host
}
