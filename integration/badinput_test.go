package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/app"
	"github.com/drakkar-go/drakkar/workflows"
)

// order tells the bad handler what to do wrong.
type order struct {
	Do   string `json:"do"`
	Body string `json:"body"`
}

// bad is a handler that does what its messages say.
type bad struct{}

func (bad) Arrange(_ context.Context, w drakkar.Window[order]) ([]drakkar.Task, error) {
	var tasks []drakkar.Task
	for _, m := range w.Messages {
		t := m.Task(m.Payload.Do)
		t.Labels = map[string]string{"do": m.Payload.Do}
		t.Binary = "/bin/echo"
		switch m.Payload.Do {
		case "arrange panics":
			panic("as ordered")
		case "missing binary":
			t.Binary = "/no/such/program"
		case "nul":
			t.Args = []string{"a\x00b"}
		case "endless output":
			t.Binary, t.Args = "/usr/bin/head", []string{"-c", "200000000", "/dev/zero"}
		case "never ends":
			t.Binary, t.Args = "/bin/sleep", []string{"600"}
			t.Timeout = 300 * time.Millisecond
			t.Retry = &drakkar.RetryPolicy{MaxAttempts: 1}
		case "grandchild":
			t.Binary, t.Args = "/bin/sh", []string{"-c", "sleep 600 & echo done"}
		case "large":
			t.Binary, t.Args, t.Stdin = "/usr/bin/wc", []string{"-c"}, m.Value
		case "none":
			continue
		}
		tasks = append(tasks, t)
	}
	return tasks, nil
}

func (bad) OnTaskComplete(_ context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	do := r.Task.Labels["do"]
	out := drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: map[string]any{
		"do": do, "out": strings.TrimSpace(string(r.Stdout[:min(20, len(r.Stdout))])), "cut": r.StdoutTruncated,
	}}}}
	switch do {
	case "hook panics":
		panic("as ordered")
	case "unknown sink":
		out.Kafka[0].Sink = "nowhere"
	case "outside":
		out.Files = []drakkar.FilePayload{{Data: 1, Path: "../../etc/outside"}}
	}
	return out, nil
}

// Each bad message leaves the rest of the stream flowing, and is dead-lettered
// with its reason.
func TestBadInput(t *testing.T) {
	t.Parallel()

	h := newHarness(t, 4)
	h.cfg.Hooks.MaxAttempts, h.cfg.Hooks.InitialInterval = 2, 10*time.Millisecond
	h.cfg.Executor.MaxRetries, h.cfg.Executor.RetryInitialInterval = 1, 10*time.Millisecond
	h.cfg.Executor.KillGrace = 200 * time.Millisecond

	// What becomes of each: a class of dead letters, or "" for a delivery.
	outcomes := map[string]string{
		"arrange panics": workflows.ClassArrange,
		"missing binary": workflows.ClassStart,
		"nul":            workflows.ClassStart,
		"never ends":     workflows.ClassTask,
		"hook panics":    workflows.ClassHook,
		"unknown sink":   workflows.ClassHook,
		"outside":        workflows.ClassHook,
		"endless output": "",
		"grandchild":     "",
		"large":          "",
	}
	var values [][]byte
	add := func(o order) {
		v, err := json.Marshal(o)
		require.NoError(t, err)
		values = append(values, v)
	}
	for do := range outcomes {
		o := order{Do: do}
		if do == "large" {
			o.Body = strings.Repeat("x", 5<<20)
		}
		add(o)
		for range 5 {
			add(order{Do: "fine"})
		}
	}
	values = append(values, []byte("{this is not JSON"), nil)
	add(order{Do: "none"})
	for range 50 {
		add(order{Do: "fine"})
	}
	const fine = 10*5 + 50

	h.send(t, values...)
	h.start(t, app.All, drakkar.NewPipeline(bad{}), "all")
	h.awaitCommitted(t, int64(len(values)))

	delivered := map[string]int{}
	for _, m := range h.topic(t, h.results) {
		var v struct {
			Do  string `json:"do"`
			Out string `json:"out"`
			Cut bool   `json:"cut"`
		}
		require.NoError(t, json.Unmarshal(m.Value, &v))
		delivered[v.Do]++
		switch v.Do {
		case "endless output":
			require.True(t, v.Cut)
		case "large":
			require.Equal(t, fmt.Sprint(len(largest(values))), v.Out)
		}
	}
	require.Equal(t, fine, delivered["fine"])
	require.Equal(t, 1, delivered[""], "the tombstone has an empty payload and a task of its own")

	classes := map[string]string{}
	parse := 0
	for _, l := range h.letters(t) {
		if l.Class == workflows.ClassParse {
			parse++
			require.Equal(t, "{this is not JSON", l.Source.Value.String())
			continue
		}
		var o order
		require.NoError(t, json.Unmarshal(l.Source.Value, &o))
		classes[o.Do] = l.Class
	}
	require.Equal(t, 1, parse)
	for do, class := range outcomes {
		if class == "" {
			require.Equal(t, 1, delivered[do], do)
		} else {
			require.Equal(t, class, classes[do], do)
			require.Zero(t, delivered[do], do)
		}
	}
	require.Len(t, classes, 7)

	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	require.Less(t, mem.HeapAlloc, uint64(512<<20))
}

func largest(values [][]byte) []byte {
	var out []byte
	for _, v := range values {
		if len(v) > len(out) {
			out = v
		}
	}
	return bytes.Clone(out)
}
