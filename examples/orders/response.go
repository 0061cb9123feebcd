package main

import (
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
		if err == nil || r.Context().Err() != nil { // whoever has hung up does not want to know
			return
		}
		status, again := statusOf(err)
		if status >= http.StatusInternalServerError {
			s.logger.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "status", status, "error", err)
		}
		if again {
			w.Header().Set("Retry-After", "1")
		}
		_ = writeJSON(w, status, viewOf(r, status, err)) // there is nothing in it but text
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
		errors.Is(err, eventsource.ErrInvalidCommand):
		return http.StatusBadRequest, false
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, false
	case errors.Is(err, eventsource.ErrNoHistory):
		return http.StatusNotFound, false
	case errors.Is(err, eventsource.ErrTaken), errors.Is(err, ErrWrongState), errors.Is(err, ErrExists):
		return http.StatusConflict, false
	case errors.Is(err, eventsource.ErrConflict):
		return http.StatusConflict, true
	case errors.Is(err, eventsource.ErrOutcomeUnknown), errors.Is(err, ErrBehind):
		return http.StatusServiceUnavailable, true
	default:
		return http.StatusInternalServerError, false
	}
}

// viewOf says what is wrong, as far as that is the client's business.
func viewOf(r *http.Request, status int, err error) errorView {
	var input *InputError
	var taken *eventsource.TakenError
	switch {
	case errors.As(err, &input):
		return errorView{Error: err.Error(), Field: input.Field}
	case errors.As(err, &taken):
		return errorView{Error: taken.Value + " is taken", Field: taken.Scope} // not by whom
	case errors.Is(err, eventsource.ErrNoHistory):
		return errorView{Error: "there is nothing at " + r.URL.Path}
	case errors.Is(err, eventsource.ErrConflict):
		return errorView{Error: "others were faster: send it again with the same " + keyHeader}
	case errors.Is(err, eventsource.ErrOutcomeUnknown):
		return errorView{Error: "it may have been done, or not: send it again with the same " + keyHeader}
	case errors.Is(err, ErrBehind):
		return errorView{Error: ErrBehind.Error()}
	case status == http.StatusInternalServerError:
		return errorView{Error: http.StatusText(status)}
	}
	return errorView{Error: err.Error()}
}
