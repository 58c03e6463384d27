package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

const intro = `# What each sink promises

What the conformance suite in [sinks/sinkstest](../sinks/sinkstest/suite.go) found out about each sink; ` + "`make conformance`" + `
runs it and writes this page, and ` + "`make test`" + ` fails when a sink does not do what it says here.

`

// Page is docs/conformance.md.
func Page(results []Result) string {
	var out strings.Builder
	out.WriteString(intro)
	header, rule := "| Promise |", "|---|"
	for _, r := range results {
		header += " " + r.Sink + " |"
		rule += "---|"
	}
	out.WriteString(header + "\n" + rule + "\n")
	for _, p := range promises(results) {
		out.WriteString("| " + p.Promise + " (`" + p.Name + "`) |")
		for _, r := range results {
			out.WriteString(" " + cell(r, p.Name) + " |")
		}
		out.WriteString("\n")
	}
	out.WriteString("| Tested against |")
	for _, r := range results {
		out.WriteString(" " + r.Server + " |")
	}
	out.WriteString("\n\n## What is waived\n\n")
	for _, r := range results {
		for _, o := range r.Outcomes {
			if o.Waived != "" {
				fmt.Fprintf(&out, "- %s, `%s`: %s.\n", r.Sink, o.Name, o.Waived)
			}
		}
	}
	return out.String()
}

// promises are those that the suite checks, in their order.
func promises(results []Result) []sinkstest.Outcome {
	var all []sinkstest.Outcome
	for _, r := range results {
		for _, o := range r.Outcomes {
			known := slices.ContainsFunc(all, func(p sinkstest.Outcome) bool { return p.Name == o.Name })
			if o.Promise != "" && !known {
				all = append(all, o)
			}
		}
	}
	return all
}

func cell(r Result, name string) string {
	for _, o := range r.Outcomes {
		switch {
		case o.Name == name && o.Waived == "":
			return "yes"
		case o.Name == name:
			return "waived"
		}
	}
	return ""
}
