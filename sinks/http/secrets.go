package http

import (
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/sinks"
)

// pathBytes is how long a path must be to be taken for a key, as that of many
// webhooks is.
const pathBytes = 8

// secretsOf are what the settings of a sink hold.
func secretsOf(u *url.URL, headers map[string]string) *sinks.Secrets {
	s := &sinks.Secrets{}
	for _, value := range headers {
		// "Bearer token" is a secret in its second part.
		_, credentials, _ := strings.Cut(value, " ")
		s.Add(value, credentials)
	}
	if password, ok := u.User.Password(); ok {
		s.Add(password, u.User.String(), base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	for _, values := range u.Query() {
		for _, v := range values {
			s.Add(v, url.QueryEscape(v))
		}
	}
	s.Add(u.RawQuery)
	if len(u.Path) >= pathBytes {
		s.Add(u.Path, u.EscapedPath())
	}
	return s
}

// with adds the values of a payload's headers.
func with(s *sinks.Secrets, own []drakkar.Header) *sinks.Secrets {
	if len(own) == 0 {
		return s
	}
	values := make([]string, len(own))
	for i, h := range own {
		values[i] = string(h.Value)
	}
	return s.With(values...)
}
