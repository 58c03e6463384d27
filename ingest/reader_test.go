package ingest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
)

func TestReader(t *testing.T) {
	t.Parallel()

	open := func(t *testing.T, c config.Kafka) *Reader {
		t.Helper()

		r, err := NewReader(c, "reader", nil)
		require.NoError(t, err)
		t.Cleanup(func() {
			require.NoError(t, r.Close(context.Background()))
			require.NoError(t, r.Close(context.Background()))
		})
		return r
	}
	bounded := func(t *testing.T) context.Context {
		t.Helper()

		ctx, cancel := context.WithTimeout(t.Context(), eventually)
		t.Cleanup(cancel)
		return ctx
	}

	t.Run("ReadsWhatIsThere", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 2)
		b.produce(t, 0, 5)
		at := time.UnixMilli(1_700_000_000_123).UTC()
		b.produceRecords(t, 1, &kgo.Record{
			Key: []byte("k"), Timestamp: at, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}},
		})
		r := open(t, b.options("").Kafka)
		var readers sync.WaitGroup
		for offset := range int64(5) {
			readers.Go(func() {
				got, err := r.Read(bounded(t), testTopic, 0, offset)
				if err != nil || string(got.Value) != fmt.Sprintf("0-%d", offset) || got.Offset != offset {
					t.Errorf("read %s: %v", got, err)
				}
			})
		}
		readers.Wait()
		got, err := r.Read(bounded(t), testTopic, 1, 0)
		require.NoError(t, err)
		require.Equal(t, drakkar.Record{
			Topic: testTopic, Partition: 1, Key: drakkar.Bytes("k"), Timestamp: at,
			Headers: []drakkar.Header{{Key: "h", Value: drakkar.Bytes("v")}},
		}, got)
		require.Equal(t, int64(noOffset), b.committed(t, 0).offset)
	})

	t.Run("TellsWhatIsGone", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		tx, err := kgo.NewClient(kgo.SeedBrokers(b.cluster.ListenAddrs()...), kgo.TransactionalID("tx"))
		require.NoError(t, err)
		defer tx.Close()
		for range 3 { // a record and a marker each
			require.NoError(t, tx.BeginTransaction())
			require.NoError(t, tx.ProduceSync(t.Context(), &kgo.Record{Topic: testTopic, Value: []byte("v")}).FirstErr())
			require.NoError(t, tx.EndTransaction(t.Context(), kgo.TryCommit))
		}
		b.deleteBefore(t, 0, 2)
		r := open(t, b.options("").Kafka)
		for name, offset := range map[string]int64{
			"expired": 0, "a marker": 3, "the last marker": 5, "the log's end": 6, "behind the log's end": 100,
		} {
			_, err := r.Read(bounded(t), testTopic, 0, offset)
			require.ErrorIs(t, err, ErrRecordGone, name)
		}
		_, err = r.Read(bounded(t), testTopic, 0, 2)
		require.NoError(t, err)
	})

	// As a follower does, or a leader that has just become one.
	t.Run("ABrokerThatLagsSaysNothing", func(t *testing.T) {
		t.Parallel()

		b := setup(t, 1)
		b.produce(t, 0, 3)
		var lags atomic.Bool
		lags.Store(true)
		b.endFetchesAt(2, &lags)
		r := open(t, b.options("").Kafka)
		_, err := r.Read(bounded(t), testTopic, 0, 2)
		require.ErrorIs(t, err, errNotShown)
		require.NotErrorIs(t, err, ErrRecordGone)

		lags.Store(false)
		got, err := r.Read(bounded(t), testTopic, 0, 2)
		require.NoError(t, err)
		require.Equal(t, "0-2", string(got.Value))
	})

	t.Run("CouldNotReadIsNotGone", func(t *testing.T) {
		t.Parallel()

		c := setup(t, 1).options("").Kafka
		c.Brokers = "127.0.0.1:1"
		r := open(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := r.Read(ctx, testTopic, 0, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, ErrRecordGone)
		require.Contains(t, err.Error(), "reading in/0@0")
	})

	t.Run("AClosedReaderSaysSo", func(t *testing.T) {
		t.Parallel()

		r := open(t, setup(t, 1).options("").Kafka)
		require.NoError(t, r.Close(t.Context()))
		_, err := r.Read(t.Context(), testTopic, 0, 0)
		require.ErrorIs(t, err, errReaderClosed)
	})
}
