package eventsource_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

func TestSave_gives_events_their_sequence_ID_version_and_timestamp(t *testing.T) {
	now := time.Date(2025, 5, 6, 7, 8, 9, 10, time.UTC)
	for name, store := range map[string]eventsource.Store{
		"all interfaces": memstore.New(memstore.WithClock(func() time.Time { return now })),
		"only Store":     plain{memstore.New(memstore.WithClock(func() time.Time { return now }))},
	} {
		t.Run(name, func(t *testing.T) {
			repo := eventsource.NewRepository(store, accounts())
			opened, deposited, other := &Opened{BaseEvent: of("a")}, deposit("a", 1), deposit("b", 2)
			other.Timestamp = 42
			mustSave(t, repo, opened, deposited, other)

			if opened.Version != 1 || deposited.Version != 2 || other.Version != 1 {
				t.Errorf("versions are %d, %d, %d, want 1, 2, 1", opened.Version, deposited.Version, other.Version)
			}
			ids := []string{"", opened.SequenceID, deposited.SequenceID, other.SequenceID}
			if !slices.IsSorted(ids) || len(slices.Compact(ids)) != 4 || len(opened.SequenceID) != 26 {
				t.Errorf("sequence IDs are not ascending: %q", ids)
			}
			if opened.Timestamp != now.UnixNano() {
				t.Errorf("timestamp is %d, want the clock's %d", opened.Timestamp, now.UnixNano())
			}
			if other.Timestamp != 42 {
				t.Errorf("timestamp is %d, want the event's own, 42", other.Timestamp)
			}
		})
	}
}

func TestSave_of_no_events_does_nothing(t *testing.T) {
	repo := eventsource.NewRepository(brokenAppender{broken{errFake}}, accounts(),
		eventsource.WithObserver(func(context.Context, []eventsource.Event) error {
			t.Error("an observer was called")
			return nil
		}))
	if err := repo.Save(t.Context()); err != nil {
		t.Error(err)
	}
}

type unregistered struct{ eventsource.BaseEvent }

func TestSave_refuses_an_event_that_cannot_be_stored_with_all_that_came_with_it(t *testing.T) {
	var nilPointer *Opened
	for name, test := range map[string]struct {
		event    eventsource.Event
		want     error
		mentions []string
	}{
		"a nil event":                       {nil, eventsource.ErrInvalidEvent, []string{"nil", "event 2 of 3"}},
		"a nil pointer":                     {nilPointer, eventsource.ErrInvalidEvent, []string{"*eventsource_test.Opened", "event 2 of 3"}},
		"an empty aggregate ID":             {&Opened{}, eventsource.ErrInvalidEvent, []string{"*eventsource_test.Opened", "empty aggregate ID", "event 2 of 3"}},
		"a nil BaseEvent":                   {byValue{}, eventsource.ErrInvalidEvent, []string{"byValue", "empty aggregate ID"}},
		"a pointer to one of nil BaseEvent": {&byValue{}, eventsource.ErrInvalidEvent, []string{"byValue", "empty aggregate ID"}},
		"a type that is not registered":     {&unregistered{of("a")}, eventsource.ErrUnknownType, []string{`"unregistered"`}},
		"a negative version":                {&Opened{BaseEvent: eventsource.BaseEvent{AggregateID: "a", Version: -1}}, eventsource.ErrInvalidEvent, []string{"-1"}},
		"text that is not UTF-8":            {&Opened{BaseEvent: of("\xff")}, eventsource.ErrInvalidEvent, []string{`"\xff"`}},
		"a version that is taken":           {&Opened{BaseEvent: eventsource.BaseEvent{AggregateID: "a", Version: 1}}, eventsource.ErrConflict, []string{`"a"`}},
	} {
		t.Run(name, func(t *testing.T) {
			onEachKind(t, func(t *testing.T, store eventsource.Store) {
				repo := eventsource.NewRepository(store, accounts())
				before, after := deposit("a", 1), deposit("a", 2)
				err := repo.Save(t.Context(), before, test.event, after)
				wantError(t, err, test.want, test.mentions...)
				wantEmpty(t, store)
				if diff := cmp.Diff([]*Deposited{deposit("a", 1), deposit("a", 2)}, []*Deposited{before, after}); diff != "" {
					t.Errorf("the other events were changed:\n%s", diff)
				}
				_, err = repo.SaveTransaction(t.Context(), before, test.event, after)
				wantError(t, err, test.want, test.mentions...)
			})
		})
	}
}

func TestSave_names_the_version_of_a_conflict(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, accounts())
		mustSave(t, repo, deposit("a", 1), deposit("a", 2))
		stale := deposit("a", 3)
		stale.Version = 2
		err := repo.Save(t.Context(), stale)
		var conflict *eventsource.ConflictError
		if !errors.As(err, &conflict) || *conflict != (eventsource.ConflictError{AggregateID: "a", Expected: 2, Actual: 2}) {
			t.Errorf("error is %v", err)
		}
		stale.Version = 3
		mustSave(t, repo, stale)
	})
}

func TestSave_of_an_event_that_was_saved_before_is_a_conflict(t *testing.T) {
	repo := newAccounts()
	event := deposit("a", 1)
	mustSave(t, repo, event)
	wantError(t, repo.Save(t.Context(), event), eventsource.ErrConflict)
}

func TestSave_passes_errors_of_the_store_and_leaves_the_events_unchanged(t *testing.T) {
	unknown := &eventsource.OutcomeUnknownError{AggregateIDs: []string{"a"}, Err: errFake}
	for _, cause := range []error{errFake, unknown} {
		rollbacks := 0
		for name, store := range map[string]eventsource.Store{
			"begin":  broken{cause},
			"append": brokenAppender{broken{cause}},
			"commit": brokenAtCommit{plain{memstore.New()}, cause, &rollbacks},
		} {
			t.Run(name, func(t *testing.T) {
				repo := eventsource.NewRepository(store, accounts(),
					eventsource.WithObserver(func(context.Context, []eventsource.Event) error {
						t.Error("an observer was called")
						return nil
					}))
				event := deposit("a", 1)
				ctx := eventsource.WithCorrelationID(t.Context(), "c")
				err := repo.Save(ctx, event)
				wantError(t, err, errFake)
				if errors.Is(cause, eventsource.ErrOutcomeUnknown) {
					wantError(t, err, eventsource.ErrOutcomeUnknown)
				}
				if diff := cmp.Diff(deposit("a", 1), event); diff != "" {
					t.Errorf("the event was changed:\n%s", diff)
				}
			})
		}
		if rollbacks != 1 {
			t.Errorf("a transaction whose Commit failed was rolled back %d times, want once", rollbacks)
		}
	}
}

func TestSave_passes_errors_of_the_serializer(t *testing.T) {
	repo := eventsource.NewRepository(memstore.New(), &serializer{
		marshal: func(eventsource.Event) ([]byte, error) { return nil, errFake },
	})
	wantError(t, repo.Save(t.Context(), deposit("a", 1)), errFake)
}

func TestSave_ends_with_its_context(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := eventsource.NewRepository(store, accounts()).Save(ctx, deposit("a", 1))
		wantError(t, err, context.Canceled)
		wantEmpty(t, store)
	})
}

func TestSaveTransaction_shows_events_and_gives_them_their_place_at_Commit(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		observed := 0
		repo := eventsource.NewRepository(store, accounts(),
			eventsource.WithObserver(func(context.Context, []eventsource.Event) error { observed++; return nil }))
		event := deposit("a", 1)
		given := []eventsource.Event{event}
		tx, err := repo.SaveTransaction(t.Context(), given...)
		if err != nil {
			t.Fatal(err)
		}
		wantEmpty(t, store)
		if diff := cmp.Diff(deposit("a", 1), event); diff != "" || observed != 0 {
			t.Errorf("before Commit %d saves were observed, and the event was changed:\n%s", observed, diff)
		}
		given[0] = nil // the transaction does not keep the caller's slice
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if got := tx.Records()[0]; event.Version != 1 || event.SequenceID != got.SequenceID || event.Timestamp != got.Timestamp || observed != 1 {
			t.Errorf("after Commit %d saves were observed, the event is %+v, its record %+v", observed, event, got)
		}
		wantError(t, tx.Commit(), eventsource.ErrTransactionDone)
		wantError(t, tx.Rollback(), eventsource.ErrTransactionDone)
		if observed != 1 {
			t.Error("a second Commit was observed")
		}
	})
}

func TestSaveTransaction_forgets_the_events_at_Rollback(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		event := deposit("a", 1)
		tx, err := eventsource.NewRepository(store, accounts()).SaveTransaction(t.Context(), event)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		wantError(t, tx.Commit(), eventsource.ErrTransactionDone)
		wantEmpty(t, store)
		if diff := cmp.Diff(deposit("a", 1), event); diff != "" {
			t.Errorf("the event was changed:\n%s", diff)
		}
	})
}

func TestSaveTransaction_without_events_is_valid(t *testing.T) {
	tx, err := newAccounts().SaveTransaction(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil || len(tx.Records()) != 0 {
		t.Errorf("%d records, error %v", len(tx.Records()), err)
	}
}

func TestSaveTransaction_whose_Commit_fails_leaves_the_events_unchanged(t *testing.T) {
	rollbacks := 0
	for name, test := range map[string]struct {
		store eventsource.Store
		want  error
	}{
		"because the store fails":     {brokenAtCommit{plain{memstore.New()}, errFake, &rollbacks}, errFake},
		"because another came before": {memstore.New(), eventsource.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			repo := eventsource.NewRepository(test.store, accounts())
			event, want := deposit("a", 1), deposit("a", 1)
			event.Version, want.Version = 1, 1
			tx, err := repo.SaveTransaction(t.Context(), event)
			if err != nil {
				t.Fatal(err)
			}
			_ = repo.Save(t.Context(), deposit("a", 2))
			wantError(t, tx.Commit(), test.want)
			if diff := cmp.Diff(want, event); diff != "" {
				t.Errorf("the event was changed:\n%s", diff)
			}
		})
	}
}

func TestSaveTransaction_passes_errors_of_the_store(t *testing.T) {
	_, err := eventsource.NewRepository(broken{errFake}, accounts()).SaveTransaction(t.Context(), deposit("a", 1))
	wantError(t, err, errFake)
}

func TestSaveTransaction_unwraps_to_the_transaction_of_the_store(t *testing.T) {
	rollbacks := 0
	repo := eventsource.NewRepository(brokenAtCommit{plain{memstore.New()}, errFake, &rollbacks}, accounts())
	tx, err := repo.SaveTransaction(t.Context(), deposit("a", 1))
	if err != nil {
		t.Fatal(err)
	}
	unwrapped := tx.(interface {
		Unwrap() eventsource.StoreTransaction
	}).Unwrap()
	if _, ok := unwrapped.(brokenTransaction); !ok {
		t.Errorf("it unwraps to a %T", unwrapped)
	}
}

// byValue and nestedPointer are events as they are, the others are pointers.
type byValue struct {
	*eventsource.BaseEvent
	Note string `json:"note"`
}

// Envelope is what the events of one application have in common.
type Envelope struct {
	eventsource.BaseEvent
	Tenant string `json:"tenant"`
}

type nested struct {
	Envelope
	Note string `json:"note"`
}

type nestedPointer struct {
	*Envelope
	Note string `json:"note"`
}

type pointerToPointer struct {
	*eventsource.BaseEvent
	Note string `json:"note"`
}

// bare is no more than an Event, and brings all of it along in its data.
type bare struct {
	ID   string `json:"id"`
	User string `json:"user"`
	Seq  string `json:"-"`
	At   int64  `json:"-"`
}

func (e *bare) GetAggregateID() string  { return e.ID }
func (e *bare) GetUserID() string       { return e.User }
func (e *bare) GetSequenceID() string   { return e.Seq }
func (e *bare) GetTimestamp() int64     { return e.At }
func (e *bare) SetSequenceID(id string) { e.Seq = id }
func (e *bare) SetTimestamp(ns int64)   { e.At = ns }

func TestEvents_of_every_shape_come_back_as_they_were_saved(t *testing.T) {
	base := func(id string) eventsource.BaseEvent {
		return eventsource.BaseEvent{AggregateID: id, UserID: "ann", Metadata: eventsource.Metadata{"k": "v"}}
	}
	pointer := func(id string) *eventsource.BaseEvent { b := base(id); return &b }
	events := []eventsource.Event{
		&Opened{BaseEvent: base("a"), Owner: "Ann"},
		byValue{BaseEvent: pointer("b"), Note: "x"},
		&nested{Envelope: Envelope{BaseEvent: base("c"), Tenant: "acme"}, Note: "x"},
		nestedPointer{Envelope: &Envelope{BaseEvent: base("d"), Tenant: "acme"}, Note: "x"},
		&pointerToPointer{BaseEvent: pointer("e"), Note: "x"},
		&bare{ID: "f", User: "ann"},
		&Renamed{BaseEvent: base("g"), To: "h"},
	}
	s := json.NewSerializer(&Opened{}, byValue{}, (*nested)(nil), nestedPointer{}, &pointerToPointer{}, &bare{}, &Renamed{})
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, s)
		mustSave(t, repo, events...)
		got, err := repo.GetEventsBySequenceID(t.Context(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(events, got, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
			t.Errorf("(-saved +loaded)\n%s", diff)
		}
		for i, event := range events {
			if event.GetSequenceID() == "" || event.GetTimestamp() == 0 || event.GetUserID() != "ann" {
				t.Errorf("event %d is %+v", i, event)
			}
			if v, ok := event.(eventsource.Versioned); ok {
				if v.GetVersion() != 1 {
					t.Errorf("event %d has version %d", i, v.GetVersion())
				}
				v.SetVersion(0) // for the other store
			}
		}
		// Without a version, to the end of its aggregate.
		mustSave(t, repo, &bare{ID: "f"})
		records, err := store.LoadByAggregate(t.Context(), "f")
		if err != nil || len(records) != 2 || records[1].Version != 2 {
			t.Errorf("records are %+v, error %v", records, err)
		}
	})
}

func TestMetadata_of_the_context_and_of_the_event_are_stored_together(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		var observed eventsource.Metadata
		repo := eventsource.NewRepository(store, json.NewSerializer(&Deposited{}, &bare{}),
			eventsource.WithObserver(func(_ context.Context, events []eventsource.Event) error {
				observed = events[0].(*Deposited).Metadata
				return nil
			}))
		ofContext := eventsource.Metadata{"who": "context", "tenant": "acme"}
		ofEvent := eventsource.Metadata{"who": "event"}
		ctx := eventsource.WithMetadata(t.Context(), ofContext)
		event := deposit("a", 1)
		event.Metadata = ofEvent
		if err := repo.Save(ctx, event, &bare{ID: "b"}); err != nil {
			t.Fatal(err)
		}

		want := eventsource.Metadata{"who": "event", "tenant": "acme"}
		records, err := store.LoadBySequenceID(ctx, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		for what, got := range map[string]eventsource.Metadata{
			"the event's": event.Metadata, "the record's": records[0].Metadata, "the observer's": observed,
		} {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s metadata (-want +got)\n%s", what, diff)
			}
		}
		if diff := cmp.Diff(ofContext, records[1].Metadata); diff != "" {
			t.Errorf("metadata of an event that carries none\n%s", diff)
		}

		// No map is shared with the caller's.
		event.Metadata["new"] = "x"
		if len(ofEvent) != 1 || len(ofContext) != 2 || len(eventsource.MetadataFromContext(ctx)) != 2 {
			t.Errorf("the caller's maps were changed: %v, %v", ofEvent, ofContext)
		}
		if records, _ = store.LoadBySequenceID(ctx, "", 0); len(records[0].Metadata) != 2 {
			t.Errorf("what is stored was changed: %v", records[0].Metadata)
		}
	})
}

func TestObservers_are_told_of_committed_saves_in_order(t *testing.T) {
	type key struct{}
	var calls []string
	observer := func(name string) eventsource.RepositoryOption {
		return eventsource.WithObserver(func(ctx context.Context, events []eventsource.Event) error {
			calls = append(calls, name, ctx.Value(key{}).(string), events[0].GetSequenceID())
			return nil
		})
	}
	repo := newAccounts(observer("first"), nil, eventsource.WithObserver(nil), observer("second"))
	event := deposit("a", 1)
	if err := repo.Save(context.WithValue(t.Context(), key{}, "ctx"), event); err != nil {
		t.Fatal(err)
	}
	want := []string{"first", "ctx", event.SequenceID, "second", "ctx", event.SequenceID}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Error(diff)
	}
}

func TestObservers_that_fail_or_panic_are_logged_and_undo_nothing(t *testing.T) {
	for _, commit := range []string{"Save", "SaveTransaction"} {
		t.Run(commit, func(t *testing.T) {
			var log bytes.Buffer
			reached := false
			store := memstore.New()
			repo := eventsource.NewRepository(store, accounts(),
				eventsource.WithLogger(slog.New(slog.NewTextHandler(&log, nil))), eventsource.WithLogger(nil),
				eventsource.WithObserver(func(context.Context, []eventsource.Event) error { return errFake }),
				eventsource.WithObserver(func(context.Context, []eventsource.Event) error { panic("oh no") }),
				eventsource.WithObserver(func(context.Context, []eventsource.Event) error { reached = true; return nil }))

			event := deposit("a", 1)
			if commit == "Save" {
				mustSave(t, repo, event)
			} else {
				tx, err := repo.SaveTransaction(t.Context(), event)
				if err != nil {
					t.Fatal(err)
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
			}
			if records, err := store.LoadByAggregate(t.Context(), "a"); err != nil || len(records) != 1 || event.Version != 1 {
				t.Errorf("%d records, error %v, event %+v", len(records), err, event)
			}
			if !reached {
				t.Error("the observer after those that failed was not called")
			}
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			if len(lines) != 2 || !strings.Contains(lines[0], errFake.Error()) || !strings.Contains(lines[1], "panic: oh no") ||
				!strings.Contains(lines[0], "level=ERROR") || !strings.Contains(lines[0], "events=1") {
				t.Errorf("log is\n%s", &log)
			}
		})
	}
}

// An observer may tell others, who must not be told of what never was.
func TestObservers_are_told_of_a_transaction_once_and_only_when_it_was_committed(t *testing.T) {
	for name, test := range map[string]struct {
		store eventsource.Store
		end   func(tx eventsource.StoreTransaction, cancel func()) error
		want  error
		told  int
	}{
		"Commit, and once more": {memstore.New(), func(tx eventsource.StoreTransaction, _ func()) error {
			if err := tx.Commit(); err != nil {
				return err
			}
			return tx.Commit()
		}, eventsource.ErrTransactionDone, 1},
		"Commit, then a deferred Rollback": {memstore.New(), func(tx eventsource.StoreTransaction, _ func()) error {
			if err := tx.Commit(); err != nil {
				return err
			}
			return tx.Rollback()
		}, eventsource.ErrTransactionDone, 1},
		"Commit through middleware": {eventsource.Wrap(memstore.New(), eventsource.Intercept(passOn)), func(tx eventsource.StoreTransaction, _ func()) error {
			return tx.Commit()
		}, nil, 1},
		"Rollback": {memstore.New(), func(tx eventsource.StoreTransaction, _ func()) error { return tx.Rollback() }, nil, 0},
		"a Commit that fails": {brokenAtCommit{plain{memstore.New()}, errFake, new(int)}, func(tx eventsource.StoreTransaction, _ func()) error {
			return tx.Commit()
		}, errFake, 0},
		"a context that ends before": {memstore.New(), func(tx eventsource.StoreTransaction, cancel func()) error {
			cancel()
			return tx.Commit()
		}, context.Canceled, 0},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			told := 0
			repo := eventsource.NewRepository(test.store, accounts(),
				eventsource.WithObserver(func(context.Context, []eventsource.Event) error { told++; return nil }))
			tx, err := repo.SaveTransaction(ctx, deposit("a", 1))
			if err != nil {
				t.Fatal(err)
			}
			if told != 0 {
				t.Error("the observer was told before Commit")
			}
			if err := test.end(tx, cancel); !errors.Is(err, test.want) {
				t.Errorf("error is %v, want %v", err, test.want)
			}
			if told != test.told {
				t.Errorf("the observer was told %d times, want %d", told, test.told)
			}
		})
	}
}

func TestNewRepository_with_arguments_that_cannot_be_makes_every_method_say_so(t *testing.T) {
	var (
		nilStore      *memstore.Store
		nilSerializer *json.Serializer
	)
	for name, test := range map[string]struct {
		store      eventsource.Store
		serializer eventsource.Serializer
		want       error
		mentions   string
	}{
		"a nil store":                   {nil, accounts(), eventsource.ErrMisconfigured, "store is nil"},
		"a nil pointer to a store":      {nilStore, accounts(), eventsource.ErrMisconfigured, "store is nil"},
		"a nil serializer":              {memstore.New(), nil, eventsource.ErrMisconfigured, "serializer is nil"},
		"a nil pointer to a serializer": {memstore.New(), nilSerializer, eventsource.ErrMisconfigured, "serializer is nil"},
		"a broken serializer":           {memstore.New(), &serializer{err: errFake}, errFake, ""},
		"a zero serializer":             {memstore.New(), &json.Serializer{}, eventsource.ErrMisconfigured, "NewSerializer"},
		"two types of one name":         {memstore.New(), json.NewSerializer(&Opened{}, &Opened{}), eventsource.ErrMisconfigured, `"Opened"`},
		"a broken store":                {misconfiguredStore{}, accounts(), errFake, ""},
	} {
		t.Run(name, func(t *testing.T) {
			repo := eventsource.NewRepository(test.store, test.serializer)
			ctx := t.Context()
			wantError(t, repo.Save(ctx), test.want, test.mentions)
			wantError(t, repo.Save(ctx, deposit("a", 1)), test.want)
			_, err := repo.SaveTransaction(ctx)
			wantError(t, err, test.want)
			_, err = repo.Load(ctx, "a", &Account{})
			wantError(t, err, test.want)
			_, err = repo.GetEventsBySequenceID(ctx, "", 0)
			wantError(t, err, test.want)
			_, err = repo.GetEventsBySequenceIDAndType(ctx, "", &Opened{}, 0)
			wantError(t, err, test.want)
			_, err = repo.GetEventsByTimestamp(ctx, 0, 0)
			wantError(t, err, test.want)
			_, errs := collect(repo.Events(ctx, eventsource.Query{}))
			if len(errs) != 1 {
				t.Fatalf("errors are %v, want one", errs)
			}
			wantError(t, errs[0], test.want)
		})
	}
}

type misconfiguredStore struct{ plain }

func (misconfiguredStore) Err() error { return errFake }
