package projection

import (
	"context"
	"testing"
	"time"
)

// Somebody who wants all leases was slow, and has lost the first one to somebody else
// who wants all as well.
func TestTwoWhoWantAllLeasesDoNotWaitForEachOther(t *testing.T) {
	const ttl = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	checkpoints := NewMemory()
	p := &Projection{name: "p", config: config{version: 1, partitions: 2}}
	if err := checkpoints.Update(ctx, p.firstRows(&state{row: Row{Name: "p"}}), nil); err != nil {
		t.Fatal(err)
	}
	a, b := newContender(checkpoints, "a", ttl), newContender(checkpoints, "b", ttl)
	s, err := loadState(ctx, checkpoints, "p")
	if err != nil {
		t.Fatal(err)
	}
	v := s.versions[1]
	if _, err := a.acquire(ctx, []Row{v.row}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.acquire(ctx, []Row{v.partitions[0].row}); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 2)
	for _, c := range []*contender{a, b} {
		go func() {
			h, _, err := c.takeAll(ctx, "p", 1)
			if err == nil {
				h.releaseAll(ctx)
			}
			got <- err
		}()
	}
	for range 2 {
		if err := <-got; err != nil {
			t.Fatal(err)
		}
	}
}
