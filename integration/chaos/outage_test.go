package chaos

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/integration/services/servicestest"
)

const (
	// outage is how long the sink is away: some sixty times as long as it takes
	// until its attempts would be used up.
	outage = 2 * time.Minute

	outagePartitions = 4
	outageRate       = 40
)

// A sink is away for minutes. The messages of one partition are for it, those of
// the others are not: they go on. Memory stays flat, nothing is dead-lettered,
// and when the sink is back everything is in it once.
func TestOutage(t *testing.T) {
	t.Parallel()

	away := servicestest.OwnRedis(t)
	w := &world{kafkaAddr: servicestest.Kafka(t), postgresURL: servicestest.Postgres(t), mongoURL: servicestest.Mongo(t), redisURL: away.URL()}
	w.temporalAddr, w.namespace = servicestest.Temporal(t)
	o, err := parse([]string{"-partitions", strconv.Itoa(outagePartitions), "-slots", "4"}, t.Output())
	require.NoError(t, err)
	orders := make([]order, int(outage.Seconds())*outageRate)
	for i := range orders {
		orders[i] = order{N: i, MS: 5, Only: "kafka"}
		if i%outagePartitions == 0 { // where the broker puts it, see produce
			orders[i].Only = "redis"
		}
	}
	o.messages = len(orders)
	r := &round{roundConfig: roundConfig{options: o, seed: 1, dir: t.TempDir(), world: w, tell: func(text string) { t.Log(text) }}}
	t.Cleanup(func() { require.NoError(t, r.close()) })
	require.NoError(t, r.open(t.Context(), fmt.Sprintf("outage-%d", time.Now().UnixMilli())))
	r.fleet.env = []string{
		"DRAKKAR_SINKS__REDIS__STORE__MAX_ATTEMPTS=3",
		"DRAKKAR_SINKS__REDIS__STORE__INITIAL_INTERVAL=200ms",
		"DRAKKAR_SINKS__REDIS__STORE__MAX_INTERVAL=2s",
		"DRAKKAR_SINKS__CIRCUIT_BREAKER__COOLDOWN=2s",
	}
	require.NoError(t, r.populate(1, 2))

	sending := make(chan error, 1)
	go func() {
		sending <- r.broker.send(t.Context(), r.topics.source, r.partitions, orders, outageRate, func(int) {})
	}()
	require.NoError(t, eventually(t.Context(), r.patience, func() error { return r.committedAtLeast(t.Context(), outageRate) }))
	require.NoError(t, away.Kill())
	second := memoryOver(t, r, outage/4)
	memoryOver(t, r, outage/4)
	last := memoryOver(t, r, outage/4)
	require.NoError(t, <-sending)

	others := int64(len(orders) / outagePartitions * (outagePartitions - 1))
	require.NoError(t, eventually(t.Context(), r.patience, func() error {
		return r.othersCommitted(t.Context(), others)
	}), "partitions that do not need the sink go on")
	for name, was := range second {
		t.Logf("%s used %d bytes at first, and %d at last", name, was, last[name])
		require.LessOrEqual(t, last[name], was*5/4, name)
	}

	require.NoError(t, away.Restart(t.Context()))
	left, err := r.settle(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	require.NoError(t, r.fleet.stop())
	for _, s := range r.stores {
		want := tally{}
		if s.name() == "redis" {
			for i := 0; i < len(orders); i += outagePartitions {
				want[i] = 1
			}
		}
		require.Equal(t, want, read(t, s), s.name())
	}
	letters := 0
	require.NoError(t, r.broker.read(t.Context(), r.topics.letters, func(*kafka.Message) error { letters++; return nil }))
	require.Zero(t, letters)
	requireNoRace(t, r.dir, 3)
}

// othersCommitted returns an error until so many messages are committed of the
// partitions that are not held.
func (r *round) othersCommitted(ctx context.Context, want int64) error {
	held, err := r.broker.committed(ctx, r.topics.group, r.topics.source, 1)
	if err != nil {
		return err
	}
	sum, err := r.broker.committed(ctx, r.topics.group, r.topics.source, r.partitions)
	if err == nil && sum-held < want {
		err = fmt.Errorf("%d of %d messages are committed", sum-held, want)
	}
	return err
}

// memoryOver is the mean resident memory of each process over some time.
func memoryOver(t *testing.T, r *round, d time.Duration) map[string]int {
	t.Helper()

	sums, n := map[string]int{}, 0
	for end := time.Now().Add(d); time.Now().Before(end); n++ {
		for _, m := range r.fleet.members {
			sums[m.name] += resident(t, m.program.PID())
		}
		pause(t.Context(), time.Second)
	}
	for name := range sums {
		sums[name] /= n
	}
	return sums
}

// resident is the resident memory of a process.
func resident(t *testing.T, pid int) int {
	t.Helper()

	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}
