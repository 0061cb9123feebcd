package eventsource

import "context"

// WithAbilities returns a store that has the optional interfaces whose bits are set,
// and no others, on one that has at least those.
func WithAbilities(store Store, has int) Store {
	passOn := func(ctx context.Context, _ *Call, next func(context.Context) error) error { return next(ctx) }
	return (&intercepted{store: store, intercept: passOn}).exactly(has)
}
