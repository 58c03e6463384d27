package kafka_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/kafka"
)

// A delivery that ended is made again, here or elsewhere. What the producer has
// not sent of it must not come behind, once the broker is back. Records of one
// that goes on stay with the producer that may have sent them already: only it
// knows them again.
func TestSink_GivesUp(t *testing.T) {
	t.Parallel()

	type testBundle struct {
		broker *broker
		sink   *kafka.Sink
	}

	setup := func(t *testing.T) *testBundle {
		t.Helper()

		b := newBroker(t, kfake.SeedTopics(3, topic))
		s := newSink(t, settings(b.addrs(), topic))
		require.NoError(t, s.Deliver(t.Context(), named("before")))
		return &testBundle{broker: b, sink: s}
	}

	// ends is a delivery that ends while the broker is down.
	ends := func(t *testing.T, b *testBundle) {
		t.Helper()

		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		require.Len(t, sinks.Failures(manyRecords, b.sink.Deliver(ctx, named("ends"))), manyRecords)
		b.broker.line.setDown(false)
	}

	t.Run("WhatEnded", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.broker.line.setDown(true)
		ends(t, b)
		require.NoError(t, b.sink.Deliver(t.Context(), named("ends")))
		requireOnce(t, b.broker, "before", "ends")
	})

	t.Run("NotWhatGoesOn", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		written, cut := context.WithCancel(t.Context())
		b.broker.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			if written.Err() == nil {
				b.broker.line.setDown(true) // the broker takes the records, and its answer is lost
				cut()
			}
			return nil, nil, false
		})
		goesOn := make(chan error, 1)
		go func() { goesOn <- b.sink.Deliver(t.Context(), named("goes-on")) }()
		<-written.Done()
		ends(t, b)
		require.NoError(t, <-goesOn)
		require.NoError(t, b.sink.Deliver(t.Context(), named("behind")))
		requireOnce(t, b.broker, "before", "goes-on", "behind")
	})
}

const manyRecords = 50

// named are records whose ids begin with name.
func named(name string) []sinks.Payload {
	all := make([]sinks.Payload, manyRecords)
	for i := range all {
		all[i] = sinks.Payload{ID: fmt.Sprintf("%s-%d", name, i), Value: drakkar.Bytes(name)}
	}
	return all
}

// requireOnce requires that the topic holds all records of the names once.
func requireOnce(t *testing.T, b *broker, names ...string) {
	t.Helper()

	seen := map[string]int{}
	for _, id := range ids(readAll(t, b.addrs(), topic)) {
		seen[id]++
	}
	for _, name := range names {
		for _, p := range named(name) {
			require.Equal(t, 1, seen[p.ID], p.ID)
		}
	}
}
