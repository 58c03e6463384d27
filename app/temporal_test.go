package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/drakkar-go/drakkar/config"
)

// certificate writes a certificate that signed itself, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return cert, key
}

// Any of the settings that only TLS has a use for turns it on: an API key or a
// certificate must never go over a connection that anybody can read.
func TestTemporalOptions(t *testing.T) {
	t.Parallel()

	cert, key := certificate(t)
	for _, tt := range []struct {
		name  string
		cfg   config.Temporal
		check func(*testing.T, *tls.Config)
	}{
		{"Plain", config.Temporal{}, func(t *testing.T, c *tls.Config) { require.Nil(t, c) }},
		{"PlainWithAServerName", config.Temporal{ServerName: "s"}, func(t *testing.T, c *tls.Config) { require.Nil(t, c) }},
		{"TLS", config.Temporal{TLS: true}, func(t *testing.T, c *tls.Config) { require.Nil(t, c.RootCAs, "the system's are trusted") }},
		{"APIKey", config.Temporal{APIKey: "k"}, nil},
		{"ServerName", config.Temporal{TLS: true, ServerName: "s"}, func(t *testing.T, c *tls.Config) { require.Equal(t, "s", c.ServerName) }},
		{"Authority", config.Temporal{CAFile: cert}, func(t *testing.T, c *tls.Config) { require.NotNil(t, c.RootCAs) }},
		{"Client", config.Temporal{CertFile: cert, KeyFile: key}, func(t *testing.T, c *tls.Config) { require.Len(t, c.Certificates, 1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.Address, tt.cfg.Namespace = "host:7233", "ns"
			opts, err := temporalOptions(tt.cfg)
			require.NoError(t, err)
			require.Equal(t, "host:7233", opts.HostPort)
			require.Equal(t, "ns", opts.Namespace)
			require.Equal(t, tt.cfg.APIKey != "", opts.Credentials != nil)
			require.IsType(t, &client.GrpcCompressionNone{}, opts.ConnectionOptions.GrpcCompression)
			got := opts.ConnectionOptions.TLS
			if tt.check != nil {
				tt.check(t, got)
			}
			if tt.name != "Plain" && tt.name != "PlainWithAServerName" {
				require.GreaterOrEqual(t, got.MinVersion, uint16(tls.VersionTLS12))
				require.False(t, got.InsecureSkipVerify)
			}
		})
	}
}

func TestTemporalOptions_Errors(t *testing.T) {
	t.Parallel()

	cert, key := certificate(t)
	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("no certificate"), 0o600))
	for name, tt := range map[string]struct {
		cfg  config.Temporal
		want string
	}{
		"NoAuthority":    {config.Temporal{CAFile: "/no/such"}, "reading temporal.ca_file: open /no/such"},
		"NotPEM":         {config.Temporal{CAFile: text}, "temporal.ca_file: " + text + " holds no PEM certificate"},
		"KeyIsNoCA":      {config.Temporal{CAFile: key}, "holds no PEM certificate"},
		"NoCertificate":  {config.Temporal{CertFile: "/no/such", KeyFile: key}, "reading temporal.cert_file and temporal.key_file"},
		"KeyOfAnother":   {config.Temporal{CertFile: cert, KeyFile: text}, "reading temporal.cert_file and temporal.key_file"},
		"SwappedTheFile": {config.Temporal{CertFile: key, KeyFile: cert}, "reading temporal.cert_file and temporal.key_file"},
	} {
		_, err := temporalOptions(tt.cfg)
		require.ErrorContains(t, err, tt.want, name)
	}
}
