package scenario

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
)

type inner struct{ Tags []string }

// Part is embedded.
type Part struct{ Names map[string][]int }

type part struct{ List []int }

type pointer *inner

type whole struct {
	*eventsource.BaseEvent
	Part
	part
	Slice   []*inner
	Nested  [][]string
	Map     map[string]*inner
	Array   [2][]int
	Any     any
	Err     error
	Pointer pointer
	Self    *whole
	Loop    []any
	Func    func()
	Bytes   []byte
	private []int
}

func newWhole() *whole {
	w := &whole{
		BaseEvent: &eventsource.BaseEvent{Metadata: eventsource.Metadata{"k": "v"}},
		Part:      Part{map[string][]int{"a": {1}}}, part: part{[]int{1}},
		Slice: []*inner{{[]string{"a"}}, nil}, Nested: [][]string{{"a"}, nil, {}}, Map: map[string]*inner{"a": {[]string{"a"}}},
		Array: [2][]int{{1}, nil}, Any: map[string]any{"a": []any{1.5}}, Err: errTest, Pointer: &inner{[]string{"a"}},
		Bytes: []byte("a"), private: []int{1},
	}
	w.Self = w
	w.Loop = []any{1, nil}
	w.Loop[1] = w.Loop
	return w
}

var errTest = errors.New("an error is the same error in a copy")

func TestClonesAreEqualAndShareNothing(t *testing.T) {
	w := newWhole()
	c := clone(w).(*whole)
	none := &config{}
	if diff, err := none.diff(w, c); diff != "" || err != nil {
		t.Fatalf("error %v (-original +clone)\n%s", err, diff)
	}
	if c.Self != c || !errors.Is(c.Err, errTest) {
		t.Errorf("it refers to %p and %v", c.Self, c.Err)
	}
	c.SetVersion(1)
	c.Metadata["k"] = "w"
	c.Names["a"][0], c.List[0], c.Array[0][0], c.Bytes[0] = 2, 2, 2, 'b'
	c.Slice[0].Tags[0], c.Nested[0][0], c.Map["a"].Tags[0], c.Pointer.Tags[0] = "b", "b", "b", "b"
	c.Any.(map[string]any)["a"].([]any)[0] = 2.5
	c.Loop[0] = 2
	if diff, err := none.diff(newWhole(), w); diff != "" || err != nil {
		t.Errorf("the original has changed, error %v\n%s", err, diff)
	}
}

func TestClonesGetTheBaseEventThatIsMissing(t *testing.T) {
	c := clone(whole{}).(whole)
	if c.BaseEvent == nil {
		t.Fatal("it has none")
	}
	if diff := cmp.Diff(eventsource.BaseEvent{}, *c.BaseEvent); diff != "" {
		t.Error(diff)
	}
}
