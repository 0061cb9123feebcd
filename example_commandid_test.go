package eventsource_test

import (
	"context"
	"fmt"
	"log"

	"github.com/eventsource-go/eventsource"
)

// Sent again with its ID, a command is not applied again.
func ExampleDispatcher_Dispatch_again() {
	ctx := context.Background()
	shows := newShows()
	if _, err := shows.Dispatch(ctx, Offer{CommandBase: eventsource.CommandBase{AggregateID: "hamlet"}, Seats: 3}); err != nil {
		log.Fatal(err)
	}

	book := Book{CommandBase: eventsource.CommandBase{AggregateID: "hamlet", CommandID: "booking-7"}, Guest: "Ann", Seats: 2}
	for range 2 {
		result, err := shows.Dispatch(ctx, book)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("version", result.Version, "repeated", result.Repeated)
	}
	// Output:
	// version 2 repeated false
	// version 2 repeated true
}
