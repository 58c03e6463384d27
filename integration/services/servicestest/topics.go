package servicestest

import (
	"context"
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/stretchr/testify/require"
)

// MakeTopics makes topics and waits until each of their partitions has a leader
// that answers. The metadata names the leader earlier than it knows of it.
func MakeTopics(tb testing.TB, admin *kafka.AdminClient, specs ...kafka.TopicSpecification) {
	tb.Helper()

	made, err := admin.CreateTopics(tb.Context(), specs, kafka.SetAdminOperationTimeout(10*time.Second))
	require.NoError(tb, err)
	ends := map[kafka.TopicPartition]kafka.OffsetSpec{}
	for i, m := range made {
		require.Equal(tb, kafka.ErrNoError, m.Error.Code(), m.Error.String())
		for p := range specs[i].NumPartitions {
			ends[kafka.TopicPartition{Topic: &specs[i].Topic, Partition: int32(p)}] = kafka.LatestOffsetSpec
		}
	}
	require.Eventually(tb, func() bool { return answered(tb, admin, ends) }, 2*time.Minute, 20*time.Millisecond)
}

// answered asks once. A question that meets a topic too early may go unanswered
// for as long as the client waits for its leader, so it is soon asked anew.
func answered(tb testing.TB, admin *kafka.AdminClient, ends map[kafka.TopicPartition]kafka.OffsetSpec) bool {
	tb.Helper()

	ctx, cancel := context.WithTimeout(tb.Context(), 5*time.Second)
	defer cancel()
	res, err := admin.ListOffsets(ctx, ends)
	if err != nil || len(res.ResultInfos) != len(ends) {
		return false
	}
	for _, r := range res.ResultInfos {
		if r.Error.Code() != kafka.ErrNoError {
			return false
		}
	}
	return true
}
