package servicestest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
)

// TemporalClient connects to the server that was started for the tests. Workers
// of the client wait for a busy server to describe its namespace, and ask it
// again; the SDK gives up after 10 s, and a machine that compiles and tests at
// once can take longer.
func TemporalClient(tb testing.TB) (c client.Client, namespace string) {
	tb.Helper()

	addr, namespace := Temporal(tb)
	opts := client.Options{HostPort: addr, Namespace: namespace}
	opts.ConnectionOptions.GetSystemInfoTimeout = busyTimeout
	opts.ConnectionOptions.DialOptions = []grpc.DialOption{grpc.WithChainUnaryInterceptor(patient)}
	c, err := client.Dial(opts)
	require.NoError(tb, err)
	tb.Cleanup(c.Close)
	return c, namespace
}

// busyTimeout is how long a server of a busy machine is waited for.
const busyTimeout = 2 * time.Minute

// busyPause is how long a busy server is left alone before it is asked again.
const busyPause = 100 * time.Millisecond

func patient(
	ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	if _, ok := req.(*workflowservice.DescribeNamespaceRequest); !ok {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	// The SDK's own deadline ends its retries too, so they are made here.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), busyTimeout)
	defer cancel()
	for {
		err := invoke(ctx, method, req, reply, cc, opts...)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(busyPause):
		}
	}
}
