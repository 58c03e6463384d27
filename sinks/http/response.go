package http

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/sinks"
)

const (
	// headBytes is how much of an answer an error shows.
	headBytes = 512

	// drainBytes is how much of an answer is read, so that the connection can
	// be used again. One that says more is given up.
	drainBytes = 64 << 10

	// maxRetryAfter bounds what a server can ask for.
	maxRetryAfter = time.Hour
)

// ofContent are answers that speak about what was sent.
var ofContent = []int{
	http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity,
}

// judge reads the answer. Its body is read also when it says yes: a server that
// dies while it answers may not have kept what it was given. Again is set when
// the transport has sent the request more than once.
func (s *Sink) judge(ctx context.Context, res *http.Response, own []drakkar.Header, again bool) *sinks.Failure {
	secrets := with(s.secrets, own)
	head, whole, err := read(res, headBytes+secrets.Longest())
	if res.StatusCode/100 == 2 {
		if err != nil {
			return s.unanswered(ctx, fmt.Errorf("reading the answer, which began with %s: %w", res.Status, err))
		}
		return nil
	}
	e := &requestError{text: s.describe(res, secrets, excerpt(head, whole, secrets))}
	f := &sinks.Failure{Class: classify(res.StatusCode), Err: e}
	if res.StatusCode == http.StatusConflict && s.underWay(ctx, again) {
		f.Class = sinks.Transient
	}
	if f.Class == sinks.Permanent {
		e.ofContent = slices.Contains(ofContent, res.StatusCode)
	} else {
		f.RetryAfter = retryAfter(res.Header, time.Now())
		e.halts = f.RetryAfter > 0 || res.StatusCode == http.StatusTooManyRequests
	}
	return f
}

// read reads an answer, as far as it is read, and returns its first bytes.
func read(res *http.Response, limit int) (head []byte, whole bool, err error) {
	if res.StatusCode == http.StatusSwitchingProtocols {
		// What follows is no body but the connection, which no deadline ends.
		return nil, true, nil
	}
	head, err = io.ReadAll(io.LimitReader(res.Body, int64(limit)))
	whole = len(head) < limit
	if err == nil && !whole {
		_, err = io.Copy(io.Discard, io.LimitReader(res.Body, drainBytes))
	}
	return head, whole, err
}

// excerpt is the beginning of an answer without secrets. When more follows, its
// last bytes may be the beginning of a secret, and are left out.
func excerpt(head []byte, whole bool, secrets *sinks.Secrets) string {
	text := secrets.Mask(string(head))
	if !whole {
		text = text[:max(0, len(text)-secrets.Longest())]
	}
	return text[:min(len(text), headBytes)]
}

func (s *Sink) describe(res *http.Response, secrets *sinks.Secrets, excerpt string) string {
	text := s.where() + " answered " + secrets.Mask(res.Status)
	if location := res.Header.Get("Location"); location != "" && res.StatusCode/100 == 3 {
		text += ": redirects are not followed, this one leads to " + hostOf(location)
	}
	if excerpt != "" {
		text += fmt.Sprintf(": %q", excerpt)
	}
	return text
}

// mayPass are answers below 500 that do not refuse the payload: the server is
// busy, or does not know who asks, which its operator or ours can mend.
var mayPass = []int{
	http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
	http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired,
}

func classify(code int) sinks.Class {
	if code >= 500 || slices.Contains(mayPass, code) {
		return sinks.Transient
	}
	return sinks.Permanent
}

// underWay reports whether a conflict may be one with an earlier request, which
// the server still works on: then it speaks about the Idempotency-Key, and sent
// under another key the payload would count twice. Before what is sent for the
// first time there was none. From max_attempts on it is a conflict like any
// other, which must not be waited for without end.
func (s *Sink) underWay(ctx context.Context, again bool) bool {
	return (again || sinks.Repeated(ctx)) && sinks.Attempt(ctx) < s.policy.MaxAttempts
}

// retryAfter is how long the server asks to be left alone: seconds or a date,
// by the server's own clock where it tells. What makes no sense is 0.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if sent, err := http.ParseTime(h.Get("Date")); err == nil {
		now = sent
	}
	return min(max(0, at.Sub(now)), maxRetryAfter)
}
