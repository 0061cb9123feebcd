package eventsource_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// Offered says that a show has seats to sell.
type Offered struct {
	eventsource.BaseEvent
	Seats int `json:"seats"`
}

// Booked says that seats were sold.
type Booked struct {
	eventsource.BaseEvent
	Guest string `json:"guest"`
	Seats int    `json:"seats"`
}

// Show is an evening in the theatre.
type Show struct {
	eventsource.AggregateBase
	Free int
}

// showEvents are all events of a show: for the serializer and for the appliers.
var showEvents = []eventsource.Event{&Offered{}, &Booked{}}

var showAppliers = eventsource.NewAppliers(showEvents,
	eventsource.When((*Show).offered),
	eventsource.When((*Show).booked),
)

func (s *Show) On(_ context.Context, event eventsource.Event) error {
	return showAppliers.Apply(s, event)
}

func (s *Show) offered(e *Offered) error {
	s.Free += e.Seats
	return nil
}

func (s *Show) booked(e *Booked) error {
	s.Free -= e.Seats
	return nil
}

// Offer asks for seats to be sold.
type Offer struct {
	eventsource.CommandBase
	Seats int
}

// Book asks for seats.
type Book struct {
	eventsource.CommandBase
	Guest string
	Seats int
}

var ErrSoldOut = errors.New("sold out")

func (s *Show) Handle(_ context.Context, command eventsource.Command) ([]eventsource.Event, error) {
	switch c := command.(type) {
	case Offer:
		return []eventsource.Event{&Offered{Seats: c.Seats}}, nil
	case Book:
		if c.Seats > s.Free {
			return nil, fmt.Errorf("%w: %d seats are left", ErrSoldOut, s.Free)
		}
		return []eventsource.Event{&Booked{Guest: c.Guest, Seats: c.Seats}}, nil
	default:
		return nil, fmt.Errorf("%T is no command of a show", command)
	}
}

func newShows() *eventsource.Dispatcher[*Show] {
	repo := eventsource.NewRepository(memstore.New(), json.NewSerializer(showEvents...))
	return eventsource.NewDispatcher(repo, func() *Show { return new(Show) })
}

func ExampleDispatcher() {
	ctx := context.Background()
	repo := eventsource.NewRepository(memstore.New(), json.NewSerializer(showEvents...))
	shows := eventsource.NewDispatcher(repo, func() *Show { return new(Show) })

	hamlet := eventsource.CommandBase{AggregateID: "hamlet"}
	if _, err := shows.Dispatch(ctx, Offer{CommandBase: hamlet, Seats: 3}); err != nil {
		log.Fatal(err)
	}
	result, err := shows.Dispatch(ctx, Book{CommandBase: hamlet, Guest: "Ann", Seats: 2})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("version", result.Version)

	_, err = shows.Dispatch(ctx, Book{CommandBase: hamlet, Guest: "Ben", Seats: 2})
	fmt.Println(err, errors.Is(err, ErrSoldOut))
	// Output:
	// version 2
	// sold out: 1 seats are left true
}

func ExampleDispatcher_Read() {
	ctx := context.Background()
	shows := newShows()
	hamlet := eventsource.CommandBase{AggregateID: "hamlet"}
	if _, err := shows.Dispatch(ctx, Offer{CommandBase: hamlet, Seats: 3}); err != nil {
		log.Fatal(err)
	}

	err := shows.Read(ctx, "hamlet", func(show *Show) error {
		fmt.Println(show.Free, "seats are left")
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: 3 seats are left
}
