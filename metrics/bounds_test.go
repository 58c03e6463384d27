package metrics

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/events"
)

// labelled fields of events have few values, which settings and code name.
// Everything else about an event may be different each time.
var labelFields = map[string]bool{
	"Sink.Type": true, "Sink.Name": true, "Class": true, "Hook": true, "Policy": true, "State": true,
	"PeriodicRun.Task": true, "Topic": true, "Partition": true, "Action": true, "Error.Kind": true,
	"WorkflowTaskFailed.Workflow": true, "WorkflowTaskFailed.Reason": true, "ResidentEnded.Reason": true,
}

// vary gives every other text, error and number of an event a value of its own.
func vary(v reflect.Value, name string, n int) {
	if labelFields[name] || labelFields[name[strings.LastIndex(name, ".")+1:]] || labelFields[strings.Join(strings.Split(name, ".")[1:], ".")] {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				vary(v.Field(i), name+"."+v.Type().Field(i).Name, n)
			}
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("value-%d", n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(n))
	case reflect.Interface:
		if v.Type() == reflect.TypeFor[error]() && !v.IsNil() {
			v.Set(reflect.ValueOf(fmt.Errorf("error %d of host-%d", n, n)))
		}
	}
}

// However many messages, tasks, windows, targets and errors there are, the
// series do not get more: a label that one of them could set would in the end
// take down whoever scrapes.
func TestMetrics_SeriesAreBounded(t *testing.T) {
	t.Parallel()

	for _, tt := range moves {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			m, reg := newMetrics(t)
			count := func() int {
				n, err := testutil.GatherAndCount(reg)
				require.NoError(t, err)
				return n
			}
			record := func(n int) {
				e := reflect.New(reflect.TypeOf(tt.event)).Elem()
				e.Set(reflect.ValueOf(tt.event))
				vary(e, e.Type().Name(), n)
				m.Record(e.Interface().(events.Event))
			}
			record(1)
			first := count()
			for n := range 100 {
				record(n)
			}
			require.Equal(t, first, count())
		})
	}
}

// A recorder must not be what brings a process down: events that are empty, or
// carry what nobody expected, are counted like others.
func TestMetrics_OddEvents(t *testing.T) {
	t.Parallel()

	m, reg := newMetrics(t)
	for _, tt := range moves {
		m.Record(reflect.Zero(reflect.TypeOf(tt.event)).Interface().(events.Event))
	}
	for _, e := range []events.Event{
		events.OffsetsSkipped{At: events.At{Offset: 10}, Next: 3}, // backwards: a counter cannot fall
		events.Consumed{Bytes: 0},
		events.BreakerChanged{State: "melted"},
		events.PoolState{Slots: 1, Active: 5, Waiting: 1},
		events.Resumed{}, events.Revoked{Partitions: nil},
		foreign{},
	} {
		require.NotPanics(t, func() { m.Record(e) }, "%#v", e)
	}
	m.SetInfo("w\xff", "v\xff", "g\xff") // names come from the environment
	_, err := reg.Gather()
	require.NoError(t, err)
}

// foreign is an event of another package.
type foreign struct{}

func (foreign) EventName() string { return "foreign" }

// Partitions come and go while others are read: no series of one that was
// revoked stays, and no other one is lost.
func TestMetrics_PartitionsUnderLoad(t *testing.T) {
	t.Parallel()

	m, reg := newMetrics(t)
	m.Record(events.Assigned{Topic: "in", Partitions: []int32{1, 2}})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				for _, p := range []int32{1, 2} {
					at := events.At{Topic: "in", Partition: p}
					m.Record(events.Consumed{At: at, Bytes: 1})
					m.Record(events.Committed{At: at})
					m.Record(events.Paused{At: at})
					m.Record(events.Resumed{At: at})
				}
			}
		})
	}
	wg.Go(func() {
		for range 100 {
			m.Record(events.Revoked{Topic: "in", Partitions: []int32{1}})
			m.Record(events.Assigned{Topic: "in", Partitions: []int32{1}})
		}
		m.Record(events.Revoked{Topic: "in", Partitions: []int32{1}})
	})
	wg.Wait()
	text := strings.Join(series(t, reg), "\n")
	require.NotContains(t, text, `partition="1"`)
	require.Regexp(t, `drakkar_messages_consumed_total\{partition="2"[^}]*\} 800`, text)
	require.Contains(t, text, "drakkar_assigned_partitions 1")
	require.Contains(t, text, "drakkar_backpressure_active 0")
}

// What a counter and its histogram say about one thing agree.
func TestMetrics_CountsAgree(t *testing.T) {
	t.Parallel()

	m, reg := newMetrics(t)
	for i := range 10 {
		m.Record(events.TaskStarted{})
		if i%3 == 0 {
			m.Record(events.TaskFailed{Error: errTask, Action: "retry"})
		} else {
			m.Record(events.TaskCompleted{})
		}
		m.Record(events.HookRan{Hook: "arrange", Err: map[bool]error{true: errTest}[i < 2]})
	}
	lines := series(t, reg)
	for _, want := range []string{
		`drakkar_executor_tasks_total{status="started"} 10`, `drakkar_executor_tasks_total{status="completed"} 6`,
		`drakkar_executor_tasks_total{status="failed"} 4`, "drakkar_executor_duration_seconds_count 6",
		"drakkar_executor_failed_duration_seconds_count 4", "drakkar_task_retries_total 4", "drakkar_executor_timeouts_total 4",
		"drakkar_executor_slot_wait_seconds_count 10",
		`drakkar_handler_duration_seconds_count{hook="arrange"} 10`, `drakkar_hook_errors_total{hook="arrange"} 2`,
	} {
		require.Contains(t, lines, want)
	}
}

// Names that dashboards of the Python product ask for are there, as what they
// were.
func TestMetrics_NamesOfThePythonProduct(t *testing.T) {
	t.Parallel()

	kinds := map[string]string{}
	for _, d := range Definitions() {
		require.Empty(t, kinds[d.Name], "defined twice: %s", d.Name)
		kinds[d.Name] = d.Type
	}
	for name, kind := range map[string]string{
		"drakkar_messages_consumed_total": "counter", "drakkar_executor_tasks_total": "counter", "drakkar_executor_duration_seconds": "histogram",
		"drakkar_executor_pool_active": "gauge", "drakkar_batch_duration_seconds": "histogram", "drakkar_handler_duration_seconds": "histogram",
		"drakkar_sink_deliver_duration_seconds": "histogram", "drakkar_sink_deliver_errors_total": "counter",
		"drakkar_sink_circuit_open": "gauge", "drakkar_offset_lag": "gauge", "drakkar_assigned_partitions": "gauge",
		"drakkar_backpressure_active": "gauge", "drakkar_total_queued": "gauge", "drakkar_partition_queue_size": "gauge",
		"drakkar_worker_info": "gauge",
	} {
		require.Equal(t, kind, kinds[name], name)
	}
	for name, kind := range kinds {
		require.Equal(t, kind == "counter", strings.HasSuffix(name, "_total"), name)
		require.True(t, strings.HasPrefix(name, "drakkar_"), name)
	}
}

// A metric of a handler's own that breaks takes no other one along.
func TestServer_BrokenCollector(t *testing.T) {
	t.Parallel()

	m, reg := newMetrics(t)
	m.Record(events.ConsumerError{Err: errTest})
	desc := prometheus.NewDesc("handler_broken", "Broken.", nil, nil)
	require.NoError(t, reg.Register(broken{desc}))
	_, err := reg.Gather()
	require.ErrorContains(t, err, "the database is away")
	s := NewServer(Config{Enabled: true, Gatherer: reg})
	code, body := answered(t, s, "GET", "/metrics")
	require.Equal(t, 200, code)
	require.Contains(t, body, "drakkar_consumer_errors_total 1")
}

type broken struct{ desc *prometheus.Desc }

func (b broken) Describe(out chan<- *prometheus.Desc) { out <- b.desc }

func (b broken) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.NewInvalidMetric(b.desc, errors.New("the database is away"))
}
