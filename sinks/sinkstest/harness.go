package sinkstest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/sinks"
)

func (h Harness) payload(i int) sinks.Payload {
	var p sinks.Payload
	if h.Payload != nil {
		p = h.Payload(i)
	}
	return h.filled(i, p)
}

func (h Harness) bad(i int) sinks.Payload { return h.filled(i, h.Bad(i)) }

func (h Harness) filled(i int, p sinks.Payload) sinks.Payload {
	if p.ID == "" {
		p.ID = fmt.Sprintf("orders~ab12/0/%d/m/0", i)
	}
	if p.Value == nil {
		p.Value = drakkar.Bytes(fmt.Sprintf(`{"n":%d,"text":"payload \"%d\" \u00e9"}`, i, i))
		if h.Value != nil {
			p.Value = h.Value(i)
		}
	}
	p.Source = drakkar.Source{Topic: "orders", Offset: int64(i)}
	return p
}

func (h Harness) payloads(from, n int) []sinks.Payload {
	ps := make([]sinks.Payload, n)
	for i := range ps {
		ps[i] = h.payload(from + i)
	}
	return ps
}

func (h Harness) deliver(t T, batch []sinks.Payload) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	require.NoError(t, h.Sink.Deliver(ctx, batch))
}

// mustFail delivers a batch some of which must fail.
func (h Harness) mustFail(t T, batch []sinks.Payload) []sinks.Failure {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	var de *sinks.DeliverError
	require.ErrorAs(t, h.Sink.Deliver(ctx, batch), &de, "it names the failed payloads")
	return de.Failures
}

// holds requires that the other side has exactly these values.
func (h Harness) holds(t T, want []string) {
	t.Helper()
	rows := h.Rows(t)
	got := make([]string, len(rows))
	for i, r := range rows {
		got[i] = string(r)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(want, got) {
		missing, surplus := difference(want, got), difference(got, want)
		require.Fail(t, "the rows are not those that were delivered",
			"%d rows instead of %d; missing %d: %.500q; surplus %d: %.500q",
			len(got), len(want), len(missing), missing, len(surplus), surplus)
	}
}

// holdsAtLeast requires that the other side has each of these values, and no
// others.
func (h Harness) holdsAtLeast(t T, want []string) {
	t.Helper()
	got := map[string]bool{}
	for _, r := range h.Rows(t) {
		got[string(r)] = true
	}
	for _, value := range want {
		require.True(t, got[value], "%s is not there", value)
	}
	require.Len(t, got, len(want))
}

// difference are the elements of a that b lacks, as a multiset.
func difference(a, b []string) []string {
	count := map[string]int{}
	for _, s := range b {
		count[s]++
	}
	var left []string
	for _, s := range a {
		if count[s]--; count[s] < 0 {
			left = append(left, s)
		}
	}
	return left[:min(len(left), 5)]
}

func (h Harness) close(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), enough)
	defer cancel()
	require.NoError(t, h.Sink.Close(ctx))
}

// requireTransient requires that a batch of n may be tried again as a whole.
func requireTransient(t T, n int, err error) {
	t.Helper()
	failures := sinks.Failures(n, err)
	require.Len(t, failures, n, "every payload has failed")
	for i, f := range failures {
		require.Equal(t, i, f.Index)
		require.Equal(t, sinks.Transient, f.Class, "payload %d: %v", i, f.Err)
	}
}

func failed(failures []sinks.Failure) []int {
	is := make([]int, len(failures))
	for i, f := range failures {
		is[i] = f.Index
	}
	return is
}

func values(ps ...sinks.Payload) []string {
	vs := make([]string, len(ps))
	for i, p := range ps {
		vs[i] = string(p.Value)
	}
	return vs
}
