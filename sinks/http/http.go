// Package http is the sink that sends payloads to an HTTP endpoint.
//
// A payload is one request, or a batch is one JSON array. Each request carries
// the header Idempotency-Key: the payload's delivery id, or a sum over those of
// the array. A request that is sent again, after a crash for instance, carries
// the same one, so a server that keeps to it takes each payload once.
//
// Any 2xx answer means delivered. 408, 425, 429 and 5xx are tried again, no
// sooner than their Retry-After says. So are 401, 403 and 407, which say that
// the sink's own credentials are at fault, and 409 to a request that is
// repeated, which the server may still work on. Everything else refuses the
// payload for good, redirects too: they are not followed.
package http

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
)

// HeaderID is the header that holds the delivery id.
const HeaderID = "Idempotency-Key"

var (
	_ sinks.Sink      = (*Sink)(nil)
	_ sinks.Checker   = (*Sink)(nil)
	_ sinks.Validator = (*Sink)(nil)
)

var errClosed = errors.New("the sink is closed")

// Sink sends requests to one address.
type Sink struct {
	method  string
	url     *url.URL
	host    string // of the Host header; empty is that of url
	headers http.Header
	arrays  bool
	timeout time.Duration // of one request, or 0
	policy  config.Delivery

	dialer    *dialer
	transport *http.Transport
	secrets   *sinks.Secrets

	// slots bound the requests under way, of all deliveries together.
	slots  chan struct{}
	closed atomic.Bool
}

// New makes the sink that is configured as sinks.http.<name>. Nothing is
// connected yet.
func New(name string, cfg config.HTTPSink) (*Sink, error) {
	at := "sinks.http." + name
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%s.url: %s is not an address of http or https", at, config.RedactURL(cfg.URL))
	}
	headers, host, err := fixedHeaders(cfg.Headers)
	if err != nil {
		return nil, fmt.Errorf("%s.headers.%w", at, err)
	}
	tlsConfig, err := sinks.ClientTLS(cfg.TLS)
	if err != nil {
		return nil, fmt.Errorf("%s.%w", at, err)
	}
	guard, err := newGuard(cfg.AllowAddresses)
	if err != nil {
		return nil, fmt.Errorf("%s.allow_addresses: %w", at, err)
	}
	limit := max(1, cfg.MaxConcurrency)
	d := newDialer(u, guard, tlsConfig)
	return &Sink{
		method: cmp.Or(cfg.Method, http.MethodPost), url: u, host: host, headers: headers,
		arrays: cfg.Body == "batch", timeout: cfg.RequestTimeout, policy: cfg.Delivery,
		dialer: d, transport: newTransport(d, limit), secrets: secretsOf(u, cfg.Headers),
		slots: make(chan struct{}, limit),
	}, nil
}

// Deliver implements sinks.Sink.
func (s *Sink) Deliver(ctx context.Context, batch []sinks.Payload) error {
	if s.closed.Load() {
		return errClosed
	}
	d := &delivery{sink: s, batch: batch, inOrder: s.inOrder(ctx), failures: make([]*sinks.Failure, len(batch))}
	if s.arrays {
		d.array(ctx)
	} else {
		d.each(ctx)
	}
	return d.result()
}

// inOrder reports whether a payload that has to wait keeps those behind it
// waiting. The last attempt does not: what fails there comes no more, and what
// was never tried should not be given up with it.
func (s *Sink) inOrder(ctx context.Context) bool {
	last := s.policy.OnOpen == "dlq" && sinks.Attempt(ctx) >= s.policy.MaxAttempts
	return cap(s.slots) == 1 && !last
}

// Check implements sinks.Checker. It connects, with TLS where the address asks
// for it, and sends no request.
func (s *Sink) Check(ctx context.Context) error {
	if s.closed.Load() {
		return errClosed
	}
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, errConnecting)
	defer cancel()
	if err := s.dialer.check(ctx); err != nil {
		return fmt.Errorf("connecting to %s: %w", s.where(), s.secrets.Redact(causeOf(ctx, err)))
	}
	return nil
}

// Close implements sinks.Sink.
func (s *Sink) Close(context.Context) error {
	s.closed.Store(true)
	s.transport.CloseIdleConnections()
	return nil
}

// where is the address for errors. Its path is left out: with many services it
// is the secret.
func (s *Sink) where() string { return s.url.Scheme + "://" + s.url.Host }

// delivery is one batch on its way.
type delivery struct {
	sink  *Sink
	batch []sinks.Payload

	// inOrder keeps payloads from overtaking one that is tried again.
	inOrder bool

	// failures are by position in the batch, each written by the goroutine
	// that has the payload.
	failures []*sinks.Failure

	// halt is set once the rest is not to be sent for now.
	halt atomic.Pointer[sinks.Failure]
}

// each sends every payload as a request of its own, some at the same time.
func (d *delivery) each(ctx context.Context) {
	var (
		wg   sync.WaitGroup
		next atomic.Int64
	)
	for range min(cap(d.sink.slots), len(d.batch)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(d.batch); i = int(next.Add(1)) - 1 {
				d.one(ctx, i)
			}
		})
	}
	wg.Wait()
}

func (d *delivery) one(ctx context.Context, i int) {
	p := d.batch[i]
	if err := d.sink.Validate(p); err != nil {
		d.fail(i, &sinks.Failure{Class: sinks.Permanent, Err: err})
		return
	}
	d.fail(i, d.try(ctx, func() *sinks.Failure { return d.sink.send(ctx, p.ID, p.Value, p.Headers) }))
}

// try makes one request, unless there is a reason not to.
func (d *delivery) try(ctx context.Context, send func() *sinks.Failure) *sinks.Failure {
	select {
	case d.sink.slots <- struct{}{}:
		defer func() { <-d.sink.slots }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return &sinks.Failure{Err: fmt.Errorf("not sent: %w", context.Cause(ctx))}
	}
	if h := d.halt.Load(); h != nil {
		return &sinks.Failure{Err: fmt.Errorf("not sent, since another request failed: %w", h.Err), RetryAfter: h.RetryAfter}
	}
	f := send()
	if f != nil && (asRequestError(f.Err).halts || d.inOrder && f.Class == sinks.Transient) {
		d.halt.CompareAndSwap(nil, f)
	}
	return f
}

func (d *delivery) fail(i int, f *sinks.Failure) {
	if f == nil {
		return
	}
	own := *f
	own.Index = i
	d.failures[i] = &own
}

func (d *delivery) result() error {
	var failures []sinks.Failure
	for _, f := range d.failures {
		if f != nil {
			failures = append(failures, *f)
		}
	}
	if len(failures) == 0 {
		return nil
	}
	return &sinks.DeliverError{Failures: failures}
}

// causeOf is what ended ctx, when that is why err happened.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
