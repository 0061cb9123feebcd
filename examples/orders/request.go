package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"

	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
)

const (
	// keyHeader names a request, so that it can be sent again when its answer was lost.
	keyHeader = "Idempotency-Key"
	maxKey    = 200
	maxBody   = 64 << 10
)

// readRequest reads the body, if there is to be one, and the request's key. If it has
// none, one is made: such a request is another one each time it is sent.
func readRequest(w http.ResponseWriter, r *http.Request, body any) (key string, err error) {
	if key = r.Header.Get(keyHeader); key == "" {
		key = ulid.Make().String()
	}
	if len(key) > maxKey {
		return "", invalid(keyHeader, "has %d bytes, and may have %d", len(key), maxKey)
	}
	w.Header().Set(keyHeader, key)
	if body == nil {
		return key, nil
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(body); err != nil {
		return "", bodyError(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return "", invalid("body", "has to be one JSON object")
	}
	return key, nil
}

// bodyError says which part of the body is wrong.
func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &tooLarge):
		return err
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return invalid(wrongType.Field, "is a %s, and has to be of type %s", wrongType.Value, wrongType.Type)
	default:
		return invalid("body", "is not what is expected: %v", err)
	}
}

// readCommand reads a request to the aggregate in its path.
func readCommand(w http.ResponseWriter, r *http.Request, ids *regexp.Regexp, body any) (eventsource.CommandBase, error) {
	id, err := readID(r, ids)
	if err != nil {
		return eventsource.CommandBase{}, err
	}
	key, err := readRequest(w, r, body)
	return eventsource.CommandBase{AggregateID: id, CommandID: commandID(r, key)}, err
}

// commandID makes the ID of the command that a request is. An aggregate tells commands
// apart by nothing else, so what is asked for is in it: a key that was used to place an
// order can be used again to cancel it. And no key can be taken for the command ID of the
// payments.
func commandID(r *http.Request, key string) string {
	return r.Method + " " + r.URL.Path + " " + key
}

// readID gives the ID in the path. What is no ID of this kind is not there.
func readID(r *http.Request, ids *regexp.Regexp) (string, error) {
	id := r.PathValue("id")
	if !ids.MatchString(id) {
		return "", fmt.Errorf("%w: %q", eventsource.ErrNoHistory, id)
	}
	return id, nil
}
