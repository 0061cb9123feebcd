package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// shutdownTimeout is how long requests may take that are under way at the end.
const shutdownTimeout = 10 * time.Second

// serve answers requests and runs the projections until the context ends, or until one of
// both fails. Requests that are under way are answered first. The listener is closed.
func (a *app) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           newServer(a).routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(a.logger.Handler(), slog.LevelWarn),
	}
	// Some requests wait for a projection, so these go on until all are answered.
	projecting, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	served, projected := make(chan error, 1), make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	go func() { projected <- a.project(projecting) }()

	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
		served <- nil
	case err = <-projected:
		projected <- nil
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err = errors.Join(err, server.Shutdown(bounded))
	stop()
	err = errors.Join(err, <-projected)
	if closed := <-served; !errors.Is(closed, http.ErrServerClosed) {
		err = errors.Join(err, closed)
	}
	return err
}
