package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/eventsource-go/eventsource/bench/report"
	"github.com/eventsource-go/eventsource/bench/workload"
)

// progress prints a line for each thing that is done.
type progress struct {
	w     io.Writer
	began time.Time
}

func newProgress(w io.Writer, began time.Time) *progress { return &progress{w: w, began: began} }

func (p *progress) show(done workload.Progress) {
	at := time.Since(p.began).Round(time.Second)
	if done.Filled != "" {
		fmt.Fprintf(p.w, "%8v  %d events stored in %s\n", at, done.Level, done.Filled)
		return
	}
	var rates []string
	for _, row := range report.New(nil, nil, done.Cells, nil).Rows {
		switch {
		case row.Failed != "":
			rates = append(rates, row.System+" FAILED: "+row.Failed)
		case row.Missing == "":
			text := fmt.Sprintf("%.0f", row.Rate)
			if !row.HasRate() {
				text = row.Besides()
			}
			rates = append(rates, row.System+" "+text)
		}
	}
	fmt.Fprintf(p.w, "%8v  %d/%d of %d events  %-20s events/s: %s\n",
		at, done.Done, done.Total, done.Level, done.Workload.Name, strings.Join(rates, ", "))
}
