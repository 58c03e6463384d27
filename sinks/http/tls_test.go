package http_test

import (
	"crypto/tls"
	"io"
	"log"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

func TestSink_TLS(t *testing.T) {
	t.Parallel()

	ca, dir := sinkstest.NewAuthority(t), t.TempDir()
	pair, err := tls.LoadX509KeyPair(ca.Issue(t, "server.example", dir))
	require.NoError(t, err)
	e := newUnstarted(t, nil)
	e.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	e.Config.ErrorLog = log.New(io.Discard, "", 0)
	e.StartTLS()

	cfg := settings(e.URL)
	err = newSink(t, cfg).Deliver(t.Context(), payloads(1))
	require.ErrorContains(t, err, "certificate signed by unknown authority")
	require.Equal(t, sinks.Transient, sinks.Failures(1, err)[0].Class)
	require.Error(t, newSink(t, cfg).Check(t.Context()))

	cfg.TLS = config.ClientTLS{CAFile: ca.File}
	require.ErrorContains(t, newSink(t, cfg).Deliver(t.Context(), payloads(1)), "certificate required")

	cfg.TLS.CertFile, cfg.TLS.KeyFile = ca.Issue(t, "client", dir)
	cfg.TLS.ServerName = "other.example"
	require.ErrorContains(t, newSink(t, cfg).Deliver(t.Context(), payloads(1)), "other.example")

	cfg.TLS.ServerName = "server.example"
	s := newSink(t, cfg)
	require.NoError(t, s.Check(t.Context()))
	require.NoError(t, s.Deliver(t.Context(), payloads(8)))
	require.Equal(t, "client", e.seen()[0].TLS.PeerCertificates[0].Subject.CommonName)

	// A renewed certificate is used by the next connection.
	before := e.seen()[0].TLS.PeerCertificates[0].SerialNumber
	ca.Issue(t, "client", dir)
	e.CloseClientConnections()
	require.NoError(t, s.Deliver(t.Context(), payloads(1)))
	require.NotEqual(t, before, e.seen()[8].TLS.PeerCertificates[0].SerialNumber)
}
