package http

import (
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
)

func TestGuard(t *testing.T) {
	t.Parallel()

	check := func(t *testing.T, allow []string, host, address string) error {
		t.Helper()

		g, err := newGuard(allow)
		require.NoError(t, err)
		return g.check(host, netip.MustParseAddr(address))
	}
	for _, address := range []string{
		"169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192",
		"fe80::1", "fe80::1%eth0", "febf::1", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
		"::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::169.254.169.254", "64:ff9b::169.254.169.254",
		"64:ff9b:1::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00::", "2002:a9fe:a9fe::1", "::ffff:100.100.100.200",
	} {
		require.Error(t, check(t, nil, "h", address), address)
		require.NoError(t, check(t, []string{"H."}, "h", address), "the host %s is allowed", address)
		require.Error(t, check(t, []string{"other"}, "h", address))
	}
	for _, address := range []string{
		"127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "203.0.113.9", "2001:db8::1", "fd00::1", "100.100.100.201", "::ffff:10.0.0.1",
	} {
		require.NoError(t, check(t, nil, "h", address), address)
	}
	for allow, address := range map[string]string{
		"169.254.10.0/24": "169.254.10.7", "169.254.10.7": "::ffff:169.254.10.7", "fe80::/10": "fe80::1%eth0", "fe80::1": "fe80::1",
		"169.254.0.0/16": "64:ff9b::169.254.1.1",
	} {
		require.NoError(t, check(t, []string{allow}, "h", address), allow)
	}
	require.Error(t, check(t, []string{"169.254.10.0/24"}, "h", "169.254.11.7"))
}

// A name is judged by what it leads to when it is connected to.
func TestSink_RefusesWhatANameLeadsTo(t *testing.T) {
	t.Parallel()

	var answer atomic.Value
	answer.Store(netip.MustParseAddr("127.0.0.1"))
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())

	s, err := New("hook", config.HTTPSink{URL: "http://rebind.example:" + port, Method: "POST", MaxConcurrency: 1})
	require.NoError(t, err)
	defer s.Close(t.Context())
	s.transport.DisableKeepAlives = true
	s.dialer.Resolver = fakeDNS(t, func() netip.Addr { return answer.Load().(netip.Addr) })
	batch := []sinks.Payload{{ID: "a", Value: []byte("1")}}
	require.NoError(t, s.Deliver(t.Context(), batch))
	require.NoError(t, s.Check(t.Context()))

	answer.Store(netip.MustParseAddr("169.254.169.254"))
	err = s.Deliver(t.Context(), batch)
	require.ErrorContains(t, err, "169.254.169.254 is a metadata or link-local address")
	require.Equal(t, sinks.Transient, sinks.Failures(1, err)[0].Class, "the payload is not at fault")
	require.ErrorContains(t, s.Check(t.Context()), "metadata")
}

func TestSink_RefusesAddresses(t *testing.T) {
	t.Parallel()

	for _, host := range []string{"169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1%25lo]"} {
		s, err := New("hook", config.HTTPSink{URL: "http://" + host, Method: "POST"})
		require.NoError(t, err)
		require.ErrorContains(t, s.Deliver(t.Context(), []sinks.Payload{{ID: "a"}}), "metadata or link-local", host)
	}
}

// fakeDNS is a resolver for which every name has one address.
func fakeDNS(t *testing.T, answer func() netip.Addr) *net.Resolver {
	t.Helper()

	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(dnsAnswer(buf[:n], answer()), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// dnsAnswer answers a query of one question: with an address when it asks for
// one of IPv4, with nothing otherwise.
func dnsAnswer(query []byte, ip netip.Addr) []byte {
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5
	out := append([]byte{}, query[:end]...)
	binary.BigEndian.PutUint16(out[2:], 0x8180)
	binary.BigEndian.PutUint16(out[6:], 0)
	binary.BigEndian.PutUint16(out[10:], 0)
	if binary.BigEndian.Uint16(query[end-4:]) != 1 {
		return out
	}
	binary.BigEndian.PutUint16(out[6:], 1)
	out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
	return append(out, ip.AsSlice()...)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()

	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-1": 0, "soon": 0, "1.5": 0,
		"999999999999": maxRetryAfter, "99999999999999999999999": 0,
		"Fri, 01 May 2026 12:00:30 GMT": 30 * time.Second,
		"Fri, 01 May 2026 11:00:00 GMT": 0,
		"Fri, 01 May 2099 12:00:30 GMT": maxRetryAfter,
	} {
		require.Equal(t, want, retryAfter(http.Header{"Retry-After": {text}}, now), text)
	}
	skewed := http.Header{"Retry-After": {"Fri, 01 May 2026 12:00:30 GMT"}, "Date": {"Fri, 01 May 2026 12:00:20 GMT"}}
	require.Equal(t, 10*time.Second, retryAfter(skewed, now), "the server's clock is asked where it tells")
}

// A secret that is cut at the end of what is shown does not show its beginning.
func TestExcerpt(t *testing.T) {
	t.Parallel()

	s, err := New("hook", config.HTTPSink{URL: "http://h", Headers: map[string]string{"X-Token": "swordfish"}})
	require.NoError(t, err)
	for pad := headBytes - 20; pad < headBytes+20; pad++ {
		body := strings.Repeat("swordfish", 3) + strings.Repeat(".", pad) + "swordfish" + strings.Repeat(".", headBytes)
		text := excerpt([]byte(body)[:headBytes+s.secrets.Longest()], false, s.secrets)
		require.NotContains(t, text, "sw", "%d", pad)
		require.LessOrEqual(t, len(text), headBytes)
	}
}
