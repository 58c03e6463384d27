package servicestest

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
)

func TestPatient(t *testing.T) {
	t.Parallel()

	errBusy := errors.New("busy")
	tests := []struct {
		name  string
		req   any
		calls int
		err   error
	}{
		{"AsksAgain", &workflowservice.DescribeNamespaceRequest{}, 2, nil},
		{"OtherCallsAreTheSDKs", &workflowservice.GetSystemInfoRequest{}, 1, errBusy},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			past, cancel := context.WithCancel(t.Context())
			cancel() // the SDK's 10 s are over
			calls := 0
			err := patient(past, "", tt.req, nil, nil,
				func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
					if calls++; calls == 1 {
						return errBusy
					}
					return ctx.Err()
				})
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.calls, calls)
		})
	}
}
