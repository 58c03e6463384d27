package sinkstest

import (
	"context"
	"slices"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/logging"
	"github.com/drakkar-go/drakkar/sinks"
)

// logged delivers as the executor does, and keeps what it logs of that.
type logged struct {
	set *sinks.Set
	ref sinks.Ref
	buf *zaptest.Buffer
}

func newLogged(t T, s sinks.Sink) *logged {
	t.Helper()
	l := &logged{ref: sinks.Ref{Type: sinks.Custom, Name: "logged"}, buf: &zaptest.Buffer{}}
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), l.buf, zap.DebugLevel))
	in := sinks.Instance{Ref: l.ref, Sink: s, Policy: sinks.Policy{Breaker: config.CircuitBreaker{FailureThreshold: 1_000}}}
	var err error
	l.set, err = sinks.NewSet([]sinks.Instance{in}, logging.NewRecorder(log, 0))
	require.NoError(t, err)
	return l
}

func (l *logged) deliver(ctx context.Context, batch []sinks.Payload) {
	routed := slices.Clone(batch)
	for i := range routed {
		routed[i].To = l.ref
	}
	l.set.Deliver(ctx, routed)
}

func (l *logged) lines() string { return l.buf.String() }
