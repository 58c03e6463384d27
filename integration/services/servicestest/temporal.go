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
// of the client wait for a busy server to describe its namespace, for which the
// SDK has 10 s: a machine that compiles and tests at once can take longer.
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

func patient(
	ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	if _, ok := req.(*workflowservice.DescribeNamespaceRequest); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), busyTimeout)
		defer cancel()
	}
	return invoke(ctx, method, req, reply, cc, opts...)
}
