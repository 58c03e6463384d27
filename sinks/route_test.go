package sinks_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

// ref is "type:name" as a Ref.
func ref(t sinks.Type, name string) sinks.Ref { return sinks.Ref{Type: t, Name: name} }

// newSet makes a set of in-memory sinks.
func newSet(t *testing.T, refs ...sinks.Ref) *sinks.Set {
	t.Helper()

	var instances []sinks.Instance
	for _, r := range refs {
		instances = append(instances, sinks.Instance{Ref: r, Sink: sinkstest.NewMemory()})
	}
	s, err := sinks.NewSet(instances, events.Discard)
	require.NoError(t, err)
	return s
}

func TestSet_Route(t *testing.T) {
	t.Parallel()

	one := ref(sinks.Kafka, "results")
	several := []sinks.Ref{ref(sinks.Redis, "sessions"), ref(sinks.Redis, "counters"), ref(sinks.Redis, "b")}
	set := newSet(t, append(several, one)...)

	for _, tc := range []struct {
		name string
		typ  sinks.Type
		sink string
		want sinks.Ref
		err  string
		near string
	}{
		{name: "OnlyOne", typ: sinks.Kafka, want: one},
		{name: "OnlyOneByName", typ: sinks.Kafka, sink: "results", want: one},
		{name: "OneOfSeveral", typ: sinks.Redis, sink: "b", want: several[2]},
		{
			name: "NotConfigured", typ: sinks.Mongo,
			err: "a mongo payload has no sink to go to: configure one in sinks.mongo",
		},
		{
			name: "NotConfiguredByName", typ: sinks.Mongo, sink: "x",
			err: "a mongo payload has no sink to go to: configure one in sinks.mongo",
		},
		{
			name: "Ambiguous", typ: sinks.Redis, near: "b",
			err: "a redis payload names no sink and sinks.redis has several: set Sink to one of b, counters, sessions",
		},
		{
			name: "UnknownName", typ: sinks.Redis, sink: "session", near: "sessions",
			err: `sinks.redis.session is not configured: did you mean "sessions"? (there are b, counters, sessions)`,
		},
		{
			name: "UnknownNameOfOne", typ: sinks.Kafka, sink: "reuslts", near: "results",
			err: `sinks.kafka.reuslts is not configured: did you mean "results"? (there are results)`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			got, err := set.Route(tc.typ, tc.sink)
			require.Equal(t, tc.want, got)
			if tc.err == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, tc.err)
			var re *sinks.RouteError
			require.ErrorAs(t, err, &re)
			require.Equal(t, tc.typ, re.Type)
			require.Equal(t, tc.sink, re.Name)
			require.Equal(t, tc.near, re.Nearest())
		})
	}
}

func TestNewSet_RefusesDuplicates(t *testing.T) {
	t.Parallel()

	in := sinks.Instance{Ref: ref(sinks.HTTP, "hook"), Sink: sinkstest.NewMemory()}
	_, err := sinks.NewSet([]sinks.Instance{in, in}, events.Discard)
	require.EqualError(t, err, "sinks.http.hook is configured twice")
}
