package bench

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuantile(t *testing.T) {
	t.Parallel()

	require.Zero(t, quantile(nil, 0.5))
	values := []float64{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 0.875: 4.5, 1: 5} {
		require.InDelta(t, want, quantile(values, q), 1e-9, "%v", q)
	}
	require.Equal(t, []float64{5, 1, 4, 2, 3}, values, "they are left as they are")
	require.InDelta(t, 2.5, quantile([]float64{2, 3}, 0.5), 1e-9)
}

func TestCompare(t *testing.T) {
	t.Parallel()

	r := rounds{
		{"ours": {rate: 80}, "bare": {rate: 100}, "copy-loop": {rate: 40}},
		{"ours": {rate: 9}, "bare": {rate: 10}, "copy-loop": {rate: 45}}, // a busy moment
		{"ours": {rate: 100}, "bare": {rate: 200}, "copy-loop": {rate: 50}},
	}
	f := also(compare("ours", "bare"), "copy-loop")(r)
	require.InDelta(t, 80, f["ours"], 1e-9)
	require.InDelta(t, 100, f["against"], 1e-9)
	require.InDelta(t, 0.8, f["ratio"], 1e-9, "the middle of 0.8, 0.9 and 0.5")
	require.InDelta(t, 0.5, f["ratio_least"], 1e-9)
	require.InDelta(t, 0.9, f["ratio_most"], 1e-9)
	require.InDelta(t, 45, f["copy_loop"], 1e-9)
	require.InDelta(t, 80.0/45, f["copy_loop_ratio"], 1e-9)
}

func TestOverhead(t *testing.T) {
	t.Parallel()

	r := rounds{{
		"ours": {figures: map[string]float64{
			"ingest_cpu_ms": 0.1, "executor_cpu_ms": 0.4, "programs_cpu_ms": 0.6, "server_cpu_ms": 0.1, "kafka_cpu_ms": 9,
		}},
		"bare": {figures: map[string]float64{"cpu_ms": 1}},
	}}
	f := overhead(r)
	require.InDelta(t, 1.2, f["ours"], 1e-9, "the broker is not counted: it is there without Drakkar too")
	require.InDelta(t, 0.2, f["ratio"], 1e-9)
	require.InDelta(t, 9, f["kafka_cpu_ms"], 1e-9)
}

func TestLatencies(t *testing.T) {
	t.Parallel()

	r := rounds{
		{"ours": {ms: []float64{1, 2}, figures: map[string]float64{"chained_median_ms": 10}}},
		{"ours": {ms: []float64{3, 100}, figures: map[string]float64{"chained_median_ms": 20}}},
	}
	f := latencies(r, "ours")
	require.InDelta(t, 2.5, f["median_ms"], 1e-9)
	require.InDelta(t, 100, f["worst_ms"], 1e-9)
	require.InDelta(t, 15, f["chained_median_ms"], 1e-9)
}

func TestBars(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		bar  bar
		f    figures
		want string // what is missed; empty for nothing
	}{
		{atLeast("ratio", 0.85), figures{"ratio": 0.85}, ""},
		{atLeast("ratio", 0.85), figures{"ratio": 0.84}, "ratio is 0.84, the bar is ratio ≥ 0.85"},
		{atMost("median_ms", 40), figures{"median_ms": 40}, ""},
		{atMost("median_ms", 40), figures{"median_ms": 41.25}, "median_ms is 41.2, the bar is median_ms ≤ 40"},
		{atLeast("ratio", 0.85), figures{}, "ratio is 0, the bar is ratio ≥ 0.85"},
		{atMost("ratio", 0.15), figures{}, "ratio is 0, the bar is ratio ≤ 0.15"}, // not measured is not met
		{atMost("ratio", 0.15), figures{"ratio": math.NaN()}, "ratio is NaN, the bar is ratio ≤ 0.15"},
	} {
		missed := result{row: row{bars: []bar{tt.bar}}, figures: tt.f}.missed()
		if tt.want == "" {
			require.Empty(t, missed)
		} else {
			require.Equal(t, []string{tt.want}, missed)
		}
	}
}

func TestGrowth(t *testing.T) {
	t.Parallel()

	require.InDelta(t, 1, growth([]float64{5, 7}), 1e-9, "too short to say")
	require.InDelta(t, 1, growth([]float64{10, 10, 80, 80, 90, 70, 80, 80}), 1e-9, "the beginning does not count")
	require.InDelta(t, 1.5, growth([]float64{10, 10, 80, 80, 90, 110, 120, 120}), 1e-9)
}

func TestShort(t *testing.T) {
	t.Parallel()

	for v, want := range map[float64]string{
		12345.6: "12346", 250: "250", 40.25: "40.2", 6: "6", 1.255: "1.25", 0.85: "0.85", 0.1234: "0.123", 0: "0", -0.25: "-0.25",
	} {
		require.Equal(t, want, short(v))
	}
}
