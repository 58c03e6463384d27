package metrics

import (
	"fmt"
	"slices"
	"strings"
)

//go:generate go run ./gen ../docs/metrics.md

// Definitions returns what New registers, in order of the names.
func Definitions() []Definition {
	b := &builder{}
	build(b)
	return slices.SortedFunc(slices.Values(b.definitions), func(x, y Definition) int {
		return strings.Compare(x.Name, y.Name)
	})
}

const referenceIntro = `# Metrics

Served at ` + "`/metrics`" + ` of every process: executors on ` + "`metrics.port`" + `, ingest on
` + "`ingest.metrics_port`" + `. A process has all of them and moves those of its part. Series of
a partition are removed when the partition is revoked. The metrics of the Go runtime
(` + "`go_`" + `), of the process (` + "`process_`" + `) and the handler's own stand beside them.

This page is generated from the code by ` + "`make generate`" + `.

| Name | Type | Labels | Meaning |
|---|---|---|---|
`

// Reference is the page docs/metrics.md.
func Reference() string {
	var page strings.Builder
	page.WriteString(referenceIntro)
	for _, d := range Definitions() {
		labels := strings.Join(d.Labels, ", ")
		if labels == "" {
			labels = "–"
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", d.Name, d.Type, labels, d.Help)
	}
	return page.String()
}
