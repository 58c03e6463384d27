package kafka_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/sinks"
)

// A delivery that ended is made again, here or elsewhere. What the producer has
// not sent of it must not come behind, once the broker is back; and another
// delivery, which goes on, is not lost with it.
func TestSink_GivesUpWhatEnded(t *testing.T) {
	t.Parallel()

	b := newBroker(t, kfake.SeedTopics(3, topic))
	s := newSink(t, settings(b.addrs(), topic))
	const n = 50
	batch := func(name string) []sinks.Payload {
		all := make([]sinks.Payload, n)
		for i := range all {
			all[i] = sinks.Payload{ID: fmt.Sprintf("%s-%d", name, i), Value: drakkar.Bytes(name)}
		}
		return all
	}
	require.NoError(t, s.Deliver(t.Context(), batch("before")))

	b.line.setDown(true)
	goesOn := make(chan error, 1)
	go func() { goesOn <- s.Deliver(t.Context(), batch("goes-on")) }()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.Len(t, sinks.Failures(n, s.Deliver(ctx, batch("ends"))), n)
	b.line.setDown(false)

	require.NoError(t, s.Deliver(t.Context(), batch("ends")))
	require.NoError(t, <-goesOn)
	seen := map[string]int{}
	for _, id := range ids(readAll(t, b.addrs(), topic)) {
		seen[id]++
	}
	require.Len(t, seen, 3*n)
	for id, times := range seen {
		require.Equal(t, 1, times, id)
	}
}
