package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// secretText is a secret that looks like nothing else, for every mode of the
// secret tag.
const secretText = "hunter2hunter2"

// secretValue hides the secret where a setting of its mode may hold one, and
// is otherwise right.
func secretValue(l leaf) (value any, ok bool) {
	address := map[string]string{"url": "http", "dsn": "postgres", "uri": "mongodb", "ui_url": "https"}[l.field.name]
	if strings.HasPrefix(l.key("url"), "sinks.redis.") && l.field.name == "url" {
		address = "redis"
	}
	switch {
	case l.field.secret == secretURL:
		return address + "://user:" + secretText + "@host:1/path?token=" + secretText, true
	case l.field.kind == kindTexts && l.field.secret == secretNames:
		return tree{"sasl.password": secretText}, true
	case l.field.kind == kindTexts && l.field.secret == secretAll:
		return tree{"ANY": secretText}, true
	case l.field.secret == secretAll:
		return secretText, true
	default:
		return nil, false
	}
}

// No secret of any setting is shown: not by the printed configuration in any
// form, not by the summary, not by the command, and not by problems of other
// settings beside it.
func TestNoSecretOfAnySettingIsShown(t *testing.T) {
	t.Parallel()

	count := 0
	for _, l := range leaves() {
		value, ok := secretValue(l)
		if !ok {
			continue
		}
		count++
		t.Run(l.key(l.field.name), func(t *testing.T) {
			t.Parallel()
			file := l.with(l.field.name, value)
			cfg := mustParse(t, written(t, file))
			require.Contains(t, fmt.Sprintf("%+v", everything(t, cfg)), secretText, "the test puts the secret in the wrong place")
			asYAML, err := yaml.Marshal(cfg)
			require.NoError(t, err)
			asJSON, err := json.Marshal(cfg)
			require.NoError(t, err)
			for form, text := range map[string]string{
				"YAML": string(asYAML), "JSON": string(asJSON), "Summary": cfg.Summary(RoleIngest, nil),
				"Formatted": fmt.Sprintf("%v %+v %#v %s %q", cfg, *cfg, cfg, cfg, cfg),
				"Redacted":  fmt.Sprintf("%+v", everything(t, cfg.Redacted())),
			} {
				require.NotContains(t, text, secretText, form)
			}

			var out, errOut bytes.Buffer
			require.Zero(t, Command([]string{"check", "--print", writeFile(t, "f.yaml", written(t, file))}, nil, func(*Config) error { return nil }, &out, &errOut))
			require.NotContains(t, out.String()+errOut.String(), secretText)

			file["nope"] = "x"
			file["metrics"] = tree{"port": -1}
			file["pipeline"] = "a\nb"
			_, _, err = Parse([]byte(written(t, file)), "f.yaml", nil)
			require.ErrorContains(t, err, "nope: is not a setting")
			require.NotContains(t, err.Error(), secretText)
		})
	}
	require.Greater(t, count, 15, "the test looks in the wrong place")
}

// everything is a configuration as it is in memory, past the methods that hide
// its secrets.
func everything(t *testing.T, cfg *Config) any {
	t.Helper()
	type bare Config                        // has no methods
	data, err := json.Marshal((*bare)(cfg)) //nolint:musttag // only the values are looked at
	require.NoError(t, err)
	return string(data)
}

// Secrets given to the wrong key, in the wrong shape, or by a variable that is
// none, are not shown either.
func TestNoSecretOfAMisspeltSettingIsShown(t *testing.T) {
	t.Parallel()

	for _, l := range leaves() {
		if l.field.secret == "" {
			continue
		}
		for _, value := range []any{secretText, []any{secretText}, tree{secretText: secretText}, tree{"a": tree{"b": secretText}}, []any{tree{"a": secretText}}} {
			for _, name := range []string{l.field.name, l.field.name + "x"} {
				_, _, err := Parse([]byte(written(t, l.with(name, value))), "f.yaml", nil)
				if err != nil {
					for line := range strings.SplitSeq(err.Error(), "\n") {
						// Keys are shown, so that they can be found; values never.
						line = strings.ReplaceAll(line, "."+secretText+":", "")
						line = strings.ReplaceAll(line, "."+secretText+".", "")
						require.NotContains(t, line, secretText, "%s: %v", l.key(name), value)
					}
				}
				if variable, ok := l.variable(name); ok {
					data, err := json.Marshal(value)
					require.NoError(t, err)
					for _, text := range []string{secretText, "{" + secretText, `["` + secretText + `"]`, string(data) + "x"} {
						_, _, err = Parse([]byte(written(t, l.without())), "f.yaml", []string{variable + "=" + text})
						if err != nil {
							require.NotContains(t, err.Error(), secretText, variable)
						}
					}
				}
			}
		}
	}
}

func TestSecretNames(t *testing.T) {
	t.Parallel()

	for name, secret := range map[string]bool{
		"sasl.password": true, "SASL.Password": true, "ssl.key.password": true, "ssl.key.pem": true, "ssl.certificate.pem": true,
		"ssl.keystore.password": true, "sasl.oauthbearer.client.secret": true, "sasl.jaas.config": true,
		"sasl.oauthbearer.token.endpoint.url": true, "aws.credentials": true, "my.dsn": true,
		"my.passwd": true, "my.pwd": true, "ssl.key.passphrase": true,
		"fetch.min.bytes": false, "compression.type": false, "client.rack": false, "ssl.ca.location": false,
		"sasl.username": false, "queue.buffering.max.ms": false, "partitioner": false,
	} {
		text := mustParse(t, "kafka: {options: {"+name+": visible}}").String()
		require.Equal(t, secret, !strings.Contains(text, "visible"), name)
	}
}

// Whatever the password, nothing of it is left of an address: not before an @,
// / or ? of its own, and not behind one.
func TestRedactURLHidesEveryPassword(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		password := rapid.StringMatching(`[A-Z]{4,8}[@/?#:%\[\], ]{0,3}[A-Z]{4,8}`).Draw(t, "password")
		user := rapid.SampledFrom([]string{"", "user", "u@x", "u/x"}).Draw(t, "user")
		tail := rapid.SampledFrom([]string{"", "/db", "/db?a=b", "?a=b", "/a/b", "#f", ",other:2/db"}).Draw(t, "tail")
		scheme := rapid.SampledFrom([]string{"postgres", "mongodb+srv", "redis", "http", "HTTPS"}).Draw(t, "scheme")
		shown := RedactURL(scheme + "://" + user + ":" + password + "@host:1" + tail)
		for _, part := range strings.FieldsFunc(password, func(r rune) bool { return r < 'A' || r > 'Z' }) {
			require.NotContains(t, shown, part)
		}
		require.True(t, strings.HasPrefix(shown, scheme+"://***"), shown)
	})
}

// A value in a query or in a connection string of words is never shown.
func TestRedactURLHidesQueries(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[A-Z]{6,9}`).Draw(t, "secret")
		address := rapid.SampledFrom([]string{
			"postgres://h/d?password=%s", "postgres://h?x=1&password=%s", "http://h#%s", "host=h password=%s dbname=d", "%s", "http:%s",
			"postgres://h/d;password=%s", "jdbc:postgresql://h/d?password=%s", "http://h/a b?%s", "://%s", "http://[%s", "http://h:%s", "//%s",
		}).Draw(t, "address")
		require.NotContains(t, RedactURL(fmt.Sprintf(address, secret)), secret)
	})
}
