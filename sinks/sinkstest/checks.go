package sinkstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/sinks"
)

const (
	// enough is how long a sink may take for anything.
	enough = 30 * time.Second
	// soon is how long it may take to return once its context has ended.
	soon = 5 * time.Second
	// patience is how long the suite lets a sink wait for a server that does
	// not answer.
	patience = 500 * time.Millisecond
)

func badPayloadIsAlone(t T, _ Caps, h Harness) {
	if h.Bad == nil {
		t.Skip("no payload is refused: " + h.NoBad)
	}
	batch := []sinks.Payload{h.payload(0), h.bad(1), h.payload(2), h.bad(3), h.payload(4)}
	failures := h.mustFail(t, batch)
	require.Equal(t, []int{1, 3}, failed(failures), "the failed payloads are the bad ones")
	for _, f := range failures {
		require.Equal(t, sinks.Permanent, f.Class, "payload %d: %v", f.Index, f.Err)
	}
	h.holds(t, values(batch[0], batch[2], batch[4]))
}

func onlyBadPayloads(t T, _ Caps, h Harness) {
	if h.Bad == nil {
		t.Skip("no payload is refused: " + h.NoBad)
	}
	failures := h.mustFail(t, []sinks.Payload{h.bad(0)})
	require.Equal(t, []int{0}, failed(failures))
	require.Equal(t, sinks.Permanent, failures[0].Class, "%v", failures[0].Err)
	h.holds(t, nil)
}

func cancelledContextIsTransient(t T, _ Caps, h Harness) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the test called it off"))

	begun := time.Now()
	err := h.Sink.Deliver(ctx, h.payloads(0, 3))
	require.Less(t, time.Since(begun), soon, "it returns soon")
	require.Error(t, err)
	requireTransient(t, 3, err)
}

func checkDoesNotWrite(t T, caps Caps, h Harness) {
	c, ok := h.Sink.(sinks.Checker)
	if !ok {
		require.NotEmpty(t, caps.NoChecker, "the sink has no Check: give it one, or say why in Caps.NoChecker")
		t.Skip("no Check: " + caps.NoChecker)
	}
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	require.NoError(t, c.Check(ctx))
	h.holds(t, nil)
}

func closeTwice(t T, _ Caps, h Harness) {
	h.deliver(t, h.payloads(0, 1))
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	require.NoError(t, h.Sink.Close(ctx))
	require.NoError(t, h.Sink.Close(ctx))
}

func concurrentDeliver(t T, _ Caps, h Harness) {
	const deliverers, each = 8, 25
	var wg sync.WaitGroup
	errs := make([]error, deliverers)
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	for d := range deliverers {
		wg.Go(func() { errs[d] = h.Sink.Deliver(ctx, h.payloads(d*each, each)) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	h.holds(t, values(h.payloads(0, deliverers*each)...))
}

func deliversByteForByte(t T, caps Caps, h Harness) {
	batch := h.payloads(0, 3)
	if caps.AnyBytes {
		for i, v := range []string{
			"plain text", `{"z":1,"a":[1.50,"<&>"],"a":null}`, "null", "\x00\xff\xfe", "\u2028 \u00e9 \U0001f6a3",
			strings.Repeat("0123456789", 10_000), " leading and trailing ", "",
		} {
			p := h.payload(len(batch) + i)
			p.Value = drakkar.Bytes(v)
			batch = append(batch, p)
		}
	}
	h.deliver(t, batch)
	h.holds(t, values(batch...))
}

func emptyBatch(t T, _ Caps, h Harness) {
	require.NoError(t, h.Sink.Deliver(t.Context(), nil))
	h.holds(t, nil)
}

func errorsKeepSecrets(t T, _ Caps, h Harness) {
	if len(h.Secrets) == 0 {
		t.Skip("the sink has no secrets")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	errs := []error{h.Sink.Deliver(ctx, h.payloads(0, 2))}
	if h.Bad != nil {
		errs = append(errs, h.Sink.Deliver(t.Context(), []sinks.Payload{h.bad(2)}))
	}
	if h.Down != nil {
		h.Down(t)
		down, cancel := context.WithTimeout(t.Context(), 4*patience)
		defer cancel()
		errs = append(errs, h.Sink.Deliver(down, h.payloads(3, 2)))
		if c, ok := h.Sink.(sinks.Checker); ok {
			errs = append(errs, c.Check(down))
		}
		h.Up(t)
	}
	for _, err := range errs {
		require.Error(t, err)
		for _, secret := range h.Secrets {
			for _, text := range texts(err) {
				require.NotContains(t, text, secret, "an error shows a secret")
			}
		}
	}
}

// texts are all the ways in which an error of a sink may be printed.
func texts(err error) []string {
	ts := []string{err.Error(), fmt.Sprintf("%+v", err)}
	for _, f := range sinks.Failures(1, err) {
		ts = append(ts, f.Err.Error(), fmt.Sprintf("%+v", f.Err))
	}
	return ts
}

func manyPayloads(t T, _ Caps, h Harness) {
	const total, size = 10_000, 1_000
	ctx, cancel := context.WithTimeout(t.Context(), 4*enough)
	defer cancel()
	all := h.payloads(0, total)
	for batch := range slices.Chunk(all, size) {
		require.NoError(t, h.Sink.Deliver(ctx, batch))
	}
	h.holds(t, values(all...))
}

func redelivery(t T, caps Caps, h Harness) {
	if !caps.Upserts {
		t.Skip("the sink does not promise that writing an id twice leaves one row")
	}
	batch := h.payloads(0, 20)
	h.deliver(t, batch)
	h.deliver(t, batch[5:15])
	h.deliver(t, batch)
	h.holds(t, values(batch...))
}

func slowServer(t T, _ Caps, h Harness) {
	if h.Stall == nil {
		t.Skip("the server cannot be stalled: " + h.NoStall)
	}
	h.deliver(t, h.payloads(0, 1)) // connected
	resume := h.Stall(t)
	defer resume()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	begun := time.Now()
	err := h.Sink.Deliver(ctx, h.payloads(1, 2))
	require.Less(t, time.Since(begun), patience+soon, "it returns soon after its context has ended")
	require.Error(t, err)
	requireTransient(t, 2, err)
}

func survivesRestart(t T, _ Caps, h Harness) {
	if h.Down == nil {
		t.Skip("the server cannot be restarted: " + h.NoDown)
	}
	h.deliver(t, h.payloads(0, 1))
	h.Down(t)

	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	err := h.Sink.Deliver(ctx, h.payloads(1, 2))
	require.Error(t, err, "the server is down")
	requireTransient(t, 2, err)

	h.Up(t)
	batch := h.payloads(3, 2)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		defer cancel()
		return h.Sink.Deliver(ctx, batch) == nil
	}, enough, 50*time.Millisecond, "it delivers again once the server is back")
	rows := h.Rows(t)
	for _, want := range values(append(batch, h.payload(0))...) {
		require.True(t, slices.ContainsFunc(rows, func(r []byte) bool { return string(r) == want }), "%s is not there", want)
	}
}

func validateIsPure(t T, _ Caps, h Harness) {
	v, ok := h.Sink.(sinks.Validator)
	if !ok {
		t.Skip("the sink has no Validate")
	}
	for i := range 3 {
		require.NoError(t, v.Validate(h.payload(i)), "a payload that can be delivered")
	}
	if h.Bad != nil {
		_ = v.Validate(h.bad(3))
	}
	h.holds(t, nil)
}

// ---- the harness's part ----

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
