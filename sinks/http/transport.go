package http

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

const (
	// connectTimeout bounds connecting, TLS included.
	connectTimeout = 10 * time.Second

	// idleTimeout is less than servers and balancers usually keep a connection.
	idleTimeout = 50 * time.Second
)

var errConnecting = errors.New("connecting took too long")

// dialer connects to the host of one address, and to nothing that the guard
// refuses. The guard sees what the name was resolved to, at each connection
// anew: a name that changes its mind afterwards gains nothing.
type dialer struct {
	net.Dialer

	url *url.URL
	tls *tls.Config
}

func newDialer(u *url.URL, g *guard, tlsConfig *tls.Config) *dialer {
	d := &dialer{url: u, tls: tlsConfig}
	d.Timeout = connectTimeout
	d.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("reading the address it was resolved to: %w", err)
		}
		return g.check(u.Hostname(), to.Addr())
	}
	return d
}

func newTransport(d *dialer, limit int) *http.Transport {
	return &http.Transport{
		DialContext:            d.DialContext,
		TLSClientConfig:        d.tls,
		TLSHandshakeTimeout:    connectTimeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // answers are short, and bounded as they come
		MaxConnsPerHost:        limit,
		MaxIdleConns:           limit,
		MaxIdleConnsPerHost:    limit,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: 256 << 10,
	}
}

// check connects as a request would, and hangs up.
func (d *dialer) check(ctx context.Context) error {
	conn, err := d.DialContext(ctx, "tcp", address(d.url))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if d.url.Scheme != "https" {
		return nil
	}
	cfg := d.tls.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = d.url.Hostname()
	}
	return tls.Client(conn, cfg).HandshakeContext(ctx)
}

func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
