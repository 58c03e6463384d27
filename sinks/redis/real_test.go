package redis_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/integration/services"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/redis"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

// patience is how long a loaded machine may take for anything.
const patience = time.Minute

// A server that is killed in the middle of a batch has everything that was not
// named as failed, and after its return takes the rest.
func TestSink_ServerKilledMidBatch(t *testing.T) {
	t.Parallel()

	for _, mode := range []string{"set", "list"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()

			server := servicestest.OwnRedis(t)
			s := newSink(t, settings(server.URL(), mode))
			batch := payloads(20_000)
			for i := range batch {
				batch[i].Value = bytes.Repeat([]byte("x"), 500)
			}
			left := killAt(t, server, s, batch)
			require.NoError(t, server.Restart(t.Context()))

			reader := newClient(t, server.URL())
			failed := map[string]bool{}
			for _, p := range left {
				failed[string(p.Key)] = true
			}
			for _, p := range batch {
				n, err := reader.Exists(t.Context(), string(p.Key)).Result()
				require.NoError(t, err)
				require.True(t, n == 1 || failed[string(p.Key)], "payload %s counts as delivered and is gone", p.Key)
			}
			require.Eventually(t, func() bool { return s.Deliver(t.Context(), left) == nil }, patience, 50*time.Millisecond)
			n, err := reader.DBSize(t.Context()).Result()
			require.NoError(t, err)
			require.Equal(t, int64(len(batch)), n)
		})
	}
}

// killAt kills the server while it takes the batch, and returns what is left of
// that.
func killAt(t *testing.T, server *services.Redis, s *redis.Sink, batch []sinks.Payload) []sinks.Payload {
	t.Helper()

	done := make(chan error, 1)
	go func() { done <- s.Deliver(t.Context(), batch) }()
	watcher := newClient(t, server.URL())
	require.Eventually(t, func() bool {
		n, err := watcher.DBSize(t.Context()).Result()
		return err == nil && n > 0
	}, patience, time.Millisecond)
	require.NoError(t, server.Kill())
	var left []sinks.Payload
	for _, f := range sinks.Failures(len(batch), <-done) {
		require.Equal(t, sinks.Transient, f.Class, "%v", f.Err)
		left = append(left, batch[f.Index])
	}
	return left
}

func TestSink_FullServer(t *testing.T) {
	t.Parallel()

	server := servicestest.OwnRedis(t, "--maxmemory", "4mb", "--maxmemory-policy", "noeviction")
	batch := payloads(100)
	for i := range batch {
		batch[i].Value = bytes.Repeat([]byte("x"), 100_000)
	}
	fs := failures(t, newSink(t, settings(server.URL(), "set")).Deliver(t.Context(), batch))
	require.Less(t, len(fs), len(batch), "those before are there")
	for _, f := range fs {
		require.ErrorContains(t, f.Err, "OOM")
		require.Equal(t, sinks.Transient, f.Class)
	}
}

func TestSink_Permissions(t *testing.T) {
	t.Parallel()

	server := servicestest.OwnRedis(t)
	admin := newClient(t, server.URL())
	require.NoError(t, admin.Do(t.Context(), "ACL", "SETUSER", "writer", "on", ">hunter2", "~0", "+set", "+ping").Err())
	url := "redis://writer:hunter2@" + server.Addr()
	s := newSink(t, settings(url, "set"))
	require.NoError(t, s.Check(t.Context()))
	fs := failures(t, s.Deliver(t.Context(), payloads(2)))
	require.Len(t, fs, 1)
	require.Equal(t, 1, fs[0].Index)
	require.Equal(t, sinks.Permanent, fs[0].Class, "the payload has chosen the key: %v", fs[0].Err)

	fs = failures(t, newSink(t, settings(url, "list")).Deliver(t.Context(), payloads(1)))
	require.Equal(t, sinks.Transient, fs[0].Class, "the operator has chosen the command: %v", fs[0].Err)

	err := newSink(t, settings("redis://writer:swordfish@"+server.Addr(), "set")).Deliver(t.Context(), payloads(1))
	require.Equal(t, sinks.Transient, sinks.Failures(1, err)[0].Class)
	require.NotContains(t, err.Error(), "swordfish")
}

func TestSink_TLS(t *testing.T) {
	t.Parallel()

	servicestest.Redis(t)
	ca, dir := sinkstest.NewAuthority(t), t.TempDir()
	cert, key := ca.Issue(t, "server", dir)
	port := strconv.Itoa(freePort(t))
	servicestest.OwnRedis(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca.File)

	cfg := settings("rediss://127.0.0.1:"+port, "set")
	require.ErrorContains(t, newSink(t, cfg).Check(t.Context()), "unknown authority")
	cfg.TLS.CAFile = ca.File
	require.Error(t, newSink(t, cfg).Check(t.Context()), "the server asks for a certificate")
	cfg.TLS.CertFile, cfg.TLS.KeyFile = ca.Issue(t, "client", dir)
	s := newSink(t, cfg)
	require.NoError(t, s.Check(t.Context()))
	require.NoError(t, s.Deliver(t.Context(), payloads(3)))

	cfg.TLS.CAFile, cfg.URL = "", cfg.URL+"?skip_verify=true"
	require.NoError(t, newSink(t, cfg).Deliver(t.Context(), payloads(3)))
}

// freePort is one that nobody listened on a moment ago.
func freePort(t *testing.T) int {
	t.Helper()

	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A cluster of two nodes: keys go to the one that has their slot, and when one
// of them is gone only its keys fail.
func TestSink_Cluster(t *testing.T) {
	t.Parallel()

	nodes := newCluster(t)
	cfg := settings("redis-cluster://"+nodes[0].Addr()+","+nodes[1].Addr()+"?dial_timeout=1s", "set")
	cfg.KeyPrefix = "k"
	s := newSink(t, cfg)
	require.NoError(t, s.Check(t.Context()))
	batch := payloads(500)
	require.NoError(t, s.Deliver(t.Context(), batch))
	var of [2]int64
	for i, n := range nodes {
		size, err := newClient(t, n.URL()).DBSize(t.Context()).Result()
		require.NoError(t, err)
		require.Positive(t, size)
		of[i] = size
	}
	require.Equal(t, int64(len(batch)), of[0]+of[1])

	require.NoError(t, nodes[1].Kill())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	fs := failures(t, s.Deliver(ctx, batch))
	require.Len(t, fs, int(of[1]), "the other node has taken its own")
	for _, f := range fs {
		require.Equal(t, sinks.Transient, f.Class, "%v", f.Err)
	}
	require.NoError(t, nodes[1].Restart(t.Context()))
	require.Eventually(t, func() bool { return s.Deliver(t.Context(), batch) == nil }, patience, 100*time.Millisecond)
}

func newCluster(t *testing.T) [2]*services.Redis {
	t.Helper()

	var (
		nodes [2]*services.Redis
		cs    [2]*goredis.Client
		buses [2]int
	)
	for i := range nodes {
		buses[i] = freePort(t)
		nodes[i] = servicestest.OwnRedis(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(buses[i]),
			"--cluster-require-full-coverage", "no", "--cluster-node-timeout", "60000", "--databases", "1")
		cs[i] = newClient(t, nodes[i].URL())
		first, last := i*8192, i*8192+8191
		require.NoError(t, cs[i].ClusterAddSlotsRange(t.Context(), first, last).Err())
		require.NoError(t, cs[i].Do(t.Context(), "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err())
	}
	host, port, err := net.SplitHostPort(nodes[1].Addr())
	require.NoError(t, err)
	require.NoError(t, cs[0].Do(t.Context(), "CLUSTER", "MEET", host, port, buses[1]).Err())
	for _, c := range cs {
		require.Eventually(t, func() bool {
			shards, err := c.ClusterShards(t.Context()).Result()
			info := c.ClusterInfo(t.Context()).Val()
			return err == nil && len(shards) == 2 && len(shards[0].Slots) == 1 && len(shards[1].Slots) == 1 &&
				strings.Contains(info, "cluster_state:ok")
		}, patience, 50*time.Millisecond)
	}
	return nodes
}

// Sentinels name the master. When it is gone, the sink follows to the next; a
// replica itself takes nothing.
func TestSink_Sentinel(t *testing.T) {
	t.Parallel()

	args := []string{"--requirepass", "hunter2", "--masterauth", "hunter2"}
	master := servicestest.OwnRedis(t, args...)
	host, port, err := net.SplitHostPort(master.Addr())
	require.NoError(t, err)
	replica := servicestest.OwnRedis(t, append(args, "--replicaof", host+" "+port)...)
	sentinel := newSentinel(t, host, port)
	s := newSink(t, settings("redis-sentinel://:hunter2@"+sentinel+"/0?master_name=main&dial_timeout=1s", "set"))
	require.NoError(t, s.Check(t.Context()))
	require.NoError(t, s.Deliver(t.Context(), payloads(10)))

	direct := settings("redis://:hunter2@"+replica.Addr(), "set")
	fs := failures(t, newSink(t, direct).Deliver(t.Context(), payloads(1)))
	require.ErrorContains(t, fs[0].Err, "READONLY")
	require.Equal(t, sinks.Transient, fs[0].Class)

	require.NoError(t, master.Kill())
	more := payloads(20)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return s.Deliver(ctx, more) == nil
	}, 2*patience, 100*time.Millisecond)
	n, err := newClient(t, direct.URL).DBSize(t.Context()).Result()
	require.NoError(t, err)
	require.Equal(t, int64(20), n)
}

// newSentinel starts one that knows the master and its replica.
func newSentinel(t *testing.T, host, port string) (addr string) {
	t.Helper()

	addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	_, own, _ := net.SplitHostPort(addr)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `bind 127.0.0.1
port %s
dir %s
sentinel monitor main %s %s 1
sentinel auth-pass main hunter2
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 5000
`, own, filepath.Dir(file), host, port), 0o600))
	cmd := exec.Command("redis-server", file, "--sentinel")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	c := goredis.NewSentinelClient(&goredis.Options{Addr: addr})
	defer c.Close()
	require.Eventually(t, func() bool {
		replicas, err := c.Replicas(t.Context(), "main").Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	}, patience, 100*time.Millisecond)
	return addr
}

// A payload for a key that holds something else fails alone.
func TestSink_WrongType(t *testing.T) {
	t.Parallel()

	server := servicestest.OwnRedis(t)
	require.NoError(t, newClient(t, server.URL()).Set(t.Context(), "1", "a string", 0).Err())
	for _, mode := range []string{"list", "stream"} {
		batch := payloads(3)
		for _, i := range []int{0, 2} {
			batch[i].Key = drakkar.Bytes(mode + fmt.Sprint(i))
		}
		fs := failures(t, newSink(t, settings(server.URL(), mode)).Deliver(t.Context(), batch))
		require.Len(t, fs, 1)
		require.Equal(t, 1, fs[0].Index)
		require.Equal(t, sinks.Permanent, fs[0].Class)
	}
}
