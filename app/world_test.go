package app

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
)

const (
	// eventually is how long anything may take on a busy machine.
	eventually = 60 * time.Second
	soon       = 10 * time.Millisecond
)

// frontend is as much of a Temporal server as processes need to start: it is
// healthy, knows the namespace, and has no work for those who poll.
type frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer

	addr      string
	server    *grpc.Server
	health    *health.Server
	retention time.Duration
	closing   chan struct{}
	close     sync.Once

	mu     sync.Mutex
	polled map[string]string // identity of the last poll for each queue
	onPoll func(queue string)
}

// newFrontend serves on an address; "127.0.0.1:0" takes a free port.
func newFrontend(t *testing.T, addr string) *frontend {
	t.Helper()
	f := &frontend{
		server: grpc.NewServer(), health: health.NewServer(), retention: 30 * 24 * time.Hour,
		closing: make(chan struct{}), polled: map[string]string{}, onPoll: func(string) {},
	}
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", addr)
	require.NoError(t, err)
	f.addr = l.Addr().String()
	workflowservice.RegisterWorkflowServiceServer(f.server, f)
	healthpb.RegisterHealthServer(f.server, f.health)
	f.healthy(true)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = f.server.Serve(l)
	}()
	t.Cleanup(func() {
		f.stop()
		<-served
	})
	return f
}

// stop ends the server; whoever polls is sent away.
func (f *frontend) stop() {
	f.close.Do(func() { close(f.closing) })
	f.server.Stop()
}

func (f *frontend) healthy(yes bool) {
	status := healthpb.HealthCheckResponse_NOT_SERVING
	if yes {
		status = healthpb.HealthCheckResponse_SERVING
	}
	f.health.SetServingStatus("temporal.api.workflowservice.v1.WorkflowService", status)
}

// identity is who has polled a queue, "" while nobody has.
func (f *frontend) identity(queue string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.polled[queue]
}

func (f *frontend) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{ServerVersion: "1.29.0", Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

func (f *frontend) DescribeNamespace(_ context.Context, in *workflowservice.DescribeNamespaceRequest) (*workflowservice.DescribeNamespaceResponse, error) {
	return &workflowservice.DescribeNamespaceResponse{
		NamespaceInfo: &namespacepb.NamespaceInfo{Name: in.GetNamespace()},
		Config:        &namespacepb.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(f.retention)},
	}, nil
}

// DescribeWorkflowExecution knows no workflow, so every partition is new.
func (f *frontend) DescribeWorkflowExecution(context.Context, *workflowservice.DescribeWorkflowExecutionRequest) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	return nil, serviceerror.ToStatus(serviceerror.NewNotFound("no such workflow")).Err()
}

// StartWorkflowExecution takes the workflows of rebalances, which nobody runs.
func (f *frontend) StartWorkflowExecution(context.Context, *workflowservice.StartWorkflowExecutionRequest) (*workflowservice.StartWorkflowExecutionResponse, error) {
	return &workflowservice.StartWorkflowExecutionResponse{RunId: "run", Started: true}, nil
}

func (f *frontend) ShutdownWorker(context.Context, *workflowservice.ShutdownWorkerRequest) (*workflowservice.ShutdownWorkerResponse, error) {
	return &workflowservice.ShutdownWorkerResponse{}, nil
}

func (f *frontend) RecordWorkerHeartbeat(context.Context, *workflowservice.RecordWorkerHeartbeatRequest) (*workflowservice.RecordWorkerHeartbeatResponse, error) {
	return &workflowservice.RecordWorkerHeartbeatResponse{}, nil
}

func (f *frontend) PollWorkflowTaskQueue(ctx context.Context, in *workflowservice.PollWorkflowTaskQueueRequest) (*workflowservice.PollWorkflowTaskQueueResponse, error) {
	f.hold(ctx, "workflow "+in.GetTaskQueue().GetName(), in.GetIdentity())
	return &workflowservice.PollWorkflowTaskQueueResponse{}, nil
}

func (f *frontend) PollActivityTaskQueue(ctx context.Context, in *workflowservice.PollActivityTaskQueueRequest) (*workflowservice.PollActivityTaskQueueResponse, error) {
	f.hold(ctx, "activity "+in.GetTaskQueue().GetName(), in.GetIdentity())
	return &workflowservice.PollActivityTaskQueueResponse{}, nil
}

// hold keeps a poll open as a server without work does.
func (f *frontend) hold(ctx context.Context, queue, identity string) {
	f.mu.Lock()
	f.polled[queue] = identity
	onPoll := f.onPoll
	f.mu.Unlock()
	onPoll(queue)
	select {
	case <-ctx.Done():
	case <-f.closing:
	}
}

// testBundle is all that a process needs outside of itself.
type testBundle struct {
	cfg      *config.Config
	frontend *frontend
	dir      string // of the filesystem sink
}

const (
	sourceTopic = "in"
	sinkTopic   = "out"
)

// setup starts a Kafka and a Temporal of its own and returns the settings of a
// pipeline on them.
func setup(t *testing.T) *testBundle {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, sourceTopic, sinkTopic, sourceTopic+"_dlq"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	b := &testBundle{cfg: config.Default(), frontend: newFrontend(t, "127.0.0.1:0"), dir: t.TempDir()}
	b.cfg.Kafka.Brokers, b.cfg.Kafka.SourceTopic, b.cfg.Kafka.ConsumerGroup = cluster.ListenAddrs()[0], sourceTopic, "group"
	b.cfg.Temporal.Address = b.frontend.addr
	b.cfg.Metrics.Port, b.cfg.Ingest.MetricsPort = 0, 0
	b.cfg.Executor.BinaryPath = "/bin/cat"
	b.cfg.Windows.Store = filepath.Join(t.TempDir(), "store")
	out := config.DefaultOf[config.KafkaSink]()
	out.Topic = sinkTopic
	b.cfg.Sinks.Kafka = map[string]config.KafkaSink{"results": out}
	files := config.DefaultOf[config.FilesystemSink]()
	files.BasePath = b.dir
	b.cfg.Sinks.Filesystem = map[string]config.FilesystemSink{"archive": files}
	b.cfg.Complete()
	require.NoError(t, b.cfg.Validate())
	return b
}

// app is a process of the bundle that is not started yet. It is stopped with
// the test.
func (b *testBundle) app(t *testing.T, role Role, h drakkar.Handler[string]) *App {
	t.Helper()
	opts := Options{Config: b.cfg, Role: role, Worker: "worker-1", Log: zap.NewNop()}
	if h != nil {
		opts.Pipeline = drakkar.NewPipeline(h)
	}
	return b.appOf(t, opts)
}

func (b *testBundle) appOf(t *testing.T, opts Options) *App {
	t.Helper()
	a, err := New(opts)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), eventually)
		defer cancel()
		require.NoError(t, a.Stop(ctx))
	})
	return a
}

// awaitReady waits until nothing is missing.
func awaitReady(t *testing.T, a *App) {
	t.Helper()
	var last atomic.Value
	defer func() {
		if t.Failed() {
			t.Logf("not ready: %v", last.Load())
		}
	}()
	require.Eventually(t, func() bool {
		reasons := a.Ready(t.Context())
		last.Store(reasons)
		return len(reasons) == 0
	}, eventually, soon)
}

// steps are the names of what has to be ended, as it was begun.
func steps(a *App) (names []string) {
	a.ends.mu.Lock()
	defer a.ends.mu.Unlock()
	for _, s := range a.ends.steps {
		names = append(names, s.name)
	}
	return names
}

// freePort is a port that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// local is an address of this host.
func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// serves reports whether someone answers HTTP there.
func serves(ctx context.Context, addr string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", nil)
	if err != nil {
		return false
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil
}

// before reports whether one step was begun before another.
func before(names []string, first, second string) bool {
	i, j := slices.Index(names, first), slices.Index(names, second)
	return i >= 0 && j >= 0 && i < j
}

// setPort sets the ports of both roles.
func setPort(cfg *config.Config, port string) error {
	n, err := strconv.Atoi(port)
	cfg.Metrics.Port, cfg.Ingest.MetricsPort = n, n
	return err
}
