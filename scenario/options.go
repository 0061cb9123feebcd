package scenario

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

// Option is an option of [New], [NewFunc] and [NewProjection].
type Option func(*config)

// config is what the options set.
type config struct {
	ctx        context.Context
	serializer eventsource.Serializer
	cmp        []cmp.Option
	projection []projection.Option
	err        error
}

// WithContext sets the context of Handle, On and the projection's handlers. Defaults to
// the Context of the test.
func WithContext(ctx context.Context) Option {
	return func(c *config) {
		if ctx == nil {
			c.misconfigured("the context is nil")
			return
		}
		c.ctx = ctx
	}
}

// WithSerializer has every event, given or decided, written and read again before it is
// applied or handled. An event that is not the same after that, or cannot be written or
// read, fails the test: a field that has no place in the JSON, a type that is not
// registered, a struct that comes back as a pointer. Defaults to none: events are applied
// as they are.
func WithSerializer(serializer eventsource.Serializer) Option {
	return func(c *config) {
		if isNil(serializer) {
			c.misconfigured("the serializer is nil")
			return
		}
		c.serializer = serializer
	}
}

// WithCmp adds options to the comparison of events and states, such as
// cmpopts.EquateEmpty() and cmpopts.EquateApproxTime(time.Second). Defaults to none.
func WithCmp(opts ...cmp.Option) Option {
	return func(c *config) { c.cmp = append(c.cmp, opts...) }
}

// IgnoreFields leaves fields of a struct out of the comparison, such as an ID that is
// random. The struct, or a pointer to it, says which type; its value does not matter. A
// name may be a path: "Address.City". Defaults to none.
func IgnoreFields(of any, names ...string) Option {
	return func(c *config) {
		t := reflect.TypeOf(of)
		for t != nil && t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t == nil || t.Kind() != reflect.Struct {
			c.misconfigured("fields of a %T cannot be ignored, since it is no struct", of)
			return
		}
		defer func() {
			if p := recover(); p != nil { // there is no such field
				c.misconfigured("fields %q of %v cannot be ignored: %v", names, t, p)
			}
		}()
		c.cmp = append(c.cmp, cmpopts.IgnoreFields(reflect.New(t).Elem().Interface(), names...))
	}
}

// WithProjection adds options to the projection that [NewProjection] runs, such as the
// checkpoints of a handler that works in their transaction. Defaults to checkpoints in
// memory, one try of each event and no logs.
func WithProjection(opts ...projection.Option) Option {
	return func(c *config) { c.projection = append(c.projection, opts...) }
}

func (c *config) misconfigured(format string, args ...any) {
	c.err = errors.Join(c.err, fmt.Errorf("%w: "+format, append([]any{eventsource.ErrMisconfigured}, args...)...))
}
