package scenario

import (
	"reflect"

	"github.com/eventsource-go/eventsource"
)

// clone copies an event with all that is in it, so that it can be given its ID and its
// version, and be applied by an aggregate that goes on working with its slices, while
// others use the original. An embedded pointer to a BaseEvent that is nil gets one, as
// it does from a serializer.
func clone(event eventsource.Event) eventsource.Event {
	copied := copies{}.of(reflect.ValueOf(event))
	event = copied.Interface().(eventsource.Event)
	registry, err := eventsource.NewRegistry(event)
	if err != nil {
		return event // no struct, for instance
	}
	whole, err := registry.Decode(eventsource.EventType(event), func(target any) error {
		reflect.ValueOf(target).Elem().Set(reflect.Indirect(copied))
		return nil
	})
	switch {
	case err != nil: // its type goes by its content
		return event
	case copied.Kind() == reflect.Pointer: // others may refer to it
		copied.Elem().Set(reflect.ValueOf(whole).Elem())
		return event
	default:
		return whole
	}
}

func cloneAll(events []eventsource.Event) []eventsource.Event {
	clones := make([]eventsource.Event, len(events))
	for i, event := range events {
		clones[i] = clone(event)
	}
	return clones
}

// copies are what was copied, since values may refer to themselves.
type copies map[reference]reflect.Value

type reference struct {
	of      reflect.Type
	pointer uintptr
	length  int
}

// of copies a value and what it refers to through exported fields; others cannot be set,
// and are shared.
func (c copies) of(v reflect.Value) reflect.Value {
	t := v.Type()
	switch t.Kind() {
	case reflect.Struct, reflect.Array:
		n := reflect.New(t).Elem()
		n.Set(v)
		c.inside(n)
		return n
	case reflect.Pointer:
		return c.once(v, 0, func() (reflect.Value, func()) {
			n := reflect.New(t.Elem())
			return n.Convert(t), func() { n.Elem().Set(c.of(v.Elem())) }
		})
	case reflect.Slice:
		return c.once(v, v.Len(), func() (reflect.Value, func()) {
			n := reflect.MakeSlice(t, v.Len(), v.Len())
			reflect.Copy(n, v)
			return n, func() { c.inside(n) }
		})
	case reflect.Map:
		return c.once(v, 0, func() (reflect.Value, func()) {
			n := reflect.MakeMapWithSize(t, v.Len())
			return n, func() {
				for entries := v.MapRange(); entries.Next(); {
					n.SetMapIndex(entries.Key(), c.of(entries.Value()))
				}
			}
		})
	case reflect.Interface:
		// What has an identity, such as an error, keeps it.
		if k := v.Elem().Kind(); k == reflect.Slice || k == reflect.Map {
			return c.of(v.Elem())
		}
	}
	return v
}

// once makes the copy of what a value refers to, and then fills it.
func (c copies) once(v reflect.Value, length int, create func() (n reflect.Value, fill func())) reflect.Value {
	if v.IsNil() {
		return v
	}
	ref := reference{v.Type(), v.Pointer(), length}
	if n, ok := c[ref]; ok {
		return n
	}
	n, fill := create()
	c[ref] = n
	fill()
	return n
}

// inside replaces what a struct, an array or a slice refers to by copies.
func (c copies) inside(v reflect.Value) {
	if v.Kind() != reflect.Struct {
		if !refers(v.Type().Elem().Kind()) {
			return
		}
		for i := range v.Len() {
			v.Index(i).Set(c.of(v.Index(i)))
		}
		return
	}
	for i := range v.NumField() {
		switch field := v.Field(i); {
		case field.CanSet():
			field.Set(c.of(field))
		case v.Type().Field(i).Anonymous && field.Kind() == reflect.Struct:
			c.inside(field)
		}
	}
}

// refers reports whether values of a kind may have others in them.
func refers(k reflect.Kind) bool {
	switch k {
	case reflect.Struct, reflect.Array, reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return true
	default:
		return false
	}
}
