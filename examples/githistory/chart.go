package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/guptarohit/asciigraph"
)

const (
	chartColumns = 72
	chartLines   = 8
	weekSeconds  = 7 * 24 * 60 * 60
)

// drawWeeks draws the commits of each week. Where there are more weeks than columns,
// a column is the mean of some.
func drawWeeks(w io.Writer, commits map[time.Time]int) {
	if len(commits) == 0 {
		return
	}
	mondays := slices.SortedFunc(maps.Keys(commits), time.Time.Compare)
	first := mondays[0].Unix()
	number := func(monday time.Time) int { return int((monday.Unix() - first) / weekSeconds) }
	weeks := number(mondays[len(mondays)-1]) + 1
	each := (weeks + chartColumns - 1) / chartColumns // weeks a column
	columns := make([]float64, (weeks+each-1)/each)
	for monday, n := range commits {
		columns[number(monday)/each] += float64(n) / float64(each)
	}

	if len(columns) == 1 { // one point is no line
		fmt.Fprintf(w, "\n%.0f commits, all in week %s\n\n", columns[0], isoWeek(mondays[0]))
		return
	}
	caption := "commits by week"
	if each > 1 {
		caption = fmt.Sprintf("commits by week, the mean of %d in each column", each)
	}
	fmt.Fprintf(w, "\n%s\n\n", asciigraph.Plot(columns,
		asciigraph.Height(chartLines), asciigraph.LowerBound(0), asciigraph.Caption(caption),
		asciigraph.XAxisRange(0, float64(len(columns)-1)),
		asciigraph.XAxisValueFormatter(func(column float64) string {
			return isoWeek(time.Unix(first+int64(column)*int64(each)*weekSeconds, 0))
		})))
}

func isoWeek(at time.Time) string {
	year, week := at.UTC().ISOWeek()
	return fmt.Sprintf("%d-W%02d", year, week)
}
