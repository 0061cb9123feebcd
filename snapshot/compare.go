package snapshot

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
)

// compare says where a struct that was read back differs from what was written, in a
// field that is state, "" if nowhere.
func compare(was, is reflect.Value) string {
	c := comparison{at: make(map[uintptr]*place)}
	root := &place{name: was.Type().Name()}
	c.block(was.Addr().Pointer(), was.Type().Size(), root)
	return cmp.Or(c.fields(was, is, root), c.shared())
}

// place is where a value is in a state.
type place struct {
	in   *place // nil for the state itself
	name string
	key  any // of an element, instead of a name
}

func (p *place) String() string {
	switch {
	case p.in == nil:
		return p.name
	case p.key != nil:
		return fmt.Sprintf("%v[%v]", p.in, p.key)
	}
	return fmt.Sprintf("%v.%s", p.in, p.name)
}

// comparison compares values, and collects what they point to.
type comparison struct {
	blocks []block
	at     map[uintptr]*place // by start
}

// block is a piece of memory that a state has at a place.
type block struct {
	start, end uintptr
	place      *place
}

// block notes a piece of memory. It says so if there is one already that starts there.
func (c *comparison) block(start, size uintptr, at *place) (difference string) {
	if start == 0 || size == 0 {
		return ""
	}
	if before := c.at[start]; before != nil {
		return twice(before, at)
	}
	c.at[start] = at
	c.blocks = append(c.blocks, block{start, start + size, at})
	return ""
}

// shared says which pieces of memory overlap.
func (c *comparison) shared() (difference string) {
	slices.SortFunc(c.blocks, func(a, b block) int { return cmp.Compare(a.start, b.start) })
	for i := range c.blocks[1:] {
		if a, b := c.blocks[i], c.blocks[i+1]; b.start < a.end {
			return twice(a.place, b.place)
		}
	}
	return ""
}

// twice is about memory that can be reached in two ways. Read back it would be two
// pieces, and a change of one no change of the other.
func twice(a, b *place) string {
	return fmt.Sprintf("%v and %v share memory, which they would not when read back", a, b)
}

func (c *comparison) fields(was, is reflect.Value, in *place) string {
	for i := range was.NumField() {
		f := was.Type().Field(i)
		at, difference := &place{in: in, name: f.Name}, ""
		switch {
		case isBase(f) || isExcluded(f):
		case isPromoted(f):
			difference = c.fields(was.Field(i), is.Field(i), at)
		case f.IsExported():
			difference = c.values(was.Field(i), is.Field(i), at)
		}
		if difference != "" {
			return difference
		}
	}
	return ""
}

func (c *comparison) values(was, is reflect.Value, at *place) string {
	if marshalsItself(was.Type()) {
		return differ(sameByItself(was, is), was, is, at)
	}
	switch was.Kind() {
	case reflect.Float32, reflect.Float64: // -0 is not 0
		return differ(math.Float64bits(was.Float()) == math.Float64bits(is.Float()), was, is, at)
	case reflect.Pointer:
		if was.IsNil() || is.IsNil() {
			return differ(was.IsNil() == is.IsNil(), was, is, at)
		}
		if difference := c.block(was.Pointer(), was.Type().Elem().Size(), at); difference != "" {
			return difference // and maybe a cycle
		}
		return c.values(was.Elem(), is.Elem(), at)
	case reflect.Interface:
		if was.IsNil() || is.IsNil() || was.Elem().Type() != is.Elem().Type() {
			return differ(was.IsNil() && is.IsNil(), was, is, at)
		}
		return c.values(was.Elem(), is.Elem(), at)
	case reflect.Slice, reflect.Array:
		return c.elements(was, is, at)
	case reflect.Map:
		return c.entries(was, is, at)
	case reflect.Struct:
		return c.fields(was, is, at)
	case reflect.Func:
		return differ(was.IsNil() && is.IsNil(), was, is, at)
	default:
		return differ(was.Equal(is), was, is, at)
	}
}

func (c *comparison) elements(was, is reflect.Value, at *place) string {
	if was.Len() != is.Len() {
		return differ(false, was, is, at)
	}
	if was.Kind() == reflect.Slice {
		if was.IsNil() != is.IsNil() {
			return differ(false, was, is, at)
		}
		if difference := c.block(was.Pointer(), uintptr(was.Cap())*was.Type().Elem().Size(), at); difference != "" {
			return difference
		}
	}
	for i := range was.Len() {
		if difference := c.values(was.Index(i), is.Index(i), &place{in: at, key: i}); difference != "" {
			return difference
		}
	}
	return ""
}

func (c *comparison) entries(was, is reflect.Value, at *place) string {
	if was.IsNil() != is.IsNil() || was.Len() != is.Len() {
		return differ(false, was, is, at)
	}
	if difference := c.block(was.Pointer(), 1, at); difference != "" {
		return difference
	}
	for entries := was.MapRange(); entries.Next(); {
		element := &place{in: at, key: entries.Key()}
		other := is.MapIndex(entries.Key())
		if !other.IsValid() {
			return element.String() + " is lost"
		}
		if difference := c.values(entries.Value(), other, element); difference != "" {
			return difference
		}
	}
	return ""
}

func differ(same bool, was, is reflect.Value, at *place) string {
	if same {
		return ""
	}
	return fmt.Sprintf("%v is read back as %s, and was %s", at, show(is), show(was))
}

// show shows the beginning of a value.
func show(v reflect.Value) string {
	text := fmt.Sprintf("%#v", v)
	if v.Type() == reflect.TypeFor[time.Time]() {
		text = fmt.Sprint(v)
	}
	const longest = 100
	if len(text) > longest {
		text = text[:longest] + "..."
	}
	return text
}

// sameByItself compares values of a type that is written in its own way.
func sameByItself(was, is reflect.Value) bool {
	a, b := was.Interface(), is.Interface()
	if at, ok := a.(time.Time); ok {
		return sameTime(at, b.(time.Time))
	}
	if reflect.DeepEqual(a, b) {
		return true
	}
	equal := was.MethodByName("Equal")
	if !equal.IsValid() || equal.Type().NumIn() != 1 || equal.Type().In(0) != was.Type() ||
		equal.Type().NumOut() != 1 || equal.Type().Out(0).Kind() != reflect.Bool {
		return false
	}
	return equal.Call([]reflect.Value{is})[0].Bool()
}

// sameTime takes no notice of the monotonic clock, but of the zone, which decides what
// day it is, and when the clocks change.
func sameTime(a, b time.Time) bool {
	_, offsetA := a.Zone()
	_, offsetB := b.Zone()
	return a.Equal(b) && offsetA == offsetB && a.Location().String() == b.Location().String()
}
