package main

import (
	"net/mail"
	"strings"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/unique"
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

// emails are those that have a wallet. Upper case does not make another one.
var emails = unique.NewScope("email", unique.WithNormalize(strings.ToLower))

// Reservations takes the e-mail address for the wallet, or the event is not stored.
func (e *WalletOpened) Reservations() []eventsource.Reservation {
	return []eventsource.Reservation{emails.Reserve(e.Email)}
}
