package demo_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/integration/demo"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
)

// lastLine runs the demo and decodes what it prints last.
func lastLine(t *testing.T, args ...string) (demo.Report, int) {
	t.Helper()

	var out, errOut bytes.Buffer
	code := demo.Command(append(args, "-dir", t.TempDir()), &out, &errOut)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var r demo.Report
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &r), "%s%s", out.String(), errOut.String())
	return r, code
}

// The demo as a newcomer runs it, with its embedded Kafka.
func TestDemo(t *testing.T) {
	t.Parallel()

	temporal, namespace := servicestest.Temporal(t)
	r, code := lastLine(t, "-messages", "200", "-exit", "-temporal", temporal, "-namespace", namespace)
	require.Zero(t, code)
	require.Equal(t, 200, r.Messages)
	require.Equal(t, int64(200), r.Committed)
	require.Zero(t, r.Lost)
	require.Zero(t, r.Duplicates)
	require.Zero(t, r.DeadLettered)
	require.GreaterOrEqual(t, r.Tasks, 200)
	require.Equal(t, r.Tasks, r.Delivered)
}

// The same on a real broker.
func TestDemo_RealKafka(t *testing.T) {
	t.Parallel()

	kafka := servicestest.Kafka(t)
	temporal, namespace := servicestest.Temporal(t)
	r, code := lastLine(t, "-messages", "100", "-exit", "-kafka", kafka, "-temporal", temporal, "-namespace", namespace)
	require.Zero(t, code)
	require.Equal(t, int64(100), r.Committed)
}

func TestDemo_Usage(t *testing.T) {
	t.Parallel()

	var out, errOut bytes.Buffer
	require.Equal(t, 2, demo.Command([]string{"-exit"}, &out, &errOut))
	require.Contains(t, errOut.String(), "-messages")
	require.Equal(t, 2, demo.Command([]string{"-nonsense"}, &out, &errOut))
}
