package bench

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/drakkar-go/drakkar/integration/bench/handler"
)

const (
	// slots is the default of executor.max_executors.
	slots = 4

	// burnMS is the CPU that a working task takes, in milliseconds.
	burnMS = 20

	// fan is how many tasks the messages of the fan-out have.
	fan = 1000

	// Tasks of the scaling rows sleep, in executors with this many slots.
	nap      = 50 * time.Millisecond
	napSlots = 16
)

// defaults is the pipeline whose settings are all at their defaults.
var defaults = pipelineConfig{name: "spawn"}

// experiments are all that is measured. A row for a further way of running tasks
// is a pipeline, its arm beside that of the spawn row, and a row that compares
// them; see precomputed.
func experiments(w *world) []experiment {
	return []experiment{
		spawn(), smallWindows(), work(w), precomputed(), resident(w), fanOut(), idleLatency(), busyLatency(), lag(), scale(),
		durations(),
	}
}

// through sends size messages through a pipeline at once.
func through(name string, cfg pipelineConfig) arm {
	return arm{name, func(ctx context.Context, w *world, size int) (sample, error) {
		p, err := w.open(ctx, cfg)
		if err != nil {
			return sample{}, err
		}
		return p.burst(ctx, size)
	}}
}

// accounted is through, which also asks Temporal what it keeps.
func accounted(name string, cfg pipelineConfig) arm {
	return arm{name, func(ctx context.Context, w *world, size int) (sample, error) {
		p, err := w.open(ctx, cfg)
		if err != nil {
			return sample{}, err
		}
		before, err := p.histories(ctx)
		if err != nil {
			return sample{}, err
		}
		s, err := p.burst(ctx, size)
		if err != nil {
			return sample{}, err
		}
		after, err := p.histories(ctx)
		if err != nil {
			return sample{}, err
		}
		n := float64(size)
		s.figures["history_events"] = float64(after.events-before.events) / n
		s.figures["history_bytes"] = float64(after.bytes-before.bytes) / n
		s.figures["window_messages"] = n / float64(max(1, after.windows-before.windows))
		return s, nil
	}}
}

// bare runs the same programs, each times as many as there are messages.
func bare(each int, program ...string) arm {
	return arm{"bare", func(ctx context.Context, w *world, size int) (sample, error) {
		return w.bareLoop(ctx, slots, size*each, program...)
	}}
}

func spawn() experiment {
	xargs := arm{"xargs", func(ctx context.Context, w *world, size int) (sample, error) {
		return w.xargs(ctx, slots, size, "/bin/true")
	}}
	return experiment{
		size: 10_000,
		arms: []arm{accounted("ours", defaults), bare(1, "/bin/true", "1"), xargs},
		rows: []row{
			{
				name: "spawn", work: "1 message, 1 /bin/true, 1 record, all committed", against: "bare loop of os/exec",
				bars: []bar{atLeast("ratio", 0.85)}, judge: also(compare("ours", "bare"), "xargs"),
			},
			{
				name: "server-cost", work: "Temporal's CPU and history for each message", against: "–",
				judge: serverCost,
			},
			{
				name: "overhead", work: "CPU beyond that of the bare loop, in ms a message", against: "bare loop's CPU",
				bars: []bar{atMost("ratio", 0.15)}, judge: overhead,
			},
		},
	}
}

func serverCost(r rounds) figures {
	ours := func(name string) float64 { return r.median("ours", figure(name)) }
	return figures{
		"server_cpu_s_per_1000": ours("server_cpu_ms"), // 1,000 messages of so many ms are as many seconds
		"history_events":        ours("history_events"), "history_bytes": ours("history_bytes"),
		"window_messages": ours("window_messages"),
	}
}

// overhead is what ingest, executor and server use together, with the programs,
// beyond what the bare loop uses with its programs.
func overhead(r rounds) figures {
	parts := []string{"ingest_cpu_ms", "executor_cpu_ms", "programs_cpu_ms", "server_cpu_ms"}
	ours := r.each("ours", func(s sample) (sum float64) {
		for _, name := range parts {
			sum += s.figures[name]
		}
		return sum
	})
	against := r.each("bare", figure("cpu_ms"))
	ratios := make([]float64, len(r))
	for i := range r {
		ratios[i] = ours[i]/against[i] - 1
	}
	f := figures{"ours": quantile(ours, 0.5), "against": quantile(against, 0.5), "ratio": quantile(ratios, 0.5)}
	for _, name := range append(parts, "kafka_cpu_ms") {
		f[name] = r.median("ours", figure(name))
	}
	return f
}

func smallWindows() experiment {
	cfg := pipelineConfig{name: "small-windows", executor: section{"window_size": 20}}
	return experiment{
		size: 10_000,
		arms: []arm{through("ours", cfg), bare(1, "/bin/true", "1")},
		rows: []row{{
			name: "small-windows", work: "spawn, in windows of 20", against: "bare loop",
			bars: []bar{atLeast("ratio", 0.6)}, judge: compare("ours", "bare"),
		}},
	}
}

func work(w *world) experiment {
	burn := []string{"burn", strconv.Itoa(burnMS)}
	cfg := pipelineConfig{name: "work", executor: section{"binary_path": w.bin("task")}, plan: handler.Plan{Args: burn}}
	return experiment{
		size: 2_000,
		arms: []arm{through("ours", cfg), bare(1, append([]string{w.bin("task")}, burn...)...)},
		rows: []row{{
			name: "work", work: fmt.Sprintf("spawn, with %d ms of CPU for each task", burnMS), against: "bare loop",
			bars: []bar{atLeast("ratio", 0.95)}, judge: compare("ours", "bare"),
		}},
	}
}

// precomputed moves more messages than the spawn row, so that it lasts as long.
func precomputed() experiment {
	const times = 5
	cfg := pipelineConfig{name: "precomputed", plan: handler.Plan{Precomputed: true}}
	ours, spawned := through("ours", cfg), through("spawn", defaults)
	copied := arm{"copy-loop", func(ctx context.Context, w *world, size int) (sample, error) {
		p, err := w.open(ctx, cfg)
		if err != nil {
			return sample{}, err
		}
		return w.copyLoop(ctx, size, p.message)
	}}
	return experiment{
		size: 10_000,
		arms: []arm{sized(ours, times), spawned, sized(copied, times)},
		rows: []row{{
			name: "precomputed", work: "spawn, with results that are known", against: "the spawn row",
			bars: []bar{atLeast("ratio", 6)}, judge: also(compare("ours", "spawn"), "copy-loop"),
		}},
	}
}

// resident moves more messages than the spawn row, so that it lasts as long.
func resident(w *world) experiment {
	const times = 5
	cfg := pipelineConfig{name: "resident", executor: section{
		"binary_path": w.bin("task"), "mode": "resident", "resident": section{"args": []string{"resident"}},
	}}
	return experiment{
		size: 10_000,
		arms: []arm{sized(through("ours", cfg), times), through("spawn", defaults)},
		rows: []row{{
			name: "resident", work: "spawn, by programs that take task after task", against: "the spawn row",
			bars: []bar{atLeast("ratio", 5)}, judge: compare("ours", "spawn"),
		}},
	}
}

// sized is an arm with so many times the work.
func sized(a arm, times int) arm {
	return arm{a.name, func(ctx context.Context, w *world, size int) (sample, error) { return a.run(ctx, w, size*times) }}
}

func fanOut() experiment {
	cfg := pipelineConfig{name: "fan-out", plan: handler.Plan{Tasks: fan}}
	return experiment{
		size: 100,
		arms: []arm{through("ours", cfg), bare(fan, "/bin/true", "1")},
		rows: []row{{
			name: "fan-out", work: fmt.Sprintf("1 message, %d tasks", fan), against: "bare loop",
			bars: []bar{atLeast("ratio", 0.85)}, judge: compare("ours", "bare"),
		}},
	}
}

func idleLatency() experiment {
	ours := arm{"ours", func(ctx context.Context, w *world, size int) (sample, error) {
		p, err := w.open(ctx, defaults)
		if err != nil {
			return sample{}, err
		}
		return p.path().singles(ctx, size)
	}}
	echo := arm{"echo", func(ctx context.Context, w *world, size int) (sample, error) { return w.echo(ctx, size) }}
	return experiment{
		size: 200,
		arms: []arm{ours, echo},
		rows: []row{{
			name: "idle-latency", work: "1 message, from sending to reading its record", against: "produce, consume",
			bars: []bar{atMost("median_ms", 40), atMost("p99_ms", 150)},
			judge: func(r rounds) figures {
				return joined(latencies(r, "ours"), prefixed("against_", latencies(r, "echo")))
			},
		}},
	}
}

// busyLatency finds the highest rate first, by itself.
func busyLatency() experiment {
	ours := arm{"ours", func(ctx context.Context, w *world, seconds int) (sample, error) {
		p, err := w.open(ctx, defaults)
		if err != nil {
			return sample{}, err
		}
		most, err := p.burst(ctx, warmUps*max(1, seconds/3))
		if err != nil {
			return sample{}, err
		}
		half := most.rate / 2
		s, err := p.path().paced(ctx, half, int(math.Ceil(half*float64(seconds))))
		s.figures = map[string]float64{"highest_rate": most.rate}
		return s, err
	}}
	return experiment{
		size: 60, rounds: 3,
		arms: []arm{ours},
		rows: []row{{
			name: "busy-latency", work: "spawn at half of the highest rate", against: "–",
			bars: []bar{atMost("median_ms", 250)},
			judge: func(r rounds) figures {
				return joined(latencies(r, "ours"), figures{"ours": r.median("ours", rate)})
			},
		}},
	}
}

func lag() experiment {
	cfg := pipelineConfig{name: "lag", plan: handler.Plan{Precomputed: true}, value: 1 << 10, later: true}
	ours := arm{"ours", func(ctx context.Context, w *world, size int) (sample, error) {
		p, err := w.open(ctx, cfg)
		if err != nil {
			return sample{}, err
		}
		return p.lag(ctx, size)
	}}
	return experiment{
		size: 1_000_000, rounds: 1,
		arms: []arm{ours},
		rows: []row{{
			name: "lag", work: "messages of 1 KB that wait, precomputed", against: "–",
			bars: []bar{atMost("ingest_mib", 150), atMost("executor_mib", 250), atMost("growth", 1.1)},
			judge: func(r rounds) figures {
				return joined(r.told("ours"), figures{"ours": r.median("ours", rate)})
			},
		}},
	}
}

// scale compares with what the slots could do at best.
func scale() experiment {
	counts := []int{1, 2, 4}
	e := experiment{size: 3_000, rounds: 3}
	for _, n := range counts {
		cfg := pipelineConfig{
			name: "scale-" + strconv.Itoa(n), executors: n, plan: handler.Plan{Sleep: nap},
			executor: section{"max_executors": napSlots},
		}
		e.arms = append(e.arms, sized(through(strconv.Itoa(n), cfg), n))
	}
	e.rows = []row{{
		name: "scale", work: fmt.Sprintf("1, 2, 4 executors of %d slots, tasks that sleep for %s", napSlots, nap), against: "ideal",
		bars: []bar{atLeast("ratio", 0.9)},
		judge: func(r rounds) figures {
			f := figures{"ratio": math.Inf(1)}
			for _, n := range counts {
				ideal := float64(n*napSlots) / nap.Seconds()
				got := r.median(strconv.Itoa(n), rate)
				f[fmt.Sprintf("rate_of_%d", n)] = got
				f["ours"], f["against"], f["ratio"] = got, ideal, min(f["ratio"], got/ideal)
			}
			return f
		},
	}}
	return e
}
