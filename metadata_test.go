package eventsource_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
)

func TestMetadata_knows_correlation_and_causation_IDs(t *testing.T) {
	m := eventsource.Metadata{"correlation_id": "co", "causation_id": "ca"}
	if m.CorrelationID() != "co" || m.CausationID() != "ca" {
		t.Errorf("IDs are %q and %q", m.CorrelationID(), m.CausationID())
	}
	var none eventsource.Metadata
	if none.CorrelationID() != "" || none.CausationID() != "" {
		t.Error("a nil map has IDs")
	}
}

func TestWithMetadata_adds_to_what_the_context_has(t *testing.T) {
	outer := eventsource.WithMetadata(context.Background(), eventsource.Metadata{"a": "1", "b": "1"})
	inner := eventsource.WithMetadata(outer, eventsource.Metadata{"b": "2", "c": "2"})
	inner = eventsource.WithCorrelationID(inner, "co")
	inner = eventsource.WithCausationID(inner, "ca")
	inner = eventsource.WithMetadata(inner, nil)

	want := eventsource.Metadata{"a": "1", "b": "2", "c": "2", "correlation_id": "co", "causation_id": "ca"}
	if diff := cmp.Diff(want, eventsource.MetadataFromContext(inner)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(eventsource.Metadata{"a": "1", "b": "1"}, eventsource.MetadataFromContext(outer)); diff != "" {
		t.Errorf("the outer context was changed\n%s", diff)
	}
}

func TestWithMetadata_shares_no_map(t *testing.T) {
	m := eventsource.Metadata{"a": "1"}
	ctx := eventsource.WithMetadata(context.Background(), m)
	m["a"] = "changed"
	eventsource.MetadataFromContext(ctx)["a"] = "changed"
	if got := eventsource.MetadataFromContext(ctx)["a"]; got != "1" {
		t.Errorf("the context's metadata was %s", got)
	}
}

func TestMetadataFromContext_is_nil_where_there_is_none(t *testing.T) {
	for _, ctx := range []context.Context{
		context.Background(), eventsource.WithMetadata(context.Background(), eventsource.Metadata{}),
	} {
		if m := eventsource.MetadataFromContext(ctx); m != nil {
			t.Errorf("metadata is %v", m)
		}
	}
}
