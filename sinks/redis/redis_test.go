package redis_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/integration/services"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/redis"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
	"github.com/drakkar-go/drakkar/sinks/sinkstest/conformance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// settings are those of a sink for tests.
func settings(url, mode string) config.RedisSink {
	return config.RedisSink{URL: url, Mode: mode, Delivery: config.Delivery{Timeout: 30 * time.Second}}
}

func newSink(t *testing.T, cfg config.RedisSink) *redis.Sink {
	t.Helper()

	s, err := redis.New("cache", cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return s
}

// newClient is a client of the test's own.
func newClient(t *testing.T, address string) *goredis.Client {
	t.Helper()

	o, err := goredis.ParseURL(address)
	require.NoError(t, err)
	c := goredis.NewClient(o)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// place is where tests share a server without meeting each other.
type place struct {
	server string // URL
	prefix string
}

func newPlace(t *testing.T, server string) *place {
	t.Helper()

	return &place{server, fmt.Sprintf("%s-%d:", strings.ReplaceAll(t.Name(), "/", "-"), time.Now().UnixNano())}
}

// through leads to the server by a line.
func (p *place) through(t *testing.T, addr string) string {
	t.Helper()

	u, err := url.Parse(p.server)
	require.NoError(t, err)
	u.Host = addr
	return u.String()
}

func (p *place) host(t *testing.T) string {
	t.Helper()

	u, err := url.Parse(p.server)
	require.NoError(t, err)
	return u.Host
}

// kind is a mode that keeps what it is given, with how it is read back.
type kind struct {
	mode string
	caps sinkstest.Caps
	// one payload of the batch goes to this key; empty is one of its own.
	key  string
	rows func(t sinkstest.T, c *goredis.Client, prefix string) [][]byte
}

var kinds = []kind{
	{"set", sinkstest.Caps{Upserts: true, AnyBytes: true}, "", values},
	{"stream", sinkstest.Caps{AnyBytes: true, NoUpserts: "entries are appended; both carry the delivery id in the field id"}, "all", entries},
	{"list", sinkstest.Caps{AnyBytes: true, NoUpserts: "elements are appended"}, "all", elements},
}

func values(t sinkstest.T, c *goredis.Client, prefix string) [][]byte {
	var rows [][]byte
	it := c.Scan(t.Context(), 0, prefix+"[0-9]*", 1000).Iterator()
	seen := map[string]bool{}
	for it.Next(t.Context()) {
		if seen[it.Val()] { // a scan may say a key twice
			continue
		}
		seen[it.Val()] = true
		v, err := c.Get(t.Context(), it.Val()).Bytes()
		require.NoError(t, err)
		rows = append(rows, v)
	}
	require.NoError(t, it.Err())
	return rows
}

func entries(t sinkstest.T, c *goredis.Client, prefix string) [][]byte {
	var rows [][]byte
	all, err := c.XRange(t.Context(), prefix+"all", "-", "+").Result()
	require.NoError(t, err)
	for _, e := range all {
		require.NotEmpty(t, e.Values["id"])
		rows = append(rows, []byte(e.Values["data"].(string)))
	}
	return rows
}

func elements(t sinkstest.T, c *goredis.Client, prefix string) [][]byte {
	var rows [][]byte
	all, err := c.LRange(t.Context(), prefix+"all", 0, -1).Result()
	require.NoError(t, err)
	for _, e := range all {
		rows = append(rows, []byte(e))
	}
	return rows
}

// exercise runs the suite for all modes against a server. Change may add to what
// a mode promises.
func exercise(t *testing.T, server func(t *testing.T) string, change func(kind kind, caps *sinkstest.Caps)) {
	t.Helper()

	for _, kind := range kinds {
		t.Run(kind.mode, func(t *testing.T) {
			t.Parallel()

			caps := kind.caps
			change(kind, &caps)
			sinkstest.Exercise(t, caps, func(t *testing.T) sinkstest.Harness {
				t.Helper()
				return harness(t, kind, server(t))
			})
		})
	}
}

// harness is a sink behind a line to the server.
func harness(t *testing.T, kind kind, server string) sinkstest.Harness {
	t.Helper()

	p := newPlace(t, server)
	line := sinkstest.NewLine(t, p.host(t))
	cfg := settings(p.through(t, line.Addr()), kind.mode)
	cfg.KeyPrefix = p.prefix
	reader := newClient(t, p.server)
	// A key that holds something else refuses entries of streams
	// and lists; a payload without a key is none for set.
	require.NoError(t, reader.HSet(t.Context(), p.prefix+"bad", "a", "b").Err())
	bad := "bad"
	if kind.mode == "set" {
		bad = ""
	}
	return sinkstest.Harness{
		Sink: newSink(t, cfg),
		Payload: func(i int) sinks.Payload {
			key := kind.key
			if key == "" {
				key = fmt.Sprint(i)
			}
			return sinks.Payload{Key: drakkar.Bytes(key)}
		},
		Rows:    func(t sinkstest.T) [][]byte { return kind.rows(t, reader, p.prefix) },
		Bad:     func(int) sinks.Payload { return sinks.Payload{Key: drakkar.Bytes(bad)} },
		Secrets: []string{"hunter2"},
		Down:    func(sinkstest.T) { line.Down() },
		Up:      func(sinkstest.T) { line.Up() },
		Stall:   func(sinkstest.T) func() { return line.Stall() },
	}
}

func TestSink_Conforms(t *testing.T) {
	t.Parallel()

	exercise(t, func(t *testing.T) string { return newFake(t).url("hunter2") }, func(_ kind, caps *sinkstest.Caps) {
		caps.NoOwn = "the real server is killed"
	})
}

func TestSink_ConformsOnRealRedis(t *testing.T) {
	t.Parallel()

	start := func(t *testing.T) *services.Redis { return servicestest.OwnRedis(t, "--requirepass", "hunter2") }
	address := func(server *services.Redis) string { return "redis://:hunter2@" + server.Addr() + "/0" }
	server := start(t)
	exercise(t, func(*testing.T) string { return address(server) }, func(kind kind, caps *sinkstest.Caps) {
		caps.Report = conformance.Of("Redis "+kind.mode, "Redis")
		if kind.mode == "set" {
			caps.NotShown = map[string]string{"Publish": "a channel keeps nothing that could be read back; TestSink_Publish shows what the mode does"}
		}
		caps.Own = func(t *testing.T) sinkstest.Harness {
			t.Helper()

			own := start(t)
			h := harness(t, kind, address(own))
			h.Kill = func(sinkstest.T) { require.NoError(t, own.Kill()) }
			h.Restart = func(sinkstest.T) { require.NoError(t, own.Restart(t.Context())) }
			return h
		}
	})
}

func failures(t *testing.T, err error) []sinks.Failure {
	t.Helper()

	var de *sinks.DeliverError
	require.ErrorAs(t, err, &de)
	return de.Failures
}

// payloads have a key each.
func payloads(n int) []sinks.Payload {
	batch := make([]sinks.Payload, n)
	for i := range batch {
		batch[i] = sinks.Payload{ID: fmt.Sprintf("id-%d", i), Key: drakkar.Bytes(fmt.Sprint(i)), Value: drakkar.Bytes(fmt.Sprint(i))}
	}
	return batch
}

func TestSink_TTL(t *testing.T) {
	t.Parallel()

	fake := newFake(t)
	s := newSink(t, settings(fake.url("hunter2"), "set"))
	batch := payloads(4)
	batch[1].TTL = 1500 * time.Millisecond
	batch[2].TTL = time.Hour
	batch[3].TTL = -time.Second
	fs := failures(t, s.Deliver(t.Context(), batch))
	require.Len(t, fs, 1)
	require.Equal(t, 3, fs[0].Index)
	require.Zero(t, fake.TTL("0"))
	require.Equal(t, 1500*time.Millisecond, fake.TTL("1"))
	require.Equal(t, time.Hour, fake.TTL("2"))

	require.NoError(t, s.Deliver(t.Context(), payloads(4)))
	require.Zero(t, fake.TTL("2"), "what is set without one has none")
}

func TestSink_Validate(t *testing.T) {
	t.Parallel()

	key := func(k string, ttl time.Duration) sinks.Payload { return sinks.Payload{Key: drakkar.Bytes(k), TTL: ttl} }
	for _, tt := range []struct {
		mode, prefix string
		p            sinks.Payload
		want         string
	}{
		{"set", "p:", key("", 0), "it has no key"},
		{"set", "", key("k", -1), "less than Redis knows"},
		{"set", "", key("k", time.Microsecond), "less than Redis knows"},
		{"set", "", key("k", time.Millisecond), ""},
		{"stream", "", key("", 0), "no key_prefix"},
		{"stream", "p", key("", 0), ""},
		{"list", "", key("k", time.Second), "a ttl needs the mode set"},
		{"publish", "", key("k", 0), ""},
	} {
		cfg := settings("redis://localhost:1", tt.mode)
		cfg.KeyPrefix = tt.prefix
		err := newSink(t, cfg).Validate(tt.p)
		if tt.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, tt.want)
	}
}

func TestSink_OrderOfABatch(t *testing.T) {
	t.Parallel()

	fake := newFake(t)
	cfg := settings(fake.url("hunter2"), "list")
	cfg.KeyPrefix = "all"
	batch := payloads(50)
	for i := range batch {
		batch[i].Key = nil
	}
	require.NoError(t, newSink(t, cfg).Deliver(t.Context(), batch))
	all, err := fake.List("all")
	require.NoError(t, err)
	for i, v := range all {
		require.Equal(t, fmt.Sprint(i), v)
	}
}

func TestSink_Stream(t *testing.T) {
	t.Parallel()

	server := servicestest.OwnRedis(t)
	reader := newClient(t, server.URL())
	cfg := settings(server.URL(), "stream")
	cfg.StreamMaxLen = 100
	batch := payloads(1000)
	for i := range batch {
		batch[i].Key = drakkar.Bytes("events")
	}
	require.NoError(t, newSink(t, cfg).Deliver(t.Context(), batch))
	n, err := reader.XLen(t.Context(), "events").Result()
	require.NoError(t, err)
	require.Less(t, n, int64(400), "the oldest are forgotten, roughly")
	last, err := reader.XRevRangeN(t.Context(), "events", "+", "-", 1).Result()
	require.NoError(t, err)
	require.Equal(t, map[string]any{"data": "999", "id": "id-999"}, last[0].Values)
}

func TestSink_Publish(t *testing.T) {
	t.Parallel()

	fake := newFake(t)
	s := newSink(t, settings(fake.url("hunter2"), "publish"))
	require.NoError(t, s.Deliver(t.Context(), payloads(1)), "nobody has to listen")

	sub := newClient(t, fake.url("hunter2")).Subscribe(t.Context(), "0", "1")
	defer sub.Close()
	_, err := sub.Receive(t.Context())
	require.NoError(t, err)
	_, err = sub.Receive(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Deliver(t.Context(), payloads(2)))
	for i := range 2 {
		m, err := sub.ReceiveMessage(t.Context())
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), m.Channel)
		require.Equal(t, fmt.Sprint(i), m.Payload)
	}
}

func TestSink_Classes(t *testing.T) {
	t.Parallel()

	for answer, class := range map[string]sinks.Class{
		"LOADING Redis is loading the dataset in memory":                         sinks.Transient,
		"READONLY You can't write against a read only replica.":                  sinks.Transient,
		"MOVED 3999 127.0.0.1:6381":                                              sinks.Transient,
		"ASK 3999 127.0.0.1:6381":                                                sinks.Transient,
		"CLUSTERDOWN The cluster is down":                                        sinks.Transient,
		"TRYAGAIN Multiple keys request during rehashing of slot":                sinks.Transient,
		"OOM command not allowed when used memory > 'maxmemory'.":                sinks.Transient,
		"MISCONF Redis is configured to save RDB snapshots":                      sinks.Transient,
		"NOREPLICAS Not enough good replicas to write.":                          sinks.Transient,
		"MASTERDOWN Link with MASTER is down":                                    sinks.Transient,
		"BUSY Redis is busy running a script.":                                   sinks.Transient,
		"NOAUTH Authentication required.":                                        sinks.Transient,
		"NOPERM User x has no permissions to run the 'set' command":              sinks.Transient,
		"NOPERM this user has no permissions to run the 'set' command":           sinks.Transient,
		"ERR unknown command 'SET', with args beginning with: 'hunter2'":         sinks.Transient,
		"ERR max number of clients reached":                                      sinks.Transient,
		"WRONGTYPE Operation against a key holding the wrong kind of value":      sinks.Permanent,
		"NOPERM No permissions to access a key":                                  sinks.Permanent,
		"NOPERM No permissions to access a channel":                              sinks.Permanent,
		"ERR string exceeds maximum allowed size (proto-max-bulk-len)":           sinks.Permanent,
		"ERR invalid expire time in 'set' command":                               sinks.Permanent,
		"ERR Protocol error: invalid bulk length":                                sinks.Permanent,
		"ERR Protocol error: unbalanced quotes in request":                       sinks.Transient,
		"NOPERM User key-writer has no permissions to run the 'set' command":     sinks.Transient,
		"NOPERM User key-writer has no permissions to access the '1' key":        sinks.Permanent,
		"NOPERM this user has no permissions to access one of the keys used":     sinks.Permanent,
		"SOMETHING that a later version says about whatever happens to be wrong": sinks.Transient,
	} {
		t.Run(answer, func(t *testing.T) {
			t.Parallel()

			fake := newFake(t)
			fake.refuse("SET", "1", answer)
			fs := failures(t, newSink(t, settings(fake.url("hunter2"), "set")).Deliver(t.Context(), payloads(3)))
			require.Len(t, fs, 1, "the others are there")
			require.Equal(t, 1, fs[0].Index)
			require.Equal(t, class, fs[0].Class, "%v", fs[0].Err)
			require.NotContains(t, fs[0].Err.Error(), "hunter2")
			require.ElementsMatch(t, []string{"0", "2"}, fake.Keys())
		})
	}
}

// What was answered before the connection broke is delivered, the rest is not.
func TestSink_ConnectionBreaksMidBatch(t *testing.T) {
	t.Parallel()

	for _, kind := range []string{"server", "cluster"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()

			fake := newFake(t)
			fake.hangUpAt("RPUSH", "3")
			s := newSink(t, settings(fake.urlOf(kind), "list"))
			fs := failures(t, s.Deliver(t.Context(), payloads(6)))
			require.Len(t, fs, 3)
			for i, f := range fs {
				require.Equal(t, 3+i, f.Index)
				require.Equal(t, sinks.Transient, f.Class)
			}
			requireOnce(t, fake, "0", "1", "2")
		})
	}
}

// A node that is not ready for the first command may have taken others.
func TestSink_ClusterRefusesFirst(t *testing.T) {
	t.Parallel()

	for _, answer := range []string{"LOADING wait", "READONLY no", "TRYAGAIN later", "CLUSTERDOWN no"} {
		t.Run(answer, func(t *testing.T) {
			t.Parallel()

			fake := newFake(t)
			fake.refuse("RPUSH", "0", answer)
			fs := failures(t, newSink(t, settings(fake.urlOf("cluster"), "list")).Deliver(t.Context(), payloads(3)))
			require.Len(t, fs, 1)
			require.Equal(t, 0, fs[0].Index)
			require.Equal(t, sinks.Transient, fs[0].Class)
			requireOnce(t, fake, "1", "2")
		})
	}
}

// A command that a node sends on is done by the other one.
func TestSink_ClusterSendsOn(t *testing.T) {
	t.Parallel()

	for _, answer := range []string{"MOVED", "ASK"} {
		t.Run(answer, func(t *testing.T) {
			t.Parallel()

			fake, other := newFake(t), newFake(t)
			fake.refuse("RPUSH", "1", answer+" 9842 "+other.Addr())
			require.NoError(t, other.Server().Register("ASKING", func(p *server.Peer, _ string, _ []string) { p.WriteOK() }))
			require.NoError(t, newSink(t, settings(fake.urlOf("cluster"), "list")).Deliver(t.Context(), payloads(3)))
			requireOnce(t, fake, "0", "2")
			requireOnce(t, other, "1")
		})
	}
}

// requireOnce wants lists of one element at these keys, and no others.
func requireOnce(t *testing.T, f *fake, keys ...string) {
	t.Helper()

	require.ElementsMatch(t, keys, f.Keys())
	for _, key := range keys {
		all, err := f.List(key)
		require.NoError(t, err)
		require.Len(t, all, 1, "nothing was sent twice")
	}
}

func TestSink_WrongPassword(t *testing.T) {
	t.Parallel()

	fake := newFake(t)
	s := newSink(t, settings(fake.url("swordfish"), "set"))
	err := s.Deliver(t.Context(), payloads(2))
	require.ErrorContains(t, err, "WRONGPASS")
	require.NotContains(t, err.Error(), "swordfish")
	require.Equal(t, sinks.Transient, sinks.Failures(2, err)[1].Class)
	require.ErrorContains(t, s.Check(t.Context()), "WRONGPASS")
}

// A login that is refused is no answer to any command: none was sent, whatever
// was refused before.
func TestSink_WrongPasswordBesideARefusedPayload(t *testing.T) {
	t.Parallel()

	for _, kind := range []string{"server", "cluster"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()

			fake := newFake(t)
			address := fake.urlOf(kind)
			fake.RequireAuth("another")
			batch := payloads(3)
			batch[1].Key = nil
			fs := failures(t, newSink(t, settings(address, "set")).Deliver(t.Context(), batch))
			require.Len(t, fs, 3)
			for i, class := range []sinks.Class{sinks.Transient, sinks.Permanent, sinks.Transient} {
				require.Equal(t, i, fs[i].Index)
				require.Equal(t, class, fs[i].Class, "%v", fs[i].Err)
			}
			require.ErrorContains(t, fs[0].Err, "WRONGPASS")
		})
	}
}

func TestSink_Cancelled(t *testing.T) {
	t.Parallel()

	fake := newFake(t)
	line := sinkstest.NewLine(t, fake.Addr())
	s := newSink(t, settings("redis://:hunter2@"+line.Addr(), "set"))
	require.NoError(t, s.Deliver(t.Context(), payloads(1)))
	defer line.Stall()()

	// No deadline: the client would wait for its own.
	called := errors.New("called off")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(called) })
	err := s.Deliver(ctx, payloads(2))
	require.ErrorIs(t, err, called)
	require.Equal(t, sinks.Transient, sinks.Failures(2, err)[1].Class)
	require.ErrorIs(t, s.Check(ctx), called)
}

func TestSink_Closed(t *testing.T) {
	t.Parallel()

	s := newSink(t, settings(newFake(t).url("hunter2"), "set"))
	require.NoError(t, s.Close(t.Context()))
	require.Error(t, s.Deliver(t.Context(), payloads(1)))
	require.Error(t, s.Check(t.Context()))
}

func TestNew_NamesTheSetting(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct{ url, mode, want string }{
		{"redis://:hunter2@h:1/0", "move", `sinks.redis.cache.mode: "move"`},
		{"http://:hunter2@h", "set", "sinks.redis.cache.url: it does not begin with"},
		{"redis://:hunter2%zz@h", "set", "sinks.redis.cache.url: it is not an address"},
		{"redis://:hunter2@a,b", "set", "sinks.redis.cache.url: it names several hosts"},
		{"redis://:hunter2@h/zero", "set", "sinks.redis.cache.url: redis: invalid database number"},
		{"redis://:hunter2@h?pool=1", "set", "sinks.redis.cache.url: redis: unexpected option"},
		{"redis-cluster://:hunter2@h/1", "set", "a cluster has no databases"},
		{"redis-sentinel://:hunter2@h/1", "set", "?master_name="},
		{"rediss-else://:hunter2@h/1", "set", "sinks.redis.cache.url: it does not begin with"},
	} {
		_, err := redis.New("cache", settings(tt.url, tt.mode))
		require.ErrorContains(t, err, tt.want)
		require.NotContains(t, err.Error(), "hunter2")
	}
	cfg := settings("rediss://h", "set")
	cfg.TLS.CAFile = "/no/such/ca"
	_, err := redis.New("cache", cfg)
	require.ErrorContains(t, err, "sinks.redis.cache.ca_file: open /no/such/ca")
}
