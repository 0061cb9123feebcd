package testsuite

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// testModel runs random operations on the store and on memstore, and compares
// what they say and hold.
func testModel(t *testing.T, h Harness) {
	h.run(t, "random operations do what they do in the model", func(t *testing.T, open Storage) {
		store := open(anyTime)
		rapid.Check(t, func(rt *rapid.T) {
			m := &machine{
				T: t, store: store, model: memstore.New(),
				prefix: newName("run") + "/", types: newName("Type"), reserves: !h.lacks(Reserve),
			}
			if existing := loadAll(t, store); len(existing) > 0 {
				m.base = existing[len(existing)-1].SequenceID
			}
			defer m.close()
			rt.Repeat(map[string]func(*rapid.T){
				"save":     m.save,
				"begin":    m.begin,
				"commit":   m.commit,
				"rollback": m.rollback,
				"load":     m.load,
				"":         m.check,
			})
		})
	})
}

// machine is a store beside the model. Its names are its own, so that one
// storage serves many runs.
type machine struct {
	T             *testing.T
	store, model  eventsource.Store
	prefix, types string // types is the scope of reservations too
	reserves      bool
	base          string // the last event before the run
	// feed is what the store said it has stored in this run, in sequence order: the
	// model may order transactions otherwise, since it orders them by commit.
	feed []eventsource.Record
	// At most one transaction is open, since a store may make others wait for it.
	storeTx, modelTx eventsource.StoreTransaction
	open             map[string]bool // its aggregates, and the values that it reserves or releases
}

func (m *machine) close() {
	if m.storeTx != nil {
		_ = m.storeTx.Rollback()
	}
}

func (m *machine) records(rt *rapid.T) []eventsource.Record {
	return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) eventsource.Record {
		return eventsource.Record{
			AggregateID: m.prefix + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "aggregate"),
			Version:     rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3, 4, 5}).Draw(rt, "version"),
			Type:        m.types + rapid.SampledFrom([]string{"X", "Y"}).Draw(rt, "type"),
			Timestamp:   rapid.Int64Range(1, 5).Draw(rt, "timestamp"),
			UserID:      rapid.SampledFrom([]string{"", "u"}).Draw(rt, "user"),
			Data:        rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(rt, "data"),
			Metadata: rapid.MapOfN(rapid.SampledFrom([]string{"k", "l"}), rapid.SampledFrom([]string{"", "v"}), 0, 2).
				Draw(rt, "metadata"),
			Reservations: m.reservations(rt),
		}
	}), 0, 4).Draw(rt, "records")
}

// The values that are reserved. Some reservations have ended, and others never do.
var modelValues = []string{"x", "y", "z"}

func (m *machine) reservations(rt *rapid.T) []eventsource.Reservation {
	if !m.reserves || !rapid.Bool().Draw(rt, "reserves") {
		return nil
	}
	return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) eventsource.Reservation {
		r := eventsource.Reservation{
			Scope: m.types, Value: rapid.SampledFrom(modelValues).Draw(rt, "value"), Release: rapid.Bool().Draw(rt, "release"),
		}
		if !r.Release {
			r.Until = rapid.SampledFrom([]int64{0, 0, 1, math.MaxInt64}).Draw(rt, "until")
		}
		return r
	}), 1, 2).Draw(rt, "reservations")
}

// namesOf are the aggregates of records, and the values of their reservations.
func namesOf(records []eventsource.Record) map[string]bool {
	all := make(map[string]bool)
	for _, r := range records {
		all[r.AggregateID] = true
		for _, reservation := range r.Reservations {
			all[reservation.Value] = true
		}
	}
	return all
}

func (m *machine) save(rt *rapid.T) {
	records := m.records(rt)
	for name := range namesOf(records) {
		if m.open[name] {
			rt.Skip("would wait for the open transaction")
		}
	}
	saveIn := rapid.SampledFrom([]saveFunc{trySave, trySaveInTransaction}).Draw(rt, "way")
	got, gotErr := saveIn(m.T.Context(), m.store, records...)
	want, wantErr := saveIn(m.T.Context(), m.model, records...)
	m.compare(rt, "save", want, got, wantErr, gotErr)
	m.stored(got)
}

func (m *machine) begin(rt *rapid.T) {
	if m.storeTx != nil {
		rt.Skip("one is open")
	}
	records := m.records(rt)
	var gotErr, wantErr error
	m.storeTx, gotErr = m.store.NewTransaction(m.T.Context(), records...)
	m.modelTx, wantErr = m.model.NewTransaction(m.T.Context(), records...)
	if errors.Is(wantErr, eventsource.ErrTaken) && gotErr == nil {
		gotErr = m.storeTx.Commit() // it may show here
	}
	if m.compareErrors(rt, "NewTransaction", wantErr, gotErr); gotErr != nil {
		m.storeTx, m.modelTx = nil, nil
		return
	}
	m.open = namesOf(records)
}

func (m *machine) commit(rt *rapid.T) {
	if m.storeTx == nil {
		rt.Skip("none is open")
	}
	m.compareErrors(rt, "Commit", m.modelTx.Commit(), m.storeTx.Commit())
	m.compare(rt, "Records", m.modelTx.Records(), m.storeTx.Records(), nil, nil)
	m.stored(m.storeTx.Records())
	m.storeTx, m.open = nil, nil
}

func (m *machine) rollback(rt *rapid.T) {
	if m.storeTx == nil {
		rt.Skip("none is open")
	}
	m.compareErrors(rt, "Rollback", m.modelTx.Rollback(), m.storeTx.Rollback())
	m.storeTx, m.open = nil, nil
}

// stored adds what was compared with the model's records to the feed.
func (m *machine) stored(records []eventsource.Record) {
	m.feed = append(m.feed, records...)
	slices.SortFunc(m.feed, func(a, b eventsource.Record) int { return strings.Compare(a.SequenceID, b.SequenceID) })
}

func (m *machine) load(rt *rapid.T) {
	if m.storeTx != nil {
		rt.Skip("readers may be held back")
	}
	ctx := m.T.Context()
	query := eventsource.Query{
		Types: []string{m.types + rapid.SampledFrom([]string{"X", "Y", "Z"}).Draw(rt, "type")},
		Limit: rapid.IntRange(0, 5).Draw(rt, "limit"),
	}
	got, err := m.store.LoadBySequenceIDAndType(ctx, m.base, query.Types[0], query.Limit)
	m.compare(rt, "LoadBySequenceIDAndType", expected(m.feed, query), got, nil, err)

	timestamp := rapid.Int64Range(0, 6).Draw(rt, "timestamp")
	got, err = m.store.LoadByTimestamp(ctx, timestamp, all)
	got = slices.DeleteFunc(got, func(r eventsource.Record) bool { return r.SequenceID <= m.base })
	m.compare(rt, "LoadByTimestamp", expected(m.feed, eventsource.Query{From: timestamp + 1}), got, nil, err)
}

func (m *machine) check(rt *rapid.T) {
	ctx := m.T.Context()
	for _, id := range []string{"a", "b", "c", "d"} {
		want, wantErr := m.model.LoadByAggregate(ctx, m.prefix+id)
		got, gotErr := m.store.LoadByAggregate(ctx, m.prefix+id)
		m.compare(rt, "LoadByAggregate", want, got, wantErr, gotErr)
	}
	if m.reserves {
		m.checkHolders(rt)
	}
	got, err := m.store.LoadBySequenceID(ctx, m.base, all)
	want := m.feed
	if m.storeTx != nil && len(got) <= len(want) {
		want = want[:len(got)] // readers may be held back, and get a prefix
	}
	m.compare(rt, "LoadBySequenceID", want, got, nil, err)
}

func (m *machine) checkHolders(rt *rapid.T) {
	for _, value := range modelValues {
		want, wantErr := m.model.(eventsource.Reserver).Holder(m.T.Context(), m.types, value)
		got, gotErr := m.store.(eventsource.Reserver).Holder(m.T.Context(), m.types, value)
		m.compareErrors(rt, "Holder", wantErr, gotErr)
		if (want.SequenceID == "") != (got.SequenceID == "") {
			rt.Fatalf("the holder of %q is %+v, in the model %+v", value, got, want)
		}
		want.SequenceID, got.SequenceID = "", ""
		if want != got {
			rt.Fatalf("the holder of %q is %+v, in the model %+v", value, got, want)
		}
	}
}

// compare compares all but the sequence IDs, of which only the order is compared.
func (m *machine) compare(rt *rapid.T, what string, want, got []eventsource.Record, wantErr, gotErr error) {
	m.compareErrors(rt, what, wantErr, gotErr)
	if len(want) != len(got) {
		rt.Fatalf("%s: %d records, the model has %d", what, len(got), len(want))
	}
	for i := range got {
		if i > 0 && got[i].SequenceID <= got[i-1].SequenceID {
			rt.Fatalf("%s: %s comes after %s", what, got[i].SequenceID, got[i-1].SequenceID)
		}
		w, g := want[i].Clone(), got[i].Clone()
		w.SequenceID, g.SequenceID = "", ""
		if a, b := fmt.Sprintf("%+v", w), fmt.Sprintf("%+v", g); a != b {
			rt.Fatalf("%s: record %d is %s, in the model %s", what, i, b, a)
		}
	}
}

// compareErrors compares what errors mean. A save that has both a conflict and a value
// that is taken may say either.
func (m *machine) compareErrors(rt *rapid.T, what string, want, got error) {
	refused := func(err error) bool {
		return errors.Is(err, eventsource.ErrConflict) || errors.Is(err, eventsource.ErrTaken)
	}
	if errors.Is(want, eventsource.ErrTaken) && refused(got) || errors.Is(got, eventsource.ErrTaken) && refused(want) {
		return
	}
	for _, sentinel := range []error{
		nil, eventsource.ErrConflict, eventsource.ErrInvalidQuery, eventsource.ErrInvalidEvent, eventsource.ErrTransactionDone,
		eventsource.ErrTaken,
	} {
		if errors.Is(want, sentinel) != errors.Is(got, sentinel) {
			rt.Fatalf("%s: error is %v, the model's is %v", what, got, want)
		}
	}
	var wantConflict, gotConflict *eventsource.ConflictError
	if errors.As(want, &wantConflict) && errors.As(got, &gotConflict) && *wantConflict != *gotConflict {
		rt.Fatalf("%s: conflict is %+v, the model's is %+v", what, *gotConflict, *wantConflict)
	}
}
