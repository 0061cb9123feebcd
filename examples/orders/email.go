package main

import (
	"net/mail"
	"strings"

	"github.com/eventsource-go/eventsource"
)

// maxEmail is the most bytes that an e-mail address may have.
const maxEmail = 254

// parseEmail checks an e-mail address, and leaves out the blanks around it.
func parseEmail(text string) (string, error) {
	text = strings.TrimSpace(text)
	address, err := mail.ParseAddress(text)
	if err != nil || address.Address != text || len(text) > maxEmail {
		return "", invalid("email", "is %q, and has to be an address such as ann@example.org", text)
	}
	return text, nil
}

// Reservations takes the e-mail address, for the wallet alone. Upper case does not make
// it another one.
func (e *WalletOpened) Reservations() []eventsource.Reservation {
	return []eventsource.Reservation{{Scope: "email", Value: strings.ToLower(e.Email)}}
}
