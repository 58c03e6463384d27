package exechandler

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/drakkartest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shell is a handler that runs a script with the message's value as its first
// argument and sends the output to Kafka. Change may change it.
func shell(script string, change func(*config.ExecHandler)) config.ExecHandler {
	cfg := config.ExecHandler{
		Binary: "/bin/sh", Args: []string{"-c", script, "sh", "{{.Raw}}"},
		Input: "json", Output: "whole", OnFailure: "retry",
		Deliver: []config.ExecDelivery{{Type: "kafka", Sink: "results"}},
	}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func build(t *testing.T, cfg config.ExecHandler) *drakkar.Pipeline {
	t.Helper()
	p, err := New(cfg, "")
	require.NoError(t, err)
	return p
}

// run takes messages through the pipeline of cfg.
func run(t *testing.T, cfg config.ExecHandler, inputs ...drakkartest.Input) *drakkartest.Report {
	t.Helper()
	return drakkartest.RunPipeline(t, build(t, cfg), inputs...)
}

// values are what is sent to Kafka.
func values(rep *drakkartest.Report) []string {
	var out []string
	for _, p := range rep.Outputs.Kafka {
		out = append(out, string(p.Data.(drakkar.Bytes)))
	}
	return out
}

func actions(rep *drakkartest.Report) []string {
	var out []string
	for _, f := range rep.Failures {
		out = append(out, f.Action)
	}
	return out
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}
