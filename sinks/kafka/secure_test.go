package kafka_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/integration/services"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/kafka"
)

// identity is a certificate and its key, PEM.
type identity struct {
	certificate, key []byte
	parsed           *x509.Certificate
	private          *ecdsa.PrivateKey
}

// issue makes an identity for the loopback interface, signed by an authority or,
// without one, as an authority of its own.
func issue(t *testing.T, name string, by *identity) *identity {
	t.Helper()

	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: by == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := template, private
	if by != nil {
		parent, signer = by.parsed, by.private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return &identity{
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		parsed:      parsed, private: private,
	}
}

// A real broker that wants TLS, the client's certificate and a password.
func TestSink_Secure(t *testing.T) {
	t.Parallel()

	ours, theirs := issue(t, "our authority", nil), issue(t, "another authority", nil)
	broker, client, stranger := issue(t, "broker", ours), issue(t, "client", ours), issue(t, "stranger", theirs)
	k := servicestest.OwnSecureKafka(t, &services.KafkaSecurity{
		Identity: slices.Concat(broker.key, broker.certificate), Clients: ours.certificate,
		Username: "drakkar", Password: "hunter2",
	})
	file := func(name string, data []byte) string {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	good := config.KafkaSecurity{
		Protocol: "sasl_ssl", Mechanism: "PLAIN", Username: "drakkar", Password: "hunter2",
		CAFile:   file("ca.pem", ours.certificate),
		CertFile: file("client.pem", client.certificate), KeyFile: file("client.key", client.key),
	}
	deliver := func(t *testing.T, s config.KafkaSecurity, within time.Duration) error {
		t.Helper()

		sink, err := kafka.New("results", config.KafkaSink{Topic: "secure"}, config.Kafka{Brokers: k.SecureAddr(), Security: s})
		require.NoError(t, err)
		closeSoon(t, sink)
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return sink.Deliver(ctx, []sinks.Payload{{ID: "a", Value: []byte("v")}})
	}
	require.NoError(t, deliver(t, good, time.Minute))

	for name, spoil := range map[string]func(*config.KafkaSecurity){
		"OtherAuthority": func(s *config.KafkaSecurity) { s.CAFile = file("other.pem", theirs.certificate) },
		"Stranger": func(s *config.KafkaSecurity) {
			s.CertFile, s.KeyFile = file("stranger.pem", stranger.certificate), file("stranger.key", stranger.key)
		},
		"NoCertificate": func(s *config.KafkaSecurity) { s.CertFile, s.KeyFile = "", "" },
		"OtherPassword": func(s *config.KafkaSecurity) { s.Password = "swordfish" },
		"NoTLS": func(s *config.KafkaSecurity) {
			s.Protocol, s.CAFile, s.CertFile, s.KeyFile = "sasl_plaintext", "", "", ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := good
			spoil(&s)
			err := deliver(t, s, 3*time.Second)
			require.Error(t, err)
			require.Equal(t, sinks.Transient, sinks.Failures(1, err)[0].Class, "who runs it can mend it")
			require.NotContains(t, err.Error(), "swordfish")
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}
