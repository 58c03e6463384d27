// Command stats measures the repository it is run in: how long files and
// functions are, how deep, how well tested and documented. It fails when a
// figure is over its bar.
//
// Generated files, testdata and examples are left out. Packages whose name
// ends in "test" are support: they count with the tests.
package main

import (
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"strconv"
	"text/tabwriter"
)

func main() {
	log.SetFlags(0)
	c, err := count(os.DirFS("."))
	if err != nil {
		log.Fatal(err)
	}
	missed, err := report(os.Stdout, c.figures())
	if err != nil {
		log.Fatal(err)
	}
	if missed > 0 {
		log.Fatalf("%d figures miss their bar", missed)
	}
}

// figure is one line of the report.
type figure struct {
	name  string
	value float64
	// bar is what value must not exceed, or fall below when atLeast is set.
	// Without hasBar the figure is only told.
	bar     float64
	hasBar  bool
	atLeast bool
}

func (f figure) missed() bool {
	switch {
	case !f.hasBar:
		return false
	case f.atLeast:
		return f.value < f.bar
	default:
		return f.value > f.bar
	}
}

func (f figure) rule() string {
	switch {
	case !f.hasBar:
		return ""
	case f.atLeast:
		return fmt.Sprintf("at least %s", number(f.bar))
	default:
		return fmt.Sprintf("at most %s", number(f.bar))
	}
}

// figures are the measures and their bars.
func (c *counts) figures() []figure {
	lines, funcs := c.fileLines, c.funcLines
	return []figure{
		{name: "code files", value: float64(len(lines))},
		{name: "code lines", value: float64(sum(lines))},
		{name: "test and support lines", value: float64(sum(c.testLines) + c.supportLines)},
		{name: "(test + support) : code", value: ratio(sum(c.testLines)+c.supportLines, sum(lines)), bar: 1.1, hasBar: true, atLeast: true},
		{name: "file lines, median", value: percentile(lines, 50)},
		{name: "file lines, p90", value: percentile(lines, 90), bar: 300, hasBar: true},
		{name: "file lines, longest", value: percentile(lines, 100), bar: 600, hasBar: true},
		{name: "test file lines, longest", value: percentile(c.testLines, 100), bar: 1200, hasBar: true},
		{name: "functions", value: float64(len(funcs))},
		{name: "function lines, median", value: percentile(funcs, 50), bar: 12, hasBar: true},
		{name: "function lines, p90", value: percentile(funcs, 90), bar: 35, hasBar: true},
		{name: "functions over 50 lines, %", value: 100 * ratio(over(funcs, 50), len(funcs)), bar: 4, hasBar: true},
		{name: "branches, p90", value: percentile(c.branches, 90), bar: 7, hasBar: true},
		{name: "nesting, p90", value: percentile(c.nesting, 90), bar: 2, hasBar: true},
		{name: "parameters, p90", value: percentile(c.params, 90), bar: 3, hasBar: true},
		{name: "methods of interfaces, p90", value: percentile(c.methods, 90), bar: 4, hasBar: true},
		{name: "exported names documented, %", value: 100 * ratio(c.documented, c.exported), bar: 100, hasBar: true, atLeast: true},
		{name: "init functions", value: float64(c.inits), bar: 0, hasBar: true},
		{name: "sleeps per 1,000 test lines", value: 1000 * ratio(c.sleeps, sum(c.testLines)), bar: .3, hasBar: true},
	}
}

// report prints the figures and returns how many miss their bar.
func report(w io.Writer, figures []figure) (missed int, err error) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range figures {
		mark := ""
		if f.missed() {
			mark = "MISSED"
			missed++
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", f.name, number(f.value), f.rule(), mark)
	}
	if err := table.Flush(); err != nil {
		return missed, fmt.Errorf("printing the figures: %w", err)
	}
	return missed, nil
}

// number has at most two decimals.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}
