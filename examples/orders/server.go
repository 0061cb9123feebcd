package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"time"

	"github.com/eventsource-go/eventsource"
)

// pageFiles are the page and what it needs.
//
//go:embed page
var pageFiles embed.FS

const (
	// waitTimeout is how long a request waits for what was just written to be shown.
	waitTimeout = 5 * time.Second
	// maxLag is how far projections may be behind in a process that is ready.
	maxLag = 30 * time.Second
	// listed is how many orders the list shows.
	listed = 100
)

// server answers requests.
type server struct {
	*app
	waitTimeout time.Duration
}

func newServer(a *app) *server { return &server{app: a, waitTimeout: waitTimeout} }

// routes gives the handler of all requests.
func (s *server) routes() http.Handler {
	page, err := fs.Sub(pageFiles, "page")
	if err != nil {
		page = pageFiles // not possible: the folder is in the program
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", ownOnly(http.FileServerFS(page)))
	mux.Handle("GET /catalogue", s.answer(s.getCatalogue))
	mux.Handle("POST /wallets", s.answer(s.openWallet))
	mux.Handle("GET /wallets/{id}", s.answer(s.getWallet))
	mux.Handle("POST /wallets/{id}/deposits", s.answer(s.deposit))
	mux.Handle("POST /orders", s.answer(s.placeOrder))
	mux.Handle("GET /orders", s.answer(s.listOrders))
	mux.Handle("GET /orders/{id}", s.answer(s.getOrder))
	mux.Handle("POST /orders/{id}/cancel", s.answer(s.cancelOrder))
	mux.Handle("POST /orders/{id}/ship", s.answer(s.shipOrder))
	mux.Handle("GET /ledger", s.answer(s.getLedger))
	mux.Handle("GET /healthz", s.live())
	mux.Handle("GET /readyz", s.ready())
	// Pages of others cannot send what this page sends.
	return http.NewCrossOriginProtection().Handler(mux)
}

// ownOnly keeps everything out of a page that is not from here.
func ownOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src data:; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func (s *server) getCatalogue(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, catalogue)
}

func (s *server) openWallet(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Email string `json:"email"`
	}
	key, err := readRequest(w, r, &body)
	if err != nil {
		return err
	}
	command := OpenWallet{CommandBase: eventsource.CommandBase{
		AggregateID: newID(walletPrefix, key, body.Email), CommandID: commandID(r, key),
	}, Email: body.Email}
	result, err := s.wallets.Dispatch(r.Context(), command)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/wallets/"+command.AggregateID)
	return writeResult(w, http.StatusCreated, command.CommandBase, result)
}

func (s *server) deposit(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Amount int64 `json:"amount"`
	}
	command, err := readCommand(w, r, walletIDs, &body)
	if err != nil {
		return err
	}
	result, err := s.wallets.Dispatch(r.Context(), Deposit{CommandBase: command, Amount: body.Amount})
	if err != nil {
		return err
	}
	return writeResult(w, http.StatusOK, command, result)
}

func (s *server) getWallet(w http.ResponseWriter, r *http.Request) error {
	id, err := readID(r, walletIDs)
	if err != nil {
		return err
	}
	return s.wallets.Read(r.Context(), id, func(wallet *Wallet) error {
		return writeJSON(w, http.StatusOK, walletView{wallet.ID, wallet.Version, wallet.Email, wallet.Balance})
	})
}

type walletView struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
	Email   string `json:"email"`
	Balance int64  `json:"balance"`
}

func (s *server) placeOrder(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		WalletID string `json:"wallet_id"`
		Items    []Item `json:"items"`
	}
	key, err := readRequest(w, r, &body)
	if err != nil {
		return err
	}
	command := PlaceOrder{CommandBase: eventsource.CommandBase{
		AggregateID: newID(orderPrefix, key, body.WalletID), CommandID: commandID(r, key),
	}, WalletID: body.WalletID, Items: body.Items}
	result, err := s.orders.Dispatch(r.Context(), command)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/orders/"+command.AggregateID)
	return writeResult(w, http.StatusCreated, command.CommandBase, result)
}

func (s *server) cancelOrder(w http.ResponseWriter, r *http.Request) error {
	command, err := readCommand(w, r, orderIDs, nil)
	if err != nil {
		return err
	}
	result, err := s.orders.Dispatch(r.Context(), Cancel{command})
	if err != nil {
		return err
	}
	return writeResult(w, http.StatusOK, command, result)
}

func (s *server) shipOrder(w http.ResponseWriter, r *http.Request) error {
	command, err := readCommand(w, r, orderIDs, nil)
	if err != nil {
		return err
	}
	result, err := s.orders.Dispatch(r.Context(), Ship{command})
	if err != nil {
		return err
	}
	return writeResult(w, http.StatusOK, command, result)
}

// getOrder shows an order as it is, or as it was at a version.
func (s *server) getOrder(w http.ResponseWriter, r *http.Request) error {
	id, err := readID(r, orderIDs)
	if err != nil {
		return err
	}
	var at eventsource.AsOf // the latest
	if text := r.URL.Query().Get("version"); text != "" {
		version, err := strconv.Atoi(text)
		if err != nil {
			return invalid("version", "is %q, and has to be a number", text)
		}
		at = eventsource.AtVersion(version)
	}
	var order Order
	if _, err := s.repository.LoadAt(r.Context(), id, &order, at); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, orderView{order.ID, order.Version, &order})
}

type orderView struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
	*Order
}

func (s *server) listOrders(w http.ResponseWriter, r *http.Request) error {
	if err := s.wait(r, ordersName); err != nil {
		return err
	}
	orders, err := listOrders(r.Context(), s.pool, listed)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, orders)
}

func (s *server) getLedger(w http.ResponseWriter, r *http.Request) error {
	if err := s.wait(r, ledgerName); err != nil {
		return err
	}
	balances, err := loadBalances(r.Context(), s.pool)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, balances)
}

// wait returns when the projection has handled the event with the sequence ID that the
// request has as its parameter after, if it has one: so a client reads what it wrote.
func (s *server) wait(r *http.Request, projection string) error {
	after, err := eventsource.ParseSequenceID(r.URL.Query().Get("after"))
	if err != nil {
		return invalid("after", "is %q, and has to be a sequence ID", r.URL.Query().Get("after"))
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.waitTimeout)
	defer cancel()
	err = s.manager.WaitFor(ctx, projection, after)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrBehind, err)
	}
	return err
}
