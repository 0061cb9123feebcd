// Generate writes the file whose name it is given; see package combinations.
package main

import (
	"fmt"
	"os"

	"github.com/eventsource-go/eventsource/internal/combinations"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: generate FILE")
		os.Exit(2)
	}
	source, err := combinations.Source()
	if err == nil {
		err = os.WriteFile(os.Args[1], source, 0o644) //nolint:gosec // source code is for everybody to read
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
