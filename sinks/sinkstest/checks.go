package sinkstest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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
		t.Skip(cmp.Or(h.NoBad, "no payload is refused"))
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
		t.Skip(cmp.Or(h.NoBad, "no payload is refused"))
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
		t.Skip(caps.NoChecker)
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
	logged := newLogged(t, h.Sink)
	deliver := func(ctx context.Context, batch []sinks.Payload) error {
		logged.deliver(ctx, batch)
		return h.Sink.Deliver(ctx, batch)
	}
	errs := []error{deliver(ctx, h.payloads(0, 2))}
	if h.Bad != nil {
		errs = append(errs, deliver(t.Context(), []sinks.Payload{h.bad(2)}))
	}
	if h.Down != nil {
		h.Down(t)
		down, cancel := context.WithTimeout(t.Context(), 4*patience)
		defer cancel()
		errs = append(errs, deliver(down, h.payloads(3, 2)))
		if c, ok := h.Sink.(sinks.Checker); ok {
			errs = append(errs, c.Check(down))
		}
		h.Up(t)
	}
	lines := logged.lines()
	for _, secret := range h.Secrets {
		require.NotContains(t, lines, secret, "a log line shows a secret")
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
		t.Skip(cmp.Or(caps.NoUpserts, "the sink does not promise it"))
	}
	batch := h.payloads(0, 20)
	h.deliver(t, batch)
	h.deliver(t, batch[5:15])
	h.deliver(t, batch)
	h.holds(t, values(batch...))
}

func slowServer(t T, _ Caps, h Harness) {
	if h.Stall == nil {
		t.Skip(cmp.Or(h.NoStall, "the server cannot be stalled"))
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
		t.Skip(cmp.Or(h.NoDown, "the server cannot be restarted"))
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
