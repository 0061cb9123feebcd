package upcast_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/serializer/upcast"
	"github.com/eventsource-go/eventsource/serializer/upcast/upcasttest"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// Placed is what the event is today.
type Placed struct {
	eventsource.BaseEvent
	Cents    int64  `json:"cents"`
	Currency string `json:"currency"`
}

// These are what it was, and never change.
type (
	placed1 struct {
		Euros int64 `json:"euros"`
	}
	placed2 struct {
		Cents int64 `json:"cents"`
	}
	placed3 struct {
		Cents    int64  `json:"cents"`
		Currency string `json:"currency"`
	}
)

type NameChanged struct {
	eventsource.BaseEvent
	Name string `json:"name"`
}

type AddressChanged struct {
	eventsource.BaseEvent
	Street string `json:"street"`
}

// moved1 is what AddressAndNameChanged was.
type moved1 struct {
	Name, Street string
}

func newSerializer() *upcast.Serializer {
	return upcast.NewSerializer(
		json.NewSerializer(&Placed{}, &NameChanged{}, &AddressChanged{}),

		upcast.Step("Placed", 1, func(old placed1) (placed2, error) {
			return placed2{Cents: 100 * old.Euros}, nil
		}),
		upcast.Step("Placed", 2, func(old placed2) (placed3, error) {
			return placed3{Cents: old.Cents, Currency: "EUR"}, nil
		}),
		upcast.Rename("OrderPlaced", "Placed"),

		upcast.Split("AddressAndNameChanged", 1, func(old moved1) ([]upcast.Part, error) {
			return []upcast.Part{
				{Type: "NameChanged", Data: map[string]string{"name": old.Name}},
				{Type: "AddressChanged", Data: map[string]string{"street": old.Street}},
			}, nil
		}, "NameChanged", "AddressChanged"),

		upcast.Drop("Debugged"),
	)
}

// Events that earlier releases have stored are read as what they are today.
func Example() {
	ctx := context.Background()
	store := memstore.New()
	for _, old := range []eventsource.Record{
		{AggregateID: "1", Type: "OrderPlaced", Data: []byte(`{"euros":5}`)},
		{AggregateID: "1", Type: "OrderPlaced", Data: []byte(`{"$v":2,"cents":1250}`)},
		{AggregateID: "1", Type: "Debugged", Data: []byte(`{}`)},
		{AggregateID: "2", Type: "AddressAndNameChanged", Data: []byte(`{"name":"Ann","street":"Long Street"}`)},
	} {
		if _, err := store.Append(ctx, old); err != nil {
			log.Fatal(err)
		}
	}

	repo := eventsource.NewRepository(store, newSerializer())
	if err := repo.Save(ctx, &Placed{BaseEvent: eventsource.BaseEvent{AggregateID: "1"}, Cents: 7, Currency: "CHF"}); err != nil {
		log.Fatal(err)
	}
	events, err := repo.GetEventsBySequenceID(ctx, "", 0)
	if err != nil {
		log.Fatal(err)
	}
	for _, event := range events {
		switch e := event.(type) {
		case *Placed:
			fmt.Printf("version %d of %s: placed, %d cents %s\n", e.Version, e.AggregateID, e.Cents, e.Currency)
		case *NameChanged:
			fmt.Printf("version %d of %s: name is %s\n", e.Version, e.AggregateID, e.Name)
		case *AddressChanged:
			fmt.Printf("version %d of %s: street is %s\n", e.Version, e.AggregateID, e.Street)
		}
	}
	// Output:
	// version 1 of 1: placed, 500 cents EUR
	// version 2 of 1: placed, 1250 cents EUR
	// version 1 of 2: name is Ann
	// version 1 of 2: street is Long Street
	// version 4 of 1: placed, 7 cents CHF
}

// The version is written into the data, unless it is 1.
func ExampleSerializer_Marshal() {
	for _, event := range []eventsource.Event{&NameChanged{Name: "Ann"}, &Placed{Cents: 7, Currency: "CHF"}} {
		data, err := newSerializer().Marshal(event)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(data))
	}
	// Output:
	// {"name":"Ann"}
	// {"$v":3,"cents":7,"currency":"CHF"}
}

func ExampleError() {
	serializer := upcast.NewSerializer(json.NewSerializer(&Placed{}),
		upcast.Step("Placed", 1, func(old placed1) (placed2, error) {
			if old.Euros < 0 {
				return placed2{}, errors.New("orders are not negative")
			}
			return placed2{Cents: 100 * old.Euros}, nil
		}))
	_, err := serializer.UnmarshalAll([]byte(`{"euros":-1}`), "Placed")
	fmt.Println(err)
	var failed *upcast.Error
	if errors.As(err, &failed) {
		fmt.Println(failed.Type, failed.Version)
	}
	// Output:
	// eventsource/upcast: "Placed" of schema version 1 cannot be read: step of "Placed" from version 1 to 2: orders are not negative
	// Placed 1
}

// Maps do where a struct says too much. Numbers in them keep all of their digits.
func ExampleStep() {
	serializer := upcast.NewSerializer(json.NewSerializer(&Placed{}),
		upcast.Step("Placed", 1, func(fields map[string]any) (map[string]any, error) {
			fields["currency"] = "EUR"
			return fields, nil
		}))
	event, err := serializer.Unmarshal([]byte(`{"cents":9007199254740993}`), "Placed")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(event.(*Placed).Cents, event.(*Placed).Currency)
	// Output: 9007199254740993 EUR
}

// A projection that wants a type gets it under all names that it is stored under.
func ExampleSerializer_StoredTypes() {
	fmt.Println(newSerializer().StoredTypes("NameChanged"))
	fmt.Println(newSerializer().StoredTypes("Placed"))
	// Output:
	// [AddressAndNameChanged NameChanged]
	// [OrderPlaced Placed]
}

var update = flag.Bool("update", false, "write down what stored events are today")

func TestStoredEvents(t *testing.T) {
	const folder = "testdata/events"
	upcasttest.Record(t, newSerializer(), folder,
		&Placed{Cents: 1250, Currency: "CHF"}, &NameChanged{Name: "Ann"}, &AddressChanged{Street: "Long Street"})
	upcasttest.Golden(t, newSerializer(), folder, *update)
}
