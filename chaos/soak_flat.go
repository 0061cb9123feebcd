package chaos

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// column is something that is watched in a soak, and how it is to behave. Of the
// three thirds of a soak the first is a warm-up; medians of the others are compared.
type column struct {
	name string
	// grow, if not 0, is how many times as large it may be in the last third as in
	// the second, and slack is how much may be added to that.
	grow, slack float64
	// shrink, if not 0, is the least share of the second third's value that there is
	// in the last.
	shrink float64
	// most, if not 0, is the most that it may be in the last third.
	most float64
}

// row is a value of each column. A column that is missing has no value yet.
type row = map[string]float64

// judge returns an error for all columns that are not flat.
func judge(columns []column, rows []row) error {
	var errs []error
	for _, c := range columns {
		before, after := thirds(c, rows)
		switch {
		case c.grow > 0 && after > before*c.grow+c.slack:
			errs = append(errs, fmt.Errorf("%s grows: %.4g in the second third, %.4g in the last", c.name, before, after))
		case c.shrink > 0 && after < before*c.shrink:
			errs = append(errs, fmt.Errorf("%s shrinks: %.4g in the second third, %.4g in the last", c.name, before, after))
		case c.shrink > 0 && after == 0:
			errs = append(errs, fmt.Errorf("%s is 0", c.name))
		case c.most > 0 && after > c.most:
			errs = append(errs, fmt.Errorf("%s is %.4g in the last third, want at most %.4g", c.name, after, c.most))
		}
	}
	return errors.Join(errs...)
}

// thirds returns the medians of the second third and of the last.
func thirds(c column, rows []row) (before, after float64) {
	third := len(rows) / 3
	return median(c, rows[third:2*third]), median(c, rows[2*third:])
}

// median returns that of a column, 0 if it has no values.
func median(c column, rows []row) float64 {
	var values []float64
	for _, r := range rows {
		if value, ok := r[c.name]; ok {
			values = append(values, value)
		}
	}
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// lines shows the columns that have values, in some lines of medians, and the last
// two thirds.
func lines(columns []column, rows []row) string {
	const most = 30
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	columns = slices.DeleteFunc(slices.Clone(columns), func(c column) bool {
		return !slices.ContainsFunc(rows, func(r row) bool { _, ok := r[c.name]; return ok })
	})
	line := func(first string, value func(column) float64) {
		fmt.Fprintf(w, "%s\t", first)
		for _, c := range columns {
			fmt.Fprintf(w, "%.4g\t", value(c))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "\t")
	for _, c := range columns {
		fmt.Fprintf(w, "%s\t", c.name)
	}
	fmt.Fprintln(w)
	step := max(1, (len(rows)+most-1)/most)
	for part := range slices.Chunk(rows, step) {
		line(fmt.Sprintf("%.0fs", part[0]["at"]), func(c column) float64 { return median(c, part) })
	}
	line("second third", func(c column) float64 { before, _ := thirds(c, rows); return before })
	line("last third", func(c column) float64 { _, after := thirds(c, rows); return after })
	_ = w.Flush() // to memory
	return b.String()
}
