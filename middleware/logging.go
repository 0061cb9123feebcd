package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/failures"
)

// LoggingOption is an option of [Logging].
type LoggingOption func(*logging)

// WithLevel sets the level at which a call is logged; err is what it returned. It must
// be safe for concurrent use. Defaults to [Level].
func WithLevel(level func(call *eventsource.Call, err error) slog.Level) LoggingOption {
	return func(l *logging) {
		if level != nil {
			l.level = level
		}
	}
}

// Level is the level at which a call is logged unless [WithLevel] says otherwise:
//
//   - Debug if there was no error, and for what belongs to normal work: conflicts, values
//     that are taken, contexts that have ended.
//   - Warn for what the caller has to change, such as invalid events.
//   - Error for anything else, which is the store's, and for [eventsource.ErrOutcomeUnknown].
func Level(_ *eventsource.Call, err error) slog.Level {
	switch {
	case err == nil || failures.Expected(err):
		return slog.LevelDebug
	case failures.Kind(err) == "" || failures.Kind(err) == "outcome_unknown":
		return slog.LevelError
	}
	return slog.LevelWarn
}

type logging struct {
	logger *slog.Logger
	level  func(*eventsource.Call, error) slog.Level
}

// Logging returns a middleware that logs each call when it has ended: operation,
// duration, events, and error, if there was one. Events is how many events were to be
// stored, or were read; see [eventsource.Call]. A query lasts as long as the caller's loop
// does. Errors name aggregates by their IDs; nothing else of what events contain is
// logged: for invalid events, and values that are taken, that includes the details of the
// error. The context is handed to the logger.
//
// A nil logger is [eventsource.ErrMisconfigured].
func Logging(logger *slog.Logger, opts ...LoggingOption) eventsource.Middleware {
	if logger == nil {
		return eventsource.Misconfigured(fmt.Errorf("%w: logger is nil", eventsource.ErrMisconfigured))
	}
	l := logging{logger: logger, level: Level}
	for _, opt := range opts {
		if opt != nil {
			opt(&l)
		}
	}
	return eventsource.Intercept(l.intercept)
}

func (l *logging) intercept(ctx context.Context, call *eventsource.Call, next func(ctx context.Context) error) error {
	began := time.Now()
	err := next(ctx)
	duration := time.Since(began)
	level := l.level(call, err)
	if !l.logger.Enabled(ctx, level) {
		return err
	}
	attributes := []slog.Attr{
		slog.String("operation", string(call.Operation)),
		slog.Duration("duration", duration),
		slog.Int("events", call.Events),
	}
	message := "eventsource: store call"
	if err != nil {
		message = "eventsource: store call failed"
		attributes = append(attributes, slog.String("error", failures.Text(err)))
	}
	l.logger.LogAttrs(ctx, level, message, attributes...)
	return err
}
