package sqlprojection_test

import (
	"context"
	"testing"

	"github.com/eventsource-go/eventsource/projection"
)

func TestAStepIsOneRoundTripAndATransactionTwoMore(t *testing.T) {
	b := newBench(t)
	park := projection.Move{Name: "p", Version: 1, Token: 1, Park: []projection.Parked{{SequenceID: "1", AggregateID: "a"}}, Unpark: []string{"2"}}
	for name, test := range map[string]struct {
		do   func() error
		most int
	}{
		"a step":         {func() error { return advanceOnly(t.Context(), b) }, 1},
		"one that parks": {func() error { _, err := b.Advance(t.Context(), park); return err }, 1},
		"an update": {func() error {
			return b.Update(t.Context(), []projection.Row{{Name: "q", Version: 1, Revision: 9}}, nil)
		}, 1},
		"in a transaction": {func() error {
			return b.Transact(t.Context(), func(ctx context.Context) error { return advanceOnly(ctx, b) })
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			// The first ones prepare their statements, and after a pause the pool asks the
			// connection how it is.
			fewest := 1000
			for range 10 {
				fewest = min(fewest, b.wires.sendings(func() { _ = test.do() }))
			}
			if fewest != test.most {
				t.Errorf("it takes %d round trips, want %d", fewest, test.most)
			}
		})
	}
}
