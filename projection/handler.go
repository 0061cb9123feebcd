package projection

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"

	"github.com/eventsource-go/eventsource"
)

// Handler handles the events of a projection. [Each], [Batch], [On] and [ByType] make
// one of functions; a type of the application may be one as well.
//
// A projection calls its handler from one goroutine for each partition. Events come
// in sequence order, those of one aggregate always in the same partition. Unless the
// handler writes in the transaction in which the checkpoint moves (see package
// sqlprojection), it may get events again after a crash: the last ones, in order.
type Handler interface {
	// Handle handles events, at least one. The slice is not to be kept. An error says
	// that none of them counts as handled, unless it was made by [Handled].
	Handle(ctx context.Context, events []eventsource.Event) error
}

// Typed is implemented by handlers that want events of some types only.
type Typed interface {
	// EventTypes gives their names (see [eventsource.EventType]); none stands for all.
	EventTypes() []string
}

// Transactional is implemented by handlers that work in the transaction in which the
// checkpoint moves, and so need [Checkpoints] that are a [Transactor].
type Transactional interface {
	Transactional() bool
}

// Handled says that the first n events of a batch were handled, and that the next one
// was not, because of err. Without, all of them are tried again. A nil err is an error that
// says so.
func Handled(n int, err error) error {
	if err == nil {
		err = errors.New("eventsource/projection: Handled was called without an error")
	}
	return &partialError{n: n, err: err}
}

type partialError struct {
	n   int
	err error
}

func (e *partialError) Error() string { return e.err.Error() }
func (e *partialError) Unwrap() error { return e.err }

// Permanent says that it makes no sense to try again. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Silent reports whether what a handler does must not be seen outside: the events were
// handled before by the version of the projection that is active, or before a replay.
// Read models are written as always; mails are not sent again. A handler that does
// nothing else is better wrapped with [SideEffect].
func Silent(ctx context.Context) bool { return ctx.Value(silentKey{}) != nil }

type silentKey struct{}

func withSilence(ctx context.Context) context.Context {
	return context.WithValue(ctx, silentKey{}, true)
}

// Each returns a handler that calls a function for each event, of the types of the
// given events, whose values do not matter; without any, of all types.
func Each(handle func(ctx context.Context, event eventsource.Event) error, types ...eventsource.Event) Handler {
	h := &handler{}
	h.types, h.err = typeNames(types)
	if handle == nil {
		h.err = errors.Join(h.err, misconfigured("function of Each is nil"))
	}
	h.handle = func(ctx context.Context, events []eventsource.Event) error {
		for i, event := range events {
			if err := handle(ctx, event); err != nil {
				return Handled(i, err)
			}
		}
		return nil
	}
	return h
}

// Batch returns a handler that calls a function for several events at once, of the
// types of the given events, whose values do not matter; without any, of all types.
// When it keeps failing, and failed events are to be skipped or parked, it is called
// for each event of the batch alone.
func Batch(handle func(ctx context.Context, events []eventsource.Event) error, types ...eventsource.Event) Handler {
	h := &handler{handle: handle}
	h.types, h.err = typeNames(types)
	if handle == nil {
		h.err = errors.Join(h.err, misconfigured("function of Batch is nil"))
	}
	return h
}

// On returns a handler of the events of one type, E, a struct or a pointer to one:
//
//	projection.On(func(ctx context.Context, e *Opened) error { ... })
//
// Which of the two the serializer gives makes no difference. Give several of them to
// [ByType].
func On[E eventsource.Event](handle func(ctx context.Context, event E) error) Handler {
	name, err := TypeName[E]()
	if handle == nil {
		err = errors.Join(err, misconfigured("function of On is nil"))
	}
	h := Each(func(ctx context.Context, event eventsource.Event) error {
		typed, err := As[E](event)
		if err != nil {
			return err
		}
		return handle(ctx, typed)
	}).(*handler)
	h.types, h.err = []string{name}, err
	return h
}

// TypeName returns the name under which events of type E are stored. It is
// [eventsource.ErrMisconfigured] for an interface.
func TypeName[E eventsource.Event]() (string, error) {
	t := reflect.TypeFor[E]()
	switch t.Kind() {
	case reflect.Interface:
		return "", misconfigured("%v is an interface, and not the type of an event", t)
	case reflect.Pointer:
		return eventsource.EventType(reflect.New(t.Elem()).Interface().(eventsource.Event)), nil
	default:
		return eventsource.EventType(reflect.New(t).Elem().Interface().(eventsource.Event)), nil
	}
}

// As returns the event as an E, whether it is a struct or a pointer to one.
func As[E eventsource.Event](event eventsource.Event) (E, error) {
	if typed, ok := event.(E); ok {
		return typed, nil
	}
	var zero E
	want, v := reflect.TypeFor[E](), reflect.ValueOf(event)
	switch {
	case v.IsValid() && v.Kind() == reflect.Pointer && !v.IsNil() && v.Type().Elem() == want:
		return v.Elem().Interface().(E), nil
	case v.IsValid() && want.Kind() == reflect.Pointer && want.Elem() == v.Type():
		pointer := reflect.New(v.Type())
		pointer.Elem().Set(v)
		return pointer.Interface().(E), nil
	}
	return zero, Permanent(fmt.Errorf("eventsource/projection: event %q is a %T, and its handler takes a %v", eventsource.EventType(event), event, want))
}

// ByType returns a handler that gives each event to those of the handlers that ask for
// its type, in the order they are given. Events that none asks for are not read. A
// handler that asks for no type in particular gets all.
func ByType(handlers ...Handler) Handler {
	h := &handler{}
	if len(handlers) == 0 {
		h.err = misconfigured("ByType got no handler")
	}
	parts := make([]part, 0, len(handlers))
	all := false
	for i, inner := range handlers {
		if isNil(inner) {
			h.err = errors.Join(h.err, misconfigured("handler %d of ByType is nil", i+1))
			continue
		}
		types := typesOf(inner)
		h.err = errors.Join(h.err, handlerErr(inner))
		h.transactional = h.transactional || isTransactional(inner)
		all = all || len(types) == 0
		h.types = append(h.types, types...)
		parts = append(parts, part{inner, types})
	}
	if all {
		h.types = nil
	}
	h.handle = func(ctx context.Context, events []eventsource.Event) error {
		for i := range events {
			if err := handleByType(ctx, parts, events[i:i+1]); err != nil {
				return Handled(i, err)
			}
		}
		return nil
	}
	return h
}

type part struct {
	Handler
	types []string
}

func handleByType(ctx context.Context, parts []part, event []eventsource.Event) error {
	name := eventsource.EventType(event[0])
	for _, p := range parts {
		if len(p.types) > 0 && !slices.Contains(p.types, name) {
			continue
		}
		if err := p.Handle(ctx, event); err != nil {
			return err
		}
	}
	return nil
}

// SideEffect returns a handler that is not called while the projection is to be
// silent: when a later version catches up beside the active one, and when events that
// were handled before are replayed. It is for what others see and cannot be taken
// back, such as mails and requests to other services.
func SideEffect(inner Handler) Handler {
	if isNil(inner) {
		return &handler{err: misconfigured("handler of SideEffect is nil")}
	}
	return &handler{
		types: typesOf(inner), transactional: isTransactional(inner), err: handlerErr(inner),
		handle: func(ctx context.Context, events []eventsource.Event) error {
			if Silent(ctx) {
				return nil
			}
			return inner.Handle(ctx, events)
		},
	}
}

// InTransaction returns a handler like inner that is only called with the context of
// [Transactor.Transact]. It is for packages that implement Transactor.
func InTransaction(inner Handler) Handler {
	if isNil(inner) {
		return &handler{err: misconfigured("handler of InTransaction is nil")}
	}
	return &handler{types: typesOf(inner), transactional: true, err: handlerErr(inner), handle: inner.Handle}
}

// handler is a Handler made of a function.
type handler struct {
	handle        func(ctx context.Context, events []eventsource.Event) error
	types         []string
	transactional bool
	err           error
}

func (h *handler) Handle(ctx context.Context, events []eventsource.Event) error {
	if h.err != nil {
		return h.err
	}
	return h.handle(ctx, events)
}

func (h *handler) EventTypes() []string { return slices.Clone(h.types) }
func (h *handler) Transactional() bool  { return h.transactional }
func (h *handler) Err() error           { return h.err }

// handlerErr is what was wrong when a handler of this package was made.
func handlerErr(h Handler) error {
	if h, ok := h.(*handler); ok {
		return h.err
	}
	return nil
}

// typesOf gives the types that a handler asks for, sorted, each once; none for all.
func typesOf(h Handler) []string {
	typed, ok := h.(Typed)
	if !ok {
		return nil
	}
	types := slices.Clone(typed.EventTypes())
	slices.Sort(types)
	return slices.Compact(types)
}

func isTransactional(h Handler) bool {
	t, ok := h.(Transactional)
	return ok && t.Transactional()
}

func typeNames(events []eventsource.Event) ([]string, error) {
	names := make([]string, 0, len(events))
	for i, event := range events {
		if v := reflect.ValueOf(event); v.IsValid() && v.Kind() == reflect.Pointer && v.IsNil() {
			event, _ = reflect.New(v.Type().Elem()).Interface().(eventsource.Event)
		}
		name := eventsource.EventType(event)
		if name == "" {
			return nil, misconfigured("event type %d is nil or has no name", i+1)
		}
		names = append(names, name)
	}
	return names, nil
}

func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return r.IsNil()
	default:
		return false
	}
}

// call calls the handler and turns a panic into an error.
func call(ctx context.Context, h Handler, events []eventsource.Event) error {
	return recovered(func() error { return h.Handle(ctx, events) })
}

// recovered calls a function of the application and turns a panic into an error.
func recovered(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	return f()
}
