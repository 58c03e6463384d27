package redis

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
)

// address is a setting url, taken apart.
type address struct {
	kind  string // "", "cluster" or "sentinel"
	tls   bool
	first *url.URL // with the first host only, and with redis or rediss
	more  []string // further hosts, with ports
}

// Ports that an address need not name.
const (
	serverPort   = "6379"
	sentinelPort = "26379"
)

// parseAddress reads an address; of its errors none shows what it holds.
func parseAddress(text string) (*address, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	base, kind, _ := strings.Cut(scheme, "-")
	if base != "redis" && base != "rediss" || kind != "" && kind != "cluster" && kind != "sentinel" {
		return nil, errors.New("it does not begin with redis://, redis-cluster:// or redis-sentinel://")
	}
	end := len(rest)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		end = i
	}
	user, hosts := "", rest[:end]
	if i := strings.LastIndexByte(hosts, '@'); i >= 0 {
		user, hosts = hosts[:i+1], hosts[i+1:]
	}
	port := serverPort
	if kind == "sentinel" {
		port = sentinelPort
	}
	a := &address{kind: kind, tls: base == "rediss"}
	for i, host := range strings.Split(hosts, ",") {
		host = withPort(host, port)
		if i > 0 {
			a.more = append(a.more, host)
			continue
		}
		u, err := url.Parse(base + "://" + user + host + rest[end:])
		if err != nil {
			return nil, errors.New("it is not an address: write %-escapes for signs in user and password")
		}
		a.first = u
	}
	if kind == "" && len(a.more) > 0 {
		return nil, errors.New("it names several hosts: use redis-cluster:// or redis-sentinel://")
	}
	return a, nil
}

func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(cmp.Or(strings.Trim(host, "[]"), "localhost"), port)
}

// secrets are what an address holds and nobody should see.
func (a *address) secrets() *sinks.Secrets {
	s := &sinks.Secrets{}
	if password, ok := a.first.User.Password(); ok {
		s.Add(password, a.first.User.String())
	}
	q := a.first.Query()
	s.Add(q.Get("password"), q.Get("sentinel_password"))
	return s
}

// quiet keeps the client's own remarks off standard error: they are no JSON,
// and what matters of them comes back as errors too.
var quiet sync.Once

// newClient makes a client for what the address names. Errors begin with the
// setting.
func newClient(cfg config.RedisSink) (redis.UniversalClient, *sinks.Secrets, error) {
	a, err := parseAddress(cfg.URL)
	if err != nil {
		return nil, nil, fmt.Errorf("url: %w", err)
	}
	secrets := a.secrets()
	var tlsConfig *tls.Config
	if a.tls {
		if tlsConfig, err = sinks.ClientTLS(cfg.TLS); err != nil {
			return nil, nil, err
		}
	}
	quiet.Do(logging.Disable)
	open := map[string]func(*address, *tls.Config, config.RedisSink) (redis.UniversalClient, error){
		"": single, "cluster": cluster, "sentinel": sentinel,
	}[a.kind]
	client, err := open(a, tlsConfig, cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("url: %w", secrets.Redact(err))
	}
	return client, secrets, nil
}

// noRetries leaves retries to the delivery, whose pauses are durable and which
// repeats only what failed. The client would repeat whole pipelines, with what
// was done of them.
const noRetries = -1

func single(a *address, tlsConfig *tls.Config, cfg config.RedisSink) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(a.first.String())
	if err != nil {
		return nil, err
	}
	o.MaxRetries = cmp.Or(o.MaxRetries, noRetries)
	o.DialerRetries = cmp.Or(o.DialerRetries, 1)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, timeoutOf(cfg))
	o.WriteTimeout = cmp.Or(o.WriteTimeout, timeoutOf(cfg))
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	o.MaintNotificationsConfig = noNotifications()
	o.TLSConfig = withSkip(tlsConfig, o.TLSConfig)
	return redis.NewClient(o), nil
}

func cluster(a *address, tlsConfig *tls.Config, cfg config.RedisSink) (redis.UniversalClient, error) {
	if db := strings.Trim(a.first.Path, "/"); db != "" && db != "0" {
		return nil, errors.New("a cluster has no databases: remove the path")
	}
	u := *a.first
	u.Path = ""
	u.RawQuery = withHosts(u.Query(), a.more).Encode()
	o, err := redis.ParseClusterURL(u.String())
	if err != nil {
		return nil, err
	}
	o.DialerRetries = cmp.Or(o.DialerRetries, 1)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, timeoutOf(cfg))
	o.WriteTimeout = cmp.Or(o.WriteTimeout, timeoutOf(cfg))
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	o.MaintNotificationsConfig = noNotifications()
	o.TLSConfig = withSkip(tlsConfig, o.TLSConfig)
	c := redis.NewClusterClient(o)
	c.AddHook(once{})
	return c, nil
}

// sentinel makes a client of the master that sentinels name. User and password
// of the address are those of the servers; sentinels have theirs in the query.
func sentinel(a *address, tlsConfig *tls.Config, cfg config.RedisSink) (redis.UniversalClient, error) {
	u, q := *a.first, withHosts(a.first.Query(), a.more)
	if q.Get("master_name") == "" {
		return nil, errors.New("it lacks ?master_name=, by which sentinels know the server")
	}
	if u.User != nil {
		password, _ := u.User.Password()
		q.Set("username", u.User.Username())
		q.Set("password", password)
	}
	u.User = nil
	if password := q.Get("sentinel_password"); password != "" {
		u.User = url.UserPassword(q.Get("sentinel_username"), password)
	}
	q.Del("sentinel_username")
	q.Del("sentinel_password")
	u.RawQuery = q.Encode()
	o, err := redis.ParseFailoverURL(u.String())
	if err != nil {
		return nil, err
	}
	o.MaxRetries = cmp.Or(o.MaxRetries, noRetries)
	o.DialerRetries = cmp.Or(o.DialerRetries, 1)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, timeoutOf(cfg))
	o.WriteTimeout = cmp.Or(o.WriteTimeout, timeoutOf(cfg))
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	o.TLSConfig = withSkip(tlsConfig, o.TLSConfig)
	return redis.NewFailoverClient(o), nil
}

func withHosts(q url.Values, more []string) url.Values {
	for _, host := range more {
		q.Add("addr", host)
	}
	return q
}

// withSkip takes skip_verify over from an address.
func withSkip(ours, parsed *tls.Config) *tls.Config {
	if ours != nil && parsed != nil {
		ours.InsecureSkipVerify = parsed.InsecureSkipVerify
	}
	return ours
}

func noNotifications() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}
