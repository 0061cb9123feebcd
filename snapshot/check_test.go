package snapshot_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/snapshot"
)

// aggregate makes an aggregate of a struct with the state.
type aggregate[S any] struct {
	eventsource.AggregateBase
	State S
}

func (*aggregate[S]) SnapshotVersion() int                        { return 1 }
func (*aggregate[S]) On(context.Context, eventsource.Event) error { return nil }

func with[S any](state S) eventsource.Aggregate { return &aggregate[S]{State: state} }

// Parts of states.
type (
	cents struct{ n int64 } // writes itself as text
	level int               // of which nothing is said
	tree  struct {
		Left, Right *tree
		N           int
	}
	list    []list
	ring    struct{ Next *ring }
	mutable struct{ N int }
	audited struct { // looks like a time to package json
		time.Time
		By string
	}
	oneWay    struct{ N int } // cannot be read back
	careless  struct{ A, B int }
	promoting struct {
		mutable
		N2 int
	}
	shadowing struct {
		mutable
		N string
	}
	twoOfAName struct {
		X int
		B int `json:"X"`
	}
	withPointer  struct{ *mutable }
	MutableBase  struct{ N int }
	withEmbedded struct{ *MutableBase }
	service      struct {
		Log *slog.Logger `json:"-" snapshot:"-"`
	}
)

func (c cents) MarshalText() ([]byte, error) { return fmt.Append(nil, c.n), nil }
func (c *cents) UnmarshalText(text []byte) error {
	_, err := fmt.Sscan(string(text), &c.n)
	return err
}

func (oneWay) MarshalJSON() ([]byte, error) { return []byte("1"), nil }

func (c careless) MarshalJSON() ([]byte, error) { return json.Marshal(c.A) }
func (c *careless) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &c.A)
}

func TestCheckAcceptsWhatSurvives(t *testing.T) {
	pointed, number := &mutable{N: 1}, 7
	for _, aggr := range []eventsource.Aggregate{
		&Account{}, &repriced{}, &counterV2{Sum: 1 << 62},
		with(0), with(""), with("Ünï <&> \u2028 \x00"), with(true), with(level(3)), with(math.Copysign(0, -1)), with(math.MaxFloat64), with(float32(1) / 3),
		with(int64(math.MinInt64)), with(uint64(math.MaxUint64)), with([]int(nil)), with([]int{}), with(map[string]int(nil)), with(map[string]int{}),
		with([]byte{}), with([]byte{0, 255}), with([][]byte{nil, {}}), with([3]string{"a"}), with(map[int8]string{-1: "x"}), with(map[cents]int{{5}: 1}),
		with(&number), with((*int)(nil)), with([]*mutable{nil, pointed, {N: 1}}), with(map[string]*mutable{"a": nil}),
		with(tree{Left: &tree{N: 1}, Right: &tree{Left: &tree{}}}), with(list{{}, nil, {{}}}), with(ring{}),
		with(time.Time{}), with(time.Unix(1, 5).UTC()), with(time.Now().UTC()), with(time.Unix(1e9, 0).In(time.FixedZone("", 3600))),
		with(map[string]time.Time{"a": time.Unix(1, 0).UTC()}), with(*big.NewInt(1 << 40)), with(big.NewInt(0)), with(netip.MustParseAddr("::1%eth0")),
		with(cents{3}), with([]cents{{1}, {2}}), with(json.RawMessage(`{"a":1}`)), with(promoting{mutable{1}, 2}), with(withEmbedded{&MutableBase{1}}),
		with(struct {
			A []int `json:"a,omitempty"`
			B int   `json:",string"`
		}{nil, 5}),
	} {
		if err := snapshot.Check(aggr); err != nil {
			t.Errorf("%T: %v", aggr, err)
		}
	}
}

func TestCheckNamesTheFieldsOfATypeThatWouldBeLost(t *testing.T) {
	var nobody *slog.Logger
	for _, test := range []struct {
		aggr     eventsource.Aggregate
		mentions []string
	}{
		{with(struct{ a int }{}), []string{".State.a is not exported"}},
		{with([]struct{ B, b int }{}), []string{".State.b is not exported"}},
		{with(map[string]*struct{ b int }{}), []string{".State.b is not exported"}},
		{with([2]map[int][]struct{ c chan int }{}), []string{".State.c is not exported"}},
		{with(struct {
			A int `json:"-"`
			b string
		}{}), []string{`.State.A has the tag json:"-"`, ".State.b is not exported"}},
		{with[any](1), []string{".State is of type interface {}, an interface, which cannot be read back"}},
		{with([]error{}), []string{".State is of type error, an interface"}},
		{with(func() {}), []string{".State is of type func(), which cannot be written"}},
		{with(make(chan int)), []string{"chan int, which cannot be written"}},
		{with(1i), []string{"complex128, which cannot be written"}},
		{with(map[bool]int{}), []string{"keys of type bool"}},
		{with(map[[2]int]int{}), []string{"keys of type [2]int"}},
		{with(map[struct{ A int }]int{}), []string{"keys of type struct"}},
		{with(oneWay{}), []string{"oneWay, which can be written and not read back"}},
		{with(twoOfAName{}), []string{`twoOfAName]`, `.State.B has the same name in JSON, "X", as aggregate`, ".State.X"}},
		{with(shadowing{}), []string{`.State.N has the same name in JSON, "N", as aggregate`, ".State.mutable.N"}},
		{with(withPointer{}), []string{".State.mutable is not exported"}},
		{with(service{}), []string{`.State.Log has the tag snapshot:"-", which only fields of the aggregate itself can have`}},
		{with(struct {
			A int `snapshot:"no"`
		}{}), []string{`.State.A has the tag snapshot:"no", there is only "-"`}},
		{&unwritten{Log: nobody}, []string{`unwritten.Log has the tag snapshot:"-", but would be written all the same`}},
		{&nested{}, []string{"nested.Inner.AggregateBase.ID has the tag json:\"-\"", "Base.Version has"}},
		{&hidden{}, []string{"hidden.balance is not exported"}},
		{&timeless{}, []string{"the embedded Time has a method for JSON or text"}},
		{notAPointer{}, []string{"notAPointer is no pointer to a struct"}},
		{new(number), []string{"*snapshot_test.number is no pointer to a struct"}},
		{&Plain{}, []string{"Plain has no method SnapshotVersion"}},
		{&versionZero{}, []string{"SnapshotVersion of *snapshot_test.versionZero is 0"}},
		{&misnamed{name: ""}, []string{`is called ""`}},
		{&misnamed{name: strings.Repeat("x", 201)}, []string{"1 to 200 bytes"}},
		{&misnamed{name: "\xff"}, []string{`is called "\xff"`}},
		{&panicking{}, []string{"panicking: panic: no version"}},
	} {
		wantNotKept(t, test.aggr, test.mentions...)
	}
	if err := snapshot.Check(nil); !errors.Is(err, eventsource.ErrMisconfigured) {
		t.Error(err)
	}
	if err := snapshot.Check((*Account)(nil)); !errors.Is(err, eventsource.ErrMisconfigured) {
		t.Error(err)
	}
}

func TestCheckNamesTheValueThatWouldNotSurvive(t *testing.T) {
	berlin := time.FixedZone("Europe/Berlin", 3600)
	shared, all := &mutable{}, []int{1, 2, 3, 4}
	circle := ring{Next: &ring{}}
	circle.Next.Next = circle.Next
	for _, test := range []struct {
		aggr     eventsource.Aggregate
		mentions []string
	}{
		{with(math.NaN()), []string{"cannot be written", "NaN"}},
		{with(math.Inf(1)), []string{"cannot be written", "+Inf"}},
		{with("a\xffb"), []string{".State is read back as"}},
		{with([]string{"a", "\xff"}), []string{".State[1] is read back as"}},
		{with(map[string]int{"\xff": 1}), []string{".State[\xff] is lost"}},
		{with(struct {
			A []int `json:",omitempty"`
		}{[]int{}}), []string{".State.A is read back as []int(nil), and was []int{}"}},
		{with(struct {
			A map[string]int `json:",omitempty"`
		}{map[string]int{}}), []string{".State.A is read back as map[string]int(nil)"}},
		{with(struct {
			A *mutable `json:",omitempty"`
			B float64  `json:",omitempty"`
		}{nil, math.Copysign(0, -1)}), []string{".State.B is read back as 0, and was -0"}},
		{with(new((*int)(nil))), []string{".State is read back as"}},
		{with(time.Unix(1, 0).In(berlin)), []string{".State is read back as", "Europe/Berlin"}},
		{with(careless{A: 1, B: 2}), []string{".State is read back as"}},
		{with(audited{time.Unix(1, 0).UTC(), "me"}), []string{".State is read back as"}},
		{with([]*mutable{shared, shared}), []string{".State[0] and aggregate", ".State[1] share memory"}},
		{with(map[string][]*mutable{"a": {shared}, "b": {shared}}), []string{"share memory"}},
		{with([][]int{all, all[:2]}), []string{".State[0] and", ".State[1] share memory"}},
		{with([][]int{all[2:], all[:1]}), []string{"share memory"}}, // append to the second would change the first
		{with(struct {
			A []int
			B *int
		}{all, &all[2]}), []string{".State.A and", ".State.B share memory"}},
		{with([]map[int]int{{}, nil, {}}[:1:1]), nil},
		{with(circle), []string{"cannot be written", "cycle"}},
		{with(tree{Left: (*tree)(nil), Right: func() *tree { t := &tree{}; t.Left = &tree{}; return t }()}), nil},
	} {
		if test.mentions == nil {
			if err := snapshot.Check(test.aggr); err != nil {
				t.Error(err)
			}
			continue
		}
		wantNotKept(t, test.aggr, test.mentions...)
	}
}

func wantNotKept(t *testing.T, aggr eventsource.Aggregate, mentions ...string) {
	t.Helper()
	err := snapshot.Check(aggr)
	if !errors.Is(err, snapshot.ErrNotKept) {
		t.Errorf("%T %+v: error is %v", aggr, aggr, err)
		return
	}
	for _, mention := range mentions {
		if !strings.Contains(err.Error(), mention) {
			t.Errorf("%T: error is %v, without %s", aggr, err, mention)
		}
	}
}

// Aggregates of which there are no snapshots.
type (
	unwritten struct {
		aggregate[int]
		Log *slog.Logger `snapshot:"-"`
	}
	nested struct {
		aggregate[int]
		Inner struct{ eventsource.AggregateBase }
	}
	hidden struct {
		eventsource.AggregateBase
		balance int
	}
	timeless struct {
		eventsource.AggregateBase
		time.Time
	}
	notAPointer struct{ N int }
	number      int
	versionZero struct{ aggregate[int] }
	misnamed    struct {
		eventsource.AggregateBase
		name string `snapshot:"-"`
	}
	panicking struct{ aggregate[int] }
)

func (*hidden) SnapshotVersion() int                          { return 1 }
func (h *hidden) On(context.Context, eventsource.Event) error { h.balance++; return nil }

func (*timeless) SnapshotVersion() int                        { return 1 }
func (*timeless) On(context.Context, eventsource.Event) error { return nil }

func (notAPointer) SnapshotVersion() int                        { return 1 }
func (notAPointer) SetAggregateID(string)                       {}
func (notAPointer) On(context.Context, eventsource.Event) error { return nil }

func (*number) SnapshotVersion() int                        { return 1 }
func (*number) SetAggregateID(string)                       {}
func (*number) On(context.Context, eventsource.Event) error { return nil }

func (*versionZero) SnapshotVersion() int { return 0 }

func (*misnamed) SnapshotVersion() int                        { return 1 }
func (m *misnamed) SnapshotType() string                      { return m.name }
func (*misnamed) On(context.Context, eventsource.Event) error { return nil }

func (*panicking) SnapshotVersion() int { panic("no version") }

func TestATypeThatWouldLoseSomethingIsReportedOnceAndLoadedFromItsEvents(t *testing.T) {
	b := newBank(snapshot.Every(1))
	saveMany(t, b, "a", 3)
	saveMany(t, b, "b", 3)
	for _, id := range []string{"a", "a", "b"} {
		h := &hidden{}
		if _, err := b.Load(t.Context(), id, h); err != nil || h.balance != 3 {
			t.Errorf("it has %d, %v", h.balance, err)
		}
	}
	b.log.wantLog(t, "hidden.balance is not exported", "type=hidden")
	b.wantStats(t, snapshot.Stats{})
	for range 2 {
		if _, err := b.Load(t.Context(), "a", &versionZero{}); err != nil {
			t.Error(err)
		}
	}
	b.log.wantLog(t, "versionZero is 0")
}

// tagger keeps what an event says as it is, also when it is no text.
type tagger struct {
	eventsource.AggregateBase
	Sum float64
}

func (*tagger) SnapshotVersion() int { return 1 }
func (a *tagger) On(_ context.Context, event eventsource.Event) error {
	if a.Sum += float64(event.(*Deposited).Amount); a.Sum > 2 {
		a.Sum = math.Inf(1)
	}
	return nil
}

func TestAStateThatWouldNotSurviveIsNotKeptAndReportedOnce(t *testing.T) {
	b := newBank(snapshot.Every(1))
	for i := range 5 {
		saveMany(t, b, "a", 1)
		a := &tagger{}
		if _, err := b.Load(t.Context(), "a", a); err != nil || i < 2 && a.Sum != float64(i+1) || i >= 2 && !math.IsInf(a.Sum, 1) {
			t.Errorf("it has %v, %v", a.Sum, err)
		}
	}
	b.log.wantLog(t, "would not survive", "+Inf", "aggregate_id=a", "version=3")
	b.wantStats(t, snapshot.Stats{Stored: 2, Restored: 4, Refused: 3})
}

// ledger writes itself, with a field that is not exported.
type ledger struct {
	eventsource.AggregateBase
	amounts map[string]int
	refuse  bool
}

func (*ledger) SnapshotVersion() int { return 1 }
func (l *ledger) On(_ context.Context, event eventsource.Event) error {
	if l.amounts == nil {
		l.amounts = make(map[string]int)
	}
	l.amounts[fmt.Sprint(len(l.amounts))] = event.(*Deposited).Amount
	return nil
}
func (l *ledger) MarshalJSON() ([]byte, error) { return json.Marshal(l.amounts) }
func (l *ledger) UnmarshalJSON(data []byte) error {
	if l.refuse {
		return errFake
	}
	return json.Unmarshal(data, &l.amounts)
}

func TestAnAggregateThatWritesItselfIsTrusted(t *testing.T) {
	if err := snapshot.Check(&ledger{amounts: map[string]int{}}); err != nil {
		t.Error(err)
	}
	b := newBank(snapshot.Every(2))
	saveMany(t, b, "a", 2)
	for range 2 {
		l := &ledger{}
		if _, err := b.Load(t.Context(), "a", l); err != nil || len(l.amounts) != 2 || l.Version != 2 {
			t.Errorf("it has %v at version %d, %v", l.amounts, l.Version, err)
		}
	}
	b.wantStats(t, snapshot.Stats{Stored: 1, Restored: 1})

	// One whose method fails where that of a new one has not, is as it was.
	l := &ledger{refuse: true, amounts: map[string]int{"x": 1}}
	found := b.snapshots.Find(t.Context(), "a", l, 0)
	if found == nil || b.snapshots.Restore(t.Context(), l, found) || len(l.amounts) != 1 {
		t.Errorf("%+v: it is now %v", found, l.amounts)
	}
	// So is one whose method has begun to add to a map before it fails.
	l.refuse, found.State = false, []byte(`{"0":1,"1":"x"}`)
	if b.snapshots.Restore(t.Context(), l, found) || len(l.amounts) != 1 {
		t.Errorf("it is now %v", l.amounts)
	}
}

// pointing embeds its base as it should not.
type pointing struct {
	*eventsource.AggregateBase
	N int
}

func (*pointing) SnapshotVersion() int                          { return 1 }
func (p *pointing) On(context.Context, eventsource.Event) error { p.N++; return nil }

func TestAnAggregateMayPointToItsBase(t *testing.T) {
	b := newBank(snapshot.Every(2))
	saveMany(t, b, "a", 2)
	for range 2 {
		p := &pointing{AggregateBase: &eventsource.AggregateBase{}}
		if _, err := b.Load(t.Context(), "a", p); err != nil || p.N != 2 || p.ID != "a" || p.Version != 2 {
			t.Errorf("%+v %+v, %v", p, p.AggregateBase, err)
		}
	}
	b.wantStats(t, snapshot.Stats{Stored: 1, Restored: 1})
}

// textCodec is a codec of states as text.
type textCodec struct{ broken bool }

func (c *textCodec) Marshal(aggr eventsource.Aggregate) ([]byte, error) {
	return fmt.Append(nil, aggr.(*hidden).balance), nil
}

func (c *textCodec) Unmarshal(state []byte, aggr eventsource.Aggregate) error {
	if c.broken {
		panic("codec is broken")
	}
	_, err := fmt.Sscan(string(state), &aggr.(*hidden).balance)
	return err
}

func TestACodecWritesWhatJSONDoesNot(t *testing.T) {
	codec := &textCodec{}
	b := newBank(snapshot.Every(2), snapshot.WithCodec(codec))
	saveMany(t, b, "a", 2)
	loadHidden := func() {
		t.Helper()
		h := &hidden{}
		if _, err := b.Load(t.Context(), "a", h); err != nil || h.balance != h.Version {
			t.Errorf("it has %d at version %d, %v", h.balance, h.Version, err)
		}
	}
	loadHidden()
	loadHidden()
	b.wantStats(t, snapshot.Stats{Stored: 1, Restored: 1})
	codec.broken = true
	saveMany(t, b, "a", 1)
	loadHidden()
	b.wantStats(t, snapshot.Stats{Stored: 1, Restored: 1, Failed: 2}) // to restore one, and to take one
	if lines := strings.Join(b.log.lines(), "\n"); strings.Count(lines, "codec is broken") != 2 || !strings.Contains(lines, "aggregate_id=a") {
		t.Errorf("logged:\n%s", lines)
	}
}
