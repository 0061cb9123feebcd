// Package middleware has middleware for stores: [Logging] and [Retry]. Package otel has
// that for OpenTelemetry. [eventsource.Wrap] puts them around a store, and
// [eventsource.Intercept] makes others.
package middleware
