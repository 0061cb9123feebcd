package eventsource

import (
	"context"
	"maps"
)

// Keys of [Metadata] with a meaning that the field agrees on.
const (
	// MetadataCorrelationID is the key of the ID that all events have in common
	// which one request or one process caused, directly or not.
	MetadataCorrelationID = "correlation_id"
	// MetadataCausationID is the key of the ID of the command or event that
	// directly caused the event.
	MetadataCausationID = "causation_id"
)

// Metadata is what is stored beside an event without being part of it. Keys and
// values are free text, in UTF-8 and without NUL characters. An event without
// metadata comes back with a nil map.
type Metadata map[string]string

// CorrelationID returns the value of [MetadataCorrelationID], "" if it is not set.
func (m Metadata) CorrelationID() string { return m[MetadataCorrelationID] }

// CausationID returns the value of [MetadataCausationID], "" if it is not set.
func (m Metadata) CausationID() string { return m[MetadataCausationID] }

type metadataKey struct{}

// WithMetadata returns a context whose saves add m to the metadata of every
// event. Keys that the context already has are replaced; keys that an event
// itself has win over the context's. The map is copied.
func WithMetadata(ctx context.Context, m Metadata) context.Context {
	return context.WithValue(ctx, metadataKey{}, mergeMetadata(contextMetadata(ctx), m))
}

// WithCorrelationID returns a context whose saves give events this correlation ID.
func WithCorrelationID(ctx context.Context, id string) context.Context {
	return WithMetadata(ctx, Metadata{MetadataCorrelationID: id})
}

// WithCausationID returns a context whose saves give events this causation ID.
func WithCausationID(ctx context.Context, id string) context.Context {
	return WithMetadata(ctx, Metadata{MetadataCausationID: id})
}

// MetadataFromContext returns a copy of the metadata that saves with this
// context add to their events, nil if there is none.
func MetadataFromContext(ctx context.Context) Metadata {
	return maps.Clone(contextMetadata(ctx))
}

func contextMetadata(ctx context.Context) Metadata {
	m, _ := ctx.Value(metadataKey{}).(Metadata)
	return m
}

// mergeMetadata returns a new map with the keys of both, where those of over
// win; nil if there are none.
func mergeMetadata(under, over Metadata) Metadata {
	if len(under)+len(over) == 0 {
		return nil
	}
	merged := make(Metadata, len(under)+len(over))
	maps.Copy(merged, under)
	maps.Copy(merged, over)
	return merged
}
