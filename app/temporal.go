package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/logging"
)

// temporal connects to Temporal. While it does not answer, the process waits
// and says so: it has nothing to do without it.
func (a *App) temporal(ctx context.Context, worker string) (client.Client, error) {
	opts, err := temporalOptions(a.cfg.Temporal)
	if err != nil {
		return nil, err
	}
	opts.Identity = worker
	opts.Logger = logging.Temporal(a.log)
	opts.MetricsHandler = newSDKMetrics(a.rec)
	c, err := client.NewLazyClient(opts)
	if err != nil {
		return nil, fmt.Errorf("making the client of temporal.address %s: %w", a.cfg.Temporal.Address, err)
	}
	a.ends.push("the connection to Temporal", func(context.Context) error { c.Close(); return nil })
	a.addCheck("temporal", func(ctx context.Context) []string {
		if _, err := c.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
			return []string{fmt.Sprintf("%s does not answer: %v", a.cfg.Temporal.Address, err)}
		}
		return nil
	})
	return c, a.awaitTemporal(ctx, c)
}

// awaitTemporal waits until Temporal answers.
func (a *App) awaitTemporal(ctx context.Context, c client.Client) error {
	const pause = time.Second
	for n := 0; ; n++ {
		_, err := c.CheckHealth(ctx, &client.CheckHealthRequest{})
		if err == nil {
			return nil
		}
		if n%10 == 0 {
			a.log.Warn("waiting for Temporal at "+a.cfg.Temporal.Address, zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for Temporal at %s (temporal.address): %w", a.cfg.Temporal.Address, errors.Join(context.Cause(ctx), err))
		case <-time.After(pause):
		}
	}
}

func temporalOptions(cfg config.Temporal) (client.Options, error) {
	opts := client.Options{HostPort: cfg.Address, Namespace: cfg.Namespace}
	// Requests are small, since large content lies in the blob store: to
	// compress and expand them costs both sides more than their way does.
	opts.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	if cfg.APIKey != "" {
		opts.Credentials = client.NewAPIKeyStaticCredentials(cfg.APIKey)
	}
	if !cfg.TLS && cfg.APIKey == "" && cfg.CertFile == "" && cfg.CAFile == "" {
		return opts, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.ServerName}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return opts, fmt.Errorf("reading temporal.ca_file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return opts, fmt.Errorf("temporal.ca_file: %s holds no PEM certificate", cfg.CAFile)
		}
	}
	if cfg.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return opts, fmt.Errorf("reading temporal.cert_file and temporal.key_file: %w", err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	opts.ConnectionOptions.TLS = t
	return opts, nil
}
