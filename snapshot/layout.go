package snapshot

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// layoutOf returns a hash of the fields of a struct and of all types below, by which a
// state is not read into fields that it was not written from, and says which of them
// encoding/json would lose.
func layoutOf(t reflect.Type) (hash string, problems []string) {
	w := walk{seen: make(map[visit]int)}
	w.structure(t, t.Name(), true)
	sum := sha256.Sum256([]byte(w.layout.String()))
	return hex.EncodeToString(sum[:4]), w.problems
}

// walk goes through types.
type walk struct {
	seen     map[visit]int // where in the order of visits
	layout   strings.Builder
	problems []string
}

// visit is a visit of a type. A struct that belongs to the aggregate itself has more
// rights than others.
type visit struct {
	of  reflect.Type
	own bool
}

func (w *walk) note(format string, args ...any) { fmt.Fprintf(&w.layout, format+"\n", args...) }

func (w *walk) problem(path, format string, args ...any) {
	w.problems = append(w.problems, path+" "+fmt.Sprintf(format, args...))
}

// again reports whether there is, or will be, nothing new about a type.
func (w *walk) again(t reflect.Type, own bool) bool {
	before, seen := w.seen[visit{t, own}]
	if seen {
		w.note("again %d", before)
		return true
	}
	w.seen[visit{t, own}] = len(w.seen)
	return false
}

func (w *walk) of(t reflect.Type, path string) {
	if marshalsItself(t) {
		w.note("%v", t)
		if !implements[json.Unmarshaler](t) && !implements[encoding.TextUnmarshaler](t) {
			w.problem(path, "is of type %v, which can be written and not read back", t)
		}
		return
	}
	if t.Name() != "" && t.PkgPath() != "" && t.Kind() != reflect.Struct && w.again(t, false) {
		return // type list []list
	}
	w.note("%v", t.Kind())
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		w.of(t.Elem(), path)
	case reflect.Array:
		w.note("%d", t.Len())
		w.of(t.Elem(), path)
	case reflect.Map:
		w.key(t.Key(), path)
		w.of(t.Elem(), path)
	case reflect.Struct:
		w.structure(t, path, false)
	case reflect.Interface:
		w.problem(path, "is of type %v, an interface, which cannot be read back", t)
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128, reflect.Invalid:
		w.problem(path, "is of type %v, which cannot be written", t)
	default: // booleans, numbers, text
	}
}

// key looks at the type of the keys of a map.
func (w *walk) key(t reflect.Type, path string) {
	w.note("key %v", t.Kind())
	switch t.Kind() {
	case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return
	default:
		w.note("%v", t)
		if !t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) || !implements[encoding.TextUnmarshaler](t) {
			w.problem(path, "is a map with keys of type %v, which are neither text nor integers", t)
		}
	}
}

// structure looks at a struct; own says that it belongs to the aggregate itself.
func (w *walk) structure(t reflect.Type, path string, own bool) {
	w.fields(t, path, own, make(map[string]string))
	w.note("end")
}

// fields looks at the fields of a struct and of those that it embeds, which share names.
func (w *walk) fields(t reflect.Type, path string, own bool, names map[string]string) {
	if w.again(t, own) {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		at := path + "." + f.Name
		tag, tagged := f.Tag.Lookup("snapshot")
		switch name := jsonName(f); {
		case own && isBase(f):
			continue
		case tagged:
			w.excluded(f, at, tag, own)
			continue
		case isPromoted(f):
			w.fields(f.Type, at, own, names)
			continue
		case !f.IsExported():
			w.note("%s unexported", f.Name)
			w.problem(at, "is not exported, so it would be lost: export it, or tag it snapshot:\"-\" if it is no state")
		case f.Tag.Get("json") == "-":
			w.note("%s left out", f.Name)
			w.problem(at, "has the tag json:\"-\", so it would be lost: give it a name, or tag it snapshot:\"-\" as well if it is no state")
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Struct:
			w.note("%s pointer", f.Name)
			w.fields(f.Type.Elem(), at, false, names)
			continue
		default:
			if name == "" {
				name = f.Name
			}
			if other, taken := names[name]; taken {
				w.problem(at, "has the same name in JSON, %q, as %s", name, other)
			}
			names[name] = at
		}
		w.note("%s %q", f.Name, f.Tag.Get("json"))
		w.of(f.Type, at)
	}
}

// excluded looks at a field that is said to be no state.
func (w *walk) excluded(f reflect.StructField, at, tag string, own bool) {
	switch {
	case tag != "-":
		w.problem(at, "has the tag snapshot:%q, there is only \"-\"", tag)
	case !own:
		w.problem(at, "has the tag snapshot:\"-\", which only fields of the aggregate itself can have: a load makes new values of type %v", f.Type)
	case f.IsExported() && f.Tag.Get("json") != "-":
		w.problem(at, "has the tag snapshot:\"-\", but would be written all the same: tag it json:\"-\" as well")
	}
}
