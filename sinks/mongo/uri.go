package mongo

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/drakkar-go/drakkar/sinks"
)

// secretsOf are what a connection string holds and nobody should see, as it is
// written there. It may be wrong.
func secretsOf(uri string) *sinks.Secrets {
	s := &sinks.Secrets{}
	_, rest, _ := strings.Cut(uri, "://")
	rest, query, _ := strings.Cut(rest, "?")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		_, password, _ := strings.Cut(rest[:at], ":")
		s.Add(password)
	}
	for _, option := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(option, "=")
		if !strings.Contains(strings.ToLower(name), "password") {
			continue
		}
		s.Add(value)
		if plain, err := url.QueryUnescape(value); err == nil {
			s.Add(plain)
		}
	}
	return s
}

// uriError says what is wrong with a connection string without showing it. What
// a name server or a file says shows nothing of it but names.
func uriError(err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Errorf("looking up its hosts: %w", dns)
	}
	if file, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("reading a file of it: %w", file)
	}
	return errors.New("it is not a connection string of MongoDB: use mongodb://user:password@host:27017/?option=value, " +
		"percent-encode the characters : / ? # [ ] @ % of user and password, and check its options")
}
