package main

import (
	"bytes"
	"net/http"
)

// live answers whether the process is to go on: its projections run.
func (s *server) live() http.Handler {
	var handlers []http.Handler
	for _, p := range s.projections {
		handlers = append(handlers, p.LiveHandler())
	}
	return allOf(handlers)
}

// ready answers whether the process is to be sent requests: what it would show is not old.
func (s *server) ready() http.Handler {
	var handlers []http.Handler
	for _, p := range s.projections {
		handlers = append(handlers, p.CaughtUpHandler(maxLag))
	}
	return allOf(handlers)
}

// allOf gives the answer of the first handler that is not well, or else of the last one.
func allOf(handlers []http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer *bufferedAnswer
		for _, handler := range handlers {
			answer = &bufferedAnswer{ResponseWriter: w, status: http.StatusOK}
			if handler.ServeHTTP(answer, r); answer.status != http.StatusOK {
				break
			}
		}
		w.WriteHeader(answer.status)
		_, _ = w.Write(answer.body.Bytes()) // whoever has hung up does not want to know
	})
}

// bufferedAnswer keeps an answer back. Headers are the same for all.
type bufferedAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (a *bufferedAnswer) WriteHeader(status int)      { a.status = status }
func (a *bufferedAnswer) Write(p []byte) (int, error) { return a.body.Write(p) }
