package sinks

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/drakkar-go/drakkar/config"
)

// ClientTLS turns the files of a sink's settings into the TLS of its client.
// Errors begin with the setting. A certificate is read again for each
// connection, so that it can be renewed while the process runs.
func ClientTLS(cfg config.ClientTLS) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.ServerName}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM", cfg.CAFile)
		}
	}
	if cfg.CertFile == "" {
		return out, nil
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert_file: %w", err)
		}
		return &pair, nil
	}
	out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	if _, err := load(); err != nil {
		return nil, err
	}
	return out, nil
}
