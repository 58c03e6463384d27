package handler

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/drakkartest"
)

func numbers(rep *drakkartest.Report) []string {
	var out []string
	for _, p := range rep.Outputs.Kafka {
		data, _ := p.Data.([]byte)
		out = append(out, string(data))
	}
	return out
}

// Whatever the plan, each task of each message delivers its number once.
func TestHandler(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name    string
		handler drakkar.Handler[Order]
		want    []string
	}{
		{"Programs", programs{Plan{}}, []string{"7", "8"}},
		{"Arguments", programs{Plan{Args: []string{"-n"}}}, []string{"7", "8"}},
		{"FanOut", programs{Plan{Tasks: 3}}, []string{"21", "22", "23", "24", "25", "26"}},
		{"Precomputed", programs{Plan{Precomputed: true}}, []string{"7", "8"}},
		{"Sleep", sleeper{programs{Plan{Sleep: time.Millisecond}}}, []string{"7", "8"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			rep := drakkartest.Run(t, tt.handler, drakkartest.Binary("/bin/true"),
				drakkartest.Message(Order{N: 7}), drakkartest.Message(Order{N: 8, Pad: "x"}))
			require.ElementsMatch(t, tt.want, numbers(rep))
		})
	}
}

// A task that sleeps is cancelled like a program.
func TestExecute_Cancelled(t *testing.T) {
	t.Parallel()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := sleeper{programs{Plan{Sleep: time.Hour}}}.Execute(ctx, drakkar.Task{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestFromEnvironment(t *testing.T) {
	for _, p := range []Plan{{}, {Sleep: time.Second}, {Tasks: 1000, Args: []string{"a"}}} {
		text, err := p.Encode()
		require.NoError(t, err)
		var again Plan
		require.NoError(t, json.Unmarshal([]byte(text), &again))
		require.Equal(t, p, again)

		t.Setenv(EnvPlan, text)
		made, err := FromEnvironment()
		require.NoError(t, err)
		require.Equal(t, p.Sleep > 0, made.Hooks().Execute)
	}
	t.Setenv(EnvPlan, "{")
	_, err := FromEnvironment()
	require.ErrorContains(t, err, EnvPlan)
}
