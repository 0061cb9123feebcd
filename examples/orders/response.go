package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/eventsource-go/eventsource"
)

// resultView is what came of a command.
type resultView struct {
	ID         string `json:"id"`
	Version    int    `json:"version"`
	SequenceID string `json:"sequence_id"`
	// Repeated says that it had been done before, under its key.
	Repeated bool `json:"repeated,omitempty"`
}

func writeResult(w http.ResponseWriter, status int, command eventsource.CommandBase, result eventsource.Result) error {
	return writeJSON(w, status, resultView{command.AggregateID, result.Version, result.SequenceID, result.Repeated})
}

func writeJSON(w http.ResponseWriter, status int, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // whoever has hung up does not want to know
	return nil
}

// errorView is an answer that says no.
type errorView struct {
	Error string `json:"error"`
	Field string `json:"field,omitempty"` // the input that cannot be
}

// answer makes a handler of a function that returns an error instead of answering.
func (s *server) answer(handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := handle(w, r)
		if err == nil {
			return
		}
		status, again := statusOf(err)
		view := errorView{Error: err.Error()}
		var input *InputError
		var taken *eventsource.TakenError
		switch {
		case errors.As(err, &input):
			view.Field = input.Field
		case errors.As(err, &taken): // whose it is, is nobody's business
			view = errorView{Error: taken.Value + " is taken", Field: taken.Scope}
		case status >= http.StatusInternalServerError && r.Context().Err() == nil:
			s.logger.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "status", status, "error", err)
			view.Error = http.StatusText(status)
		}
		if again {
			w.Header().Set("Retry-After", "1")
		}
		_ = writeJSON(w, status, view) // it can be written: there is nothing but text in it
	})
}

// statusOf gives the status of an error, and whether it makes sense to send the request
// again, with the same key.
func statusOf(err error) (status int, again bool) {
	var input *InputError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &input),
		errors.Is(err, eventsource.ErrInvalidQuery),
		errors.Is(err, eventsource.ErrInvalidSequenceID),
		errors.Is(err, eventsource.ErrInvalidCommand):
		return http.StatusBadRequest, false
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, false
	case errors.Is(err, eventsource.ErrNoHistory):
		return http.StatusNotFound, false
	case errors.Is(err, eventsource.ErrOutcomeUnknown), // it may have been done: the key keeps it from being done twice
		errors.Is(err, context.DeadlineExceeded): // what is asked for is not shown yet
		return http.StatusServiceUnavailable, true
	case errors.Is(err, eventsource.ErrConflict): // others were faster, many times
		return http.StatusConflict, true
	case errors.Is(err, eventsource.ErrTaken), errors.Is(err, ErrWrongState), errors.Is(err, ErrExists):
		return http.StatusConflict, false
	default:
		return http.StatusInternalServerError, false
	}
}
