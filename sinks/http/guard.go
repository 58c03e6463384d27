package http

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// forbidden are addresses at which clouds hand out credentials of the machine
// to whoever asks, and networks that no endpoint of a pipeline is in.
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),     // link-local: AWS, Azure, GCP and others
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure's wire server
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud
	netip.MustParsePrefix("fe80::/10"),          // link-local
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS: metadata, credentials of pods, and more
	netip.MustParsePrefix("fd20:ce::254/128"),   // GCP
}

// embedding are networks of IPv6 whose addresses lead to one of IPv4, with the
// bytes that this is. A local network chooses one of the layouts of RFC 6052.
var embedding = []struct {
	in netip.Prefix
	at [4]int
}{
	{netip.MustParsePrefix("::/96"), [4]int{12, 13, 14, 15}},          // IPv4-compatible
	{netip.MustParsePrefix("64:ff9b::/96"), [4]int{12, 13, 14, 15}},   // NAT64
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{12, 13, 14, 15}}, // NAT64 of the local network, its /96
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{9, 10, 11, 12}},  // its /64
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{7, 9, 10, 11}},   // its /56
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{6, 7, 9, 10}},    // its /48
	{netip.MustParsePrefix("2002::/16"), [4]int{2, 3, 4, 5}},          // 6to4
}

// guard says which addresses may be connected to.
type guard struct {
	hosts    []string
	networks []netip.Prefix
}

func newGuard(allow []string) (*guard, error) {
	g := &guard{}
	for _, entry := range allow {
		if ip, err := netip.ParseAddr(entry); err == nil {
			ip = ip.Unmap().WithZone("")
			g.networks = append(g.networks, netip.PrefixFrom(ip, ip.BitLen()))
			continue
		}
		if !strings.Contains(entry, "/") {
			g.hosts = append(g.hosts, hostName(entry))
			continue
		}
		network, err := netip.ParsePrefix(entry)
		if err != nil {
			return nil, fmt.Errorf("%q is not a network like 10.0.0.0/8", entry)
		}
		g.networks = append(g.networks, network.Masked())
	}
	return g, nil
}

func hostName(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

// check refuses an address that a name was resolved to.
func (g *guard) check(host string, address netip.Addr) error {
	ip := address.Unmap().WithZone("")
	if slices.Contains(g.hosts, hostName(host)) || in(g.networks, ip) {
		return nil
	}
	for _, form := range forms(ip) {
		if in(forbidden, form) && !in(g.networks, form) {
			return fmt.Errorf("%s is a metadata or link-local address: if it is meant, name it in allow_addresses", ip)
		}
	}
	return nil
}

// forms are the address, and those of IPv4 that it may stand for.
func forms(ip netip.Addr) []netip.Addr {
	all := []netip.Addr{ip}
	if !ip.Is6() {
		return all
	}
	b := ip.As16()
	for _, e := range embedding {
		if e.in.Contains(ip) {
			all = append(all, netip.AddrFrom4([4]byte{b[e.at[0]], b[e.at[1]], b[e.at[2]], b[e.at[3]]}))
		}
	}
	return all
}

func in(networks []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(ip) })
}
