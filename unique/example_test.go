package unique_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
	"github.com/eventsource-go/eventsource/unique"
)

var emails = unique.NewScope("email", unique.WithNormalize(strings.ToLower))

// Registered takes the address, or is not stored.
type Registered struct {
	eventsource.BaseEvent
	Email string
}

func (e *Registered) Reservations() []eventsource.Reservation {
	return []eventsource.Reservation{emails.Reserve(e.Email)}
}

// EmailChanged gives one address back and takes another.
type EmailChanged struct {
	eventsource.BaseEvent
	From, To string
}

func (e *EmailChanged) Reservations() []eventsource.Reservation {
	return emails.Move(e.From, e.To)
}

// Deleted gives the address back: nothing else does when an aggregate is deleted.
type Deleted struct {
	eventsource.BaseEvent
	Email string
}

func (e *Deleted) Reservations() []eventsource.Reservation {
	return []eventsource.Reservation{emails.Release(e.Email)}
}

func of(aggregateID string) eventsource.BaseEvent {
	return eventsource.BaseEvent{AggregateID: aggregateID}
}

func ExampleScope() {
	ctx := context.Background()
	repo := eventsource.NewRepository(memstore.New(), json.NewSerializer(&Registered{}))

	err := repo.Save(ctx, &Registered{BaseEvent: of("user 1"), Email: "ann@example.com"})
	fmt.Println("user 1:", err)

	err = repo.Save(ctx, &Registered{BaseEvent: of("user 2"), Email: "Ann@Example.com"})
	var taken *eventsource.TakenError
	if errors.As(err, &taken) {
		fmt.Printf("user 2: %s is taken by %s\n", taken.Value, taken.Holder)
	}
	// Output:
	// user 1: <nil>
	// user 2: ann@example.com is taken by user 1
}

func ExampleScope_Move() {
	ctx := context.Background()
	store := memstore.New()
	repo := eventsource.NewRepository(store, json.NewSerializer(&Registered{}, &EmailChanged{}))

	err := repo.Save(ctx,
		&Registered{BaseEvent: of("user 1"), Email: "ann@example.com"},
		&EmailChanged{BaseEvent: of("user 1"), From: "ann@example.com", To: "ann@example.org"},
	)
	fmt.Println(err)
	for _, address := range []string{"ann@example.com", "ann@example.org"} {
		holder, err := emails.Holder(ctx, store, address)
		fmt.Printf("%s: %q %v\n", address, holder.AggregateID, err)
	}
	// Output:
	// <nil>
	// ann@example.com: "" <nil>
	// ann@example.org: "user 1" <nil>
}

func ExampleScope_Release() {
	ctx := context.Background()
	repo := eventsource.NewRepository(memstore.New(), json.NewSerializer(&Registered{}, &Deleted{}))

	fmt.Println(repo.Save(ctx, &Registered{BaseEvent: of("user 1"), Email: "ann@example.com"}))
	fmt.Println(repo.Save(ctx, &Deleted{BaseEvent: of("user 1"), Email: "ann@example.com"}))
	fmt.Println(repo.Save(ctx, &Registered{BaseEvent: of("user 2"), Email: "ann@example.com"}))
	// Output:
	// <nil>
	// <nil>
	// <nil>
}

var seats = unique.NewScope("seat")

// SeatHeld keeps a seat for as long as it takes to pay.
type SeatHeld struct {
	eventsource.BaseEvent
	Seat  string
	Until time.Time
}

func (e *SeatHeld) Reservations() []eventsource.Reservation {
	return []eventsource.Reservation{seats.ReserveUntil(e.Seat, e.Until)}
}

func ExampleScope_ReserveUntil() {
	ctx := context.Background()
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	store := memstore.New(memstore.WithClock(func() time.Time { return now }))
	repo := eventsource.NewRepository(store, json.NewSerializer(&SeatHeld{}))

	hold := func(order string) error {
		return repo.Save(ctx, &SeatHeld{BaseEvent: of(order), Seat: "12A", Until: now.Add(10 * time.Minute)})
	}
	fmt.Println(hold("order 1"))
	fmt.Println(errors.Is(hold("order 2"), eventsource.ErrTaken))
	now = now.Add(10 * time.Minute)
	fmt.Println(hold("order 2"))
	// Output:
	// <nil>
	// true
	// <nil>
}

func ExampleScope_Holder() {
	ctx := context.Background()
	store := memstore.New()
	repo := eventsource.NewRepository(store, json.NewSerializer(&Registered{}))
	if err := repo.Save(ctx, &Registered{BaseEvent: of("user 1"), Email: "ann@example.com"}); err != nil {
		fmt.Println(err)
	}
	holder, err := emails.Holder(ctx, store, "ANN@example.com")
	fmt.Println(holder.AggregateID, holder.Version, err)
	// Output:
	// user 1 1 <nil>
}

// newEmails makes a scope whose addresses are not kept: without the key nobody can tell
// from what is stored whose they are.
func newEmails(key []byte) unique.Scope {
	hash := func(value string) string {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(value))
		return hex.EncodeToString(mac.Sum(nil))
	}
	return unique.NewScope("email", unique.WithNormalize(strings.ToLower), unique.WithNormalize(hash))
}

func ExampleWithNormalize() {
	emails := newEmails([]byte("a secret"))
	fmt.Println(emails.Reserve("ann@example.com").Value[:8])
	fmt.Println(emails.Reserve("Ann@Example.com").Value[:8])
	// Output:
	// b7e92c1f
	// b7e92c1f
}
