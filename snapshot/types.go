package snapshot

import (
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/eventsource-go/eventsource"
)

// ErrNotKept is returned by [Check] when a state would not survive in a snapshot.
var ErrNotKept = errors.New("eventsource/snapshot: state would not survive")

// Check returns nil if snapshots of an aggregate can be kept, and [ErrNotKept] with all
// reasons if not. It is for an application's tests, for each of its types:
//
//	if err := snapshot.Check(&Account{}); err != nil {
//		t.Error(err)
//	}
//
// It looks at the fields of the type, and of all types below. Each has to be exported,
// and of a type that encoding/json reads back; interfaces cannot be. What is no state,
// such as a clock or a logger, has the tag `snapshot:"-"`, and json:"-" if it is
// exported: a load leaves it as it is. Such fields are those of the aggregate itself,
// or of structs that it embeds. Types with methods of their own for JSON or text, such
// as [time.Time], answer for themselves, and so does an aggregate with MarshalJSON.
//
// Then it writes the given state, reads it back, and compares the exported fields: a
// slice that is empty is not nil, two pointers to the same value are not two values,
// and a time keeps its zone. That is also done before each snapshot is stored.
//
// An aggregate without SnapshotVersion is [ErrNotKept]; nil is
// [eventsource.ErrMisconfigured]. The aggregate is not changed.
func Check(aggr eventsource.Aggregate) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %T: panic: %v", ErrNotKept, aggr, p)
		}
	}()
	if isNil(aggr) {
		return misconfigured("aggregate to check is nil")
	}
	versioned, ok := aggr.(Aggregate)
	if !ok {
		return fmt.Errorf("%w: %T has no method SnapshotVersion", ErrNotKept, aggr)
	}
	if version := versioned.SnapshotVersion(); version < 1 {
		return fmt.Errorf("%w: SnapshotVersion of %T is %d, and not from 1", ErrNotKept, aggr, version)
	}
	t := newAggregateType(aggr, jsonCodec{})
	if t.err != nil {
		return t.err
	}
	_, err = t.state(jsonCodec{}, aggr)
	return err
}

// aggregateType is what is known of a Go type of aggregates.
type aggregateType struct {
	of  reflect.Type // the struct
	key string       // name and hash
	// name is the name alone.
	name string
	// plain is true if encoding/json reads and writes it field by field.
	plain bool
	// err says why there are no snapshots of it.
	err      error
	reported atomic.Bool
}

// types are those that were seen so far.
type types struct {
	mu     sync.Mutex
	byType map[reflect.Type]*aggregateType
	byName map[string]reflect.Type
}

// typeOf returns the type of an aggregate and its SnapshotVersion; false if there are
// no snapshots of it.
func (s *Snapshots) typeOf(ctx context.Context, aggr eventsource.Aggregate) (t *aggregateType, version int, ok bool) {
	versioned, ok := aggr.(Aggregate)
	if !ok || s.err != nil {
		return nil, 0, false
	}
	t = s.types.get(aggr, s.codec)
	err := t.err
	if version = versioned.SnapshotVersion(); err == nil && version < 1 {
		err = fmt.Errorf("%w: SnapshotVersion of %T is %d, and not from 1", ErrNotKept, aggr, version)
	}
	if err != nil {
		s.unfit(ctx, t, err)
		return nil, 0, false
	}
	return t, version, true
}

// unfit reports, once, that there are no snapshots of a type.
func (s *Snapshots) unfit(ctx context.Context, t *aggregateType, err error) {
	if !t.reported.Swap(true) {
		s.logger.ErrorContext(ctx, "eventsource/snapshot: there are no snapshots of a type",
			"type", t.name, "store", fmt.Sprintf("%T", s.store), "error", err)
	}
}

// get looks at a type when it is seen for the first time.
func (t *types) get(aggr eventsource.Aggregate, codec Codec) *aggregateType {
	of := reflect.TypeOf(aggr)
	t.mu.Lock()
	defer t.mu.Unlock()
	if found := t.byType[of]; found != nil {
		return found
	}
	if t.byType == nil {
		t.byType, t.byName = make(map[reflect.Type]*aggregateType), make(map[string]reflect.Type)
	}
	found := newAggregateType(aggr, codec)
	if other, taken := t.byName[found.name]; taken && found.err == nil {
		found.err = fmt.Errorf("%w: %v is called %q, and so is %v: give one of them a method SnapshotType", ErrNotKept, of, found.name, other)
	}
	if found.err == nil {
		t.byName[found.name] = of
	}
	t.byType[of] = found
	return found
}

func newAggregateType(aggr eventsource.Aggregate, codec Codec) *aggregateType {
	pointer := reflect.TypeOf(aggr)
	t := &aggregateType{name: pointer.String()}
	if pointer.Kind() != reflect.Pointer || pointer.Elem().Kind() != reflect.Struct {
		t.err = fmt.Errorf("%w: %v is no pointer to a struct", ErrNotKept, pointer)
		return t
	}
	t.of = pointer.Elem()
	t.name = t.of.Name()
	if named, ok := aggr.(Named); ok {
		t.name = named.SnapshotType()
	}
	if t.name == "" || len(t.name) > maxNameLength || !utf8.ValidString(t.name) || strings.Contains(t.name, "\x00") {
		t.err = fmt.Errorf("%w: %v is called %q, a name has 1 to %d bytes of text", ErrNotKept, pointer, t.name, maxNameLength)
		return t
	}
	_, standard := codec.(jsonCodec)
	t.plain = standard && !marshalsItself(t.of)
	hash, problems := layoutOf(t.of)
	t.key = t.name + "#" + hash
	switch embedded := embeddedMarshaler(t.of); {
	case t.plain && len(problems) > 0:
		t.err = fmt.Errorf("%w: %v: %s", ErrNotKept, pointer, strings.Join(problems, "; "))
	case standard && !t.plain && embedded != "":
		t.err = fmt.Errorf("%w: %v: the embedded %s has a method for JSON or text, which may stand for the whole of it: give the field a name", ErrNotKept, pointer, embedded)
	}
	return t
}

// embeddedMarshaler names an embedded field whose method may be that of the struct.
func embeddedMarshaler(t reflect.Type) string {
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && marshalsItself(f.Type) {
			return f.Name
		}
	}
	return ""
}

// state writes the state of an aggregate, if it can be read back.
func (t *aggregateType) state(codec Codec, aggr eventsource.Aggregate) ([]byte, error) {
	state, err := codec.Marshal(aggr)
	if err != nil {
		return nil, fmt.Errorf("%w: %T cannot be written: %w", ErrNotKept, aggr, err)
	}
	back := reflect.New(t.of)
	if err := codec.Unmarshal(state, back.Interface().(eventsource.Aggregate)); err != nil {
		return nil, fmt.Errorf("%w: %T cannot be read back: %w", ErrNotKept, aggr, err)
	}
	if difference := compare(reflect.ValueOf(aggr).Elem(), back.Elem()); difference != "" {
		return nil, fmt.Errorf("%w: %T: %s", ErrNotKept, aggr, difference)
	}
	return state, nil
}

// restore sets an aggregate to a state, or leaves it as it is. What is no state, such as
// a field with the tag snapshot:"-", stays in any case.
func (t *aggregateType) restore(codec Codec, state []byte, aggr eventsource.Aggregate) error {
	if !t.plain { // who writes unexported fields may do so to what the copy below shares with the aggregate
		if err := codec.Unmarshal(state, reflect.New(t.of).Interface().(eventsource.Aggregate)); err != nil {
			return err
		}
	}
	into := reflect.ValueOf(aggr).Elem()
	fresh := reflect.New(t.of)
	fresh.Elem().Set(into)
	empty(fresh.Elem())
	if err := codec.Unmarshal(state, fresh.Interface().(eventsource.Aggregate)); err != nil {
		return err
	}
	into.Set(fresh.Elem())
	return nil
}

// empty sets all fields that are state to zero: a default that the application has set is not
// to stand in for what is not written, and nothing is to be added to a map of its own.
func empty(v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Type().Field(i); {
		case isBase(f) || isExcluded(f):
		case isPromoted(f):
			empty(v.Field(i))
		case f.IsExported():
			v.Field(i).SetZero()
		}
	}
}

// isBase reports whether the repository sets the field.
func isBase(f reflect.StructField) bool {
	return f.Anonymous && f.Type == reflect.TypeFor[eventsource.AggregateBase]()
}

// isExcluded reports whether the field is no state.
func isExcluded(f reflect.StructField) bool { return f.Tag.Get("snapshot") == "-" }

// isPromoted reports whether the fields of an embedded struct are written as those of
// the outer one.
func isPromoted(f reflect.StructField) bool {
	return f.Anonymous && jsonName(f) == "" && f.Type.Kind() == reflect.Struct
}

// jsonName is the name in the field's json tag, "" if it has none.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// marshalsItself reports whether a type has methods of its own for JSON or text.
func marshalsItself(t reflect.Type) bool {
	if t.Kind() == reflect.Interface || t.Kind() == reflect.Pointer {
		return false
	}
	return implements[json.Marshaler](t) || implements[encoding.TextMarshaler](t)
}

// implements reports whether a type, or a pointer to it, has the methods of I.
func implements[I any](t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[I]())
}
