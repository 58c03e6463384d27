package services_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/drakkar-go/drakkar/integration/services"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
)

// What was written must be there after a crash, at the same address.
func TestKafka_SurvivesKill(t *testing.T) {
	t.Parallel()

	servicestest.Kafka(t)
	k, err := services.StartKafka(t.Context(), services.KafkaConfig{Home: home(t), Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, k.Stop()) })
	addr := k.Addr()

	producer, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.AllowAutoTopicCreation())
	require.NoError(t, err)
	defer producer.Close()
	require.NoError(t, producer.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Value: []byte("hello")}).FirstErr())

	require.NoError(t, k.Kill())
	require.ErrorContains(t, k.Alive(), "it ended")
	require.NoError(t, k.Restart(t.Context()))
	require.Equal(t, addr, k.Addr())

	consumer, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics("in"))
	require.NoError(t, err)
	defer consumer.Close()
	fetches := consumer.PollFetches(t.Context())
	require.NoError(t, fetches.Err())
	require.Equal(t, "hello", string(fetches.Records()[0].Value))
}

// A workflow must be there after a crash, and the namespace must keep it long
// enough for ingest.
func TestTemporal_SurvivesKill(t *testing.T) {
	t.Parallel()

	servicestest.Temporal(t)
	s, err := services.StartTemporal(t.Context(), services.TemporalConfig{Home: home(t), Dir: t.TempDir(), Namespace: "mine"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })

	connect := func() client.Client {
		c, err := client.Dial(client.Options{
			HostPort: s.Addr(), Namespace: s.Namespace(),
			ConnectionOptions: client.ConnectionOptions{GetSystemInfoTimeout: time.Minute}, // of a busy machine
		})
		require.NoError(t, err)
		t.Cleanup(c.Close)
		return c
	}
	_, err = connect().ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "w", TaskQueue: "q"}, "Window")
	require.NoError(t, err)

	require.NoError(t, s.Kill())
	require.NoError(t, s.Restart(t.Context()))
	_, err = connect().DescribeWorkflowExecution(t.Context(), "w", "")
	require.NoError(t, err)

	namespaces, err := client.NewNamespaceClient(client.Options{HostPort: s.Addr()})
	require.NoError(t, err)
	defer namespaces.Close()
	described, err := namespaces.Describe(t.Context(), "mine")
	require.NoError(t, err)
	require.GreaterOrEqual(t, described.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration(), 7*24*time.Hour)
}

// A driver of the database that loses a statement when its request ends fails
// every request from then on.
func TestTemporal_SurvivesRequestsThatEnd(t *testing.T) {
	t.Parallel()

	servicestest.Temporal(t)
	s, err := services.StartTemporal(t.Context(), services.TemporalConfig{Home: home(t), Dir: t.TempDir(), Namespace: "mine"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	c, err := client.Dial(client.Options{
		HostPort: s.Addr(), Namespace: s.Namespace(),
		ConnectionOptions: client.ConnectionOptions{GetSystemInfoTimeout: time.Minute}, // of a busy machine
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)

	const clients, requests = 20, 400
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for n := range requests {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%100)*100*time.Microsecond)
				if n%2 == 0 {
					_, _ = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: "mine"})
				} else {
					_, _ = c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{})
				}
				cancel()
			}
		})
	}
	all.Wait()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: "mine"})
	require.NoError(t, err)
}

func home(t *testing.T) services.Home {
	t.Helper()

	h, err := services.NewHome(func(m string) { t.Log(m) })
	require.NoError(t, err)
	return h
}
