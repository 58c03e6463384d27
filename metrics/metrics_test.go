package metrics

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drakkar-go/drakkar/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMetrics_Record(t *testing.T) {
	t.Parallel()

	for _, tt := range moves {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			m, reg := newMetrics(t)
			before := series(t, reg)
			m.Record(tt.event)

			var got []string
			for _, line := range series(t, reg) {
				if !slices.Contains(before, line) {
					got = append(got, line)
				}
			}
			require.Equal(t, tt.want, got)
		})
	}
}

func TestMetrics_EveryEventIsHandled(t *testing.T) {
	t.Parallel()

	handled := map[string]bool{}
	for _, tt := range moves {
		handled[reflect.TypeOf(tt.event).Name()] = true
	}
	names := eventTypes(t)
	require.NotEmpty(t, names)
	for _, name := range names {
		_, deliberate := unmoved[name]
		require.Falsef(t, handled[name] && deliberate, "%s is in both lists", name)
		require.Truef(t, handled[name] || deliberate, "%s moves no metric: add it to moves or, with the reason, to unmoved", name)
	}
}

func TestMetrics_IdleTime(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name   string
		events []events.Event // one each second
		want   string
	}{
		{"ConsumerIdle", []events.Event{events.QueueDepth{}, events.QueueDepth{}}, "drakkar_consumer_idle_seconds_total 1"},
		{"ConsumerNotIdleQueued", []events.Event{events.QueueDepth{}, events.QueueDepth{Messages: 1}}, "drakkar_consumer_idle_seconds_total 0"},
		{"ConsumerNotIdleOpen", []events.Event{events.QueueDepth{}, events.QueueDepth{OpenWindows: 1}}, "drakkar_consumer_idle_seconds_total 0"},
		{"ConsumerNotIdlePaused", []events.Event{events.QueueDepth{}, events.Paused{}, events.QueueDepth{}}, "drakkar_consumer_idle_seconds_total 0"},
		{"SlotsIdleQueued", []events.Event{events.PoolState{}, events.QueueDepth{Messages: 1}, events.PoolState{Slots: 4, Active: 1}}, "drakkar_executor_idle_slot_seconds_total 6"},
		{"SlotsIdleWaiting", []events.Event{events.PoolState{}, events.PoolState{Slots: 4, Active: 1, Waiting: 1}}, "drakkar_executor_idle_slot_seconds_total 3"},
		{"SlotsNotIdle", []events.Event{events.PoolState{}, events.PoolState{Slots: 4, Active: 1}}, "drakkar_executor_idle_slot_seconds_total 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			synctest.Test(t, func(t *testing.T) {
				m, reg := newMetrics(t)
				for _, e := range tt.events {
					m.Record(e)
					<-time.After(time.Second)
				}
				require.Contains(t, series(t, reg), tt.want)
			})
		})
	}
}

func TestMetrics_New(t *testing.T) {
	t.Parallel()

	t.Run("LeavesNothingBehind", func(t *testing.T) {
		t.Parallel()

		defs := Definitions()
		i := slices.IndexFunc(defs, func(d Definition) bool { return d.Name == "drakkar_open_windows" })
		require.GreaterOrEqual(t, i, 0)
		own := prometheus.NewGauge(prometheus.GaugeOpts{Name: defs[i].Name, Help: defs[i].Help})
		reg := prometheus.NewRegistry()
		require.NoError(t, reg.Register(own))

		_, err := New(reg)
		require.ErrorContains(t, err, "registering metric drakkar_open_windows")

		require.True(t, reg.Unregister(own))
		_, err = New(reg)
		require.NoError(t, err)
	})

	t.Run("HelpIsASentenceAndNamesAreClean", func(t *testing.T) {
		t.Parallel()

		m, reg := newMetrics(t)
		for _, tt := range moves {
			m.Record(tt.event)
		}
		m.SetInfo("worker-1", "v1", "group")
		problems, err := testutil.GatherAndLint(reg)
		require.NoError(t, err)
		require.Empty(t, problems)
		for _, d := range Definitions() {
			require.Regexp(t, `^[A-Z0-9].*\.$`, d.Help, d.Name)
		}
	})
}

func TestMetrics_Revoked(t *testing.T) {
	t.Parallel()

	m, reg := newMetrics(t)
	m.Record(events.Assigned{Topic: "in", Partitions: []int32{3, 4}})
	touch := func() {
		for _, partition := range []int32{3, 4} {
			at := events.At{Topic: "in", Partition: partition}
			m.Record(events.Consumed{At: at})
			m.Record(events.Committed{At: at})
			m.Record(events.Paused{At: at})
		}
		m.Record(events.QueueDepth{PerPartition: []events.PartitionDepth{{Topic: "in", Partition: 3}, {Topic: "in", Partition: 4}}})
	}
	of := func(partition string) (n int) {
		for _, line := range series(t, reg) {
			if strings.Contains(line, `{partition="`+partition+`",topic="in"}`) {
				n++
			}
		}
		return n
	}
	touch()
	require.Equal(t, 7, of("3"))

	m.Record(events.Revoked{Topic: "in", Partitions: []int32{3}})
	require.Zero(t, of("3"))
	require.Equal(t, 7, of("4"))
	require.Contains(t, series(t, reg), "drakkar_assigned_partitions 1")

	touch() // what was on its way when the partition was revoked
	require.Zero(t, of("3"))
	m.Record(events.Resumed{At: events.At{Topic: "in", Partition: 4}})
	require.Contains(t, series(t, reg), "drakkar_backpressure_active 0")

	m.Record(events.Assigned{Topic: "in", Partitions: []int32{3}})
	touch()
	require.Equal(t, 7, of("3"))
	m.Record(events.Revoked{Topic: "in", Partitions: []int32{3, 4}})
	require.Contains(t, series(t, reg), "drakkar_backpressure_active 0")
}

func TestMetrics_SetInfo(t *testing.T) {
	t.Parallel()

	m, reg := newMetrics(t)
	m.SetInfo("worker-0", "v0", "group")
	m.SetInfo("worker-1", "v1", "group")
	var info []string
	for _, line := range series(t, reg) {
		if strings.HasPrefix(line, "drakkar_worker_info") {
			info = append(info, line)
		}
	}
	require.Equal(t, []string{`drakkar_worker_info{consumer_group="group",version="v1",worker_id="worker-1"} 1`}, info)
}

func TestNewRegistry(t *testing.T) {
	t.Parallel()

	reg := NewRegistry()
	_, err := New(reg)
	require.NoError(t, err)
	n, err := testutil.GatherAndCount(reg, "go_goroutines")
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestReference(t *testing.T) {
	t.Parallel()

	path := filepath.Join("..", "docs", "metrics.md")
	page, err := os.ReadFile(path)
	require.NoError(t, err, "run make generate")
	require.Equal(t, Reference(), string(page), "run make generate")
}

func newMetrics(t *testing.T) (*Metrics, *prometheus.Registry) {
	t.Helper()

	reg := prometheus.NewPedanticRegistry()
	m, err := New(reg)
	require.NoError(t, err)
	return m, reg
}

// series are all series as text, without the buckets of histograms.
func series(t *testing.T, reg *prometheus.Registry) []string {
	t.Helper()

	var names []string
	for _, d := range Definitions() {
		names = append(names, d.Name)
	}
	text, err := testutil.GatherAndFormat(reg, expfmt.TypeTextPlain, names...)
	require.NoError(t, err)
	var lines []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "_bucket{") {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}

// eventTypes are the types of package events that have an EventName.
func eventTypes(t *testing.T) []string {
	t.Helper()

	files, err := filepath.Glob("../events/*.go")
	require.NoError(t, err)
	var names []string
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			method, ok := decl.(*ast.FuncDecl)
			if !ok || method.Recv == nil || method.Name.Name != "EventName" {
				continue
			}
			receiver, ok := method.Recv.List[0].Type.(*ast.Ident)
			require.True(t, ok)
			names = append(names, receiver.Name)
		}
	}
	return names
}
