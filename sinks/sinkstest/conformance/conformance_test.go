package conformance_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/sinks/sinkstest"
	"github.com/drakkar-go/drakkar/sinks/sinkstest/conformance"
)

func TestPage_IsCurrent(t *testing.T) {
	t.Parallel()

	results, err := conformance.Results()
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(results), 6, "every kind of sink has results")
	page, err := os.ReadFile("../../../docs/conformance.md")
	require.NoError(t, err)
	require.Equal(t, conformance.Page(results), string(page), "run make generate")
}

func TestPage(t *testing.T) {
	t.Parallel()

	page := conformance.Page([]conformance.Result{
		{Sink: "A", Server: "A 1", Outcomes: []sinkstest.Outcome{{Name: "CloseTwice", Promise: "twice"}, {Name: "Redelivery", Promise: "once", Waived: "it appends"}}},
		{Sink: "B", Server: "B 2", Outcomes: []sinkstest.Outcome{{Name: "Concern", Waived: "nobody shows it"}, {Name: "Redelivery", Promise: "once"}}},
	})
	require.Contains(t, page, "| twice (`CloseTwice`) | yes |  |\n| once (`Redelivery`) | waived | yes |\n| Tested against | A 1 | B 2 |\n")
	require.Contains(t, page, "- A, `Redelivery`: it appends.\n- B, `Concern`: nobody shows it.\n")
}
