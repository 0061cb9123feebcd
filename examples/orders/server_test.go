package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// visitor sends requests and wants a status.
type visitor struct {
	t      testing.TB
	client *http.Client
	url    string
}

func newVisitor(t testing.TB, url string) *visitor { return &visitor{t, newClient(t), url} }

func (v *visitor) get(path string, want int) answer {
	v.t.Helper()
	return v.send("GET", path, "", "", want)
}

func (v *visitor) post(path, key, body string, want int) answer {
	v.t.Helper()
	return v.send("POST", path, key, body, want)
}

func (v *visitor) send(method, path, key, body string, want int) answer {
	v.t.Helper()
	got, err := send(v.t.Context(), v.client, method, v.url+path, key, body)
	if err != nil {
		v.t.Fatal(err)
	}
	if got.status != want {
		v.t.Fatalf("%s %s %s: status %d, %s, want %d", method, path, body, got.status, got.text, want)
	}
	return got
}

// openWallet opens a wallet with money in it.
func (v *visitor) openWallet(email string, amount int64) (id string) {
	v.t.Helper()
	id = v.post("/wallets", "", fmt.Sprintf(`{"email": %q}`, email), http.StatusCreated).body.ID
	v.post("/wallets/"+id+"/deposits", "", fmt.Sprintf(`{"amount": %d}`, amount), http.StatusOK)
	return id
}

// placeOrder orders tea, and waits until the order is not only placed any more.
func (v *visitor) placeOrder(wallet string, quantity int) (path string) {
	v.t.Helper()
	path = "/orders/" + v.post("/orders", "", orderOf(wallet, "tea", quantity), http.StatusCreated).body.ID
	for v.get(path, http.StatusOK).body.State == Placed {
		pause(v.t.Context())
	}
	return path
}

func orderOf(wallet, product string, quantity int) string {
	return fmt.Sprintf(`{"wallet_id": %q, "items": [{"product": %q, "quantity": %d}]}`, wallet, product, quantity)
}

func TestAnOrderIsPlacedPaidAndShipped(t *testing.T) {
	v := newVisitor(t, start(t, newDatabase(t)).url)
	opened := v.post("/wallets", "", `{"email": "ann@example.org"}`, http.StatusCreated)
	wallet := "/wallets/" + opened.body.ID
	if location := opened.header.Get("Location"); location != wallet {
		t.Errorf("the wallet is at %q, want %q", location, wallet)
	}
	if opened.header.Get(keyHeader) == "" {
		t.Error("a request without a key got none")
	}
	v.post(wallet+"/deposits", "", `{"amount": 1000}`, http.StatusOK)

	path := v.placeOrder(opened.body.ID, 2)
	if got := v.get(path, http.StatusOK); got.body.State != Paid || got.body.Version != 2 || got.body.Total != 980 {
		t.Errorf("the order is %s", got.text)
	}
	v.get(wallet, http.StatusOK).wants(t, `{"id":"ID","version":3,"email":"ann@example.org","balance":20}`)

	shipped := v.post(path+"/ship", "", "", http.StatusOK)
	after := "?after=" + shipped.body.SequenceID
	if list := v.get("/orders"+after, http.StatusOK); !strings.Contains(list.text, `"state":"shipped"`) || !strings.Contains(list.text, shipped.body.SequenceID) {
		t.Errorf("the list does not show what was just done: %s", list.text)
	}
	v.get("/ledger"+after, http.StatusOK).wants(t, `{"bank":-1000,"sales":980,"wallets":20,"sum":0}`)

	for version, state := range []State{Placed, Paid, Shipped} {
		if was := v.get(fmt.Sprintf("%s?version=%d", path, version+1), http.StatusOK); was.body.State != state || was.body.Version != version+1 {
			t.Errorf("at version %d the order was %s, want %s", version+1, was.text, state)
		}
	}
}

// wants compares the text of an answer, with ID in the place of its ID.
func (a answer) wants(t testing.TB, want string) {
	t.Helper()
	got := strings.TrimSpace(a.text)
	if a.body.ID != "" {
		got = strings.ReplaceAll(got, a.body.ID, "ID")
	}
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNothingOrderedIsAnEmptyList(t *testing.T) {
	v := newVisitor(t, start(t, newDatabase(t)).url)
	v.get("/orders", http.StatusOK).wants(t, `[]`)
	v.get("/ledger", http.StatusOK).wants(t, `{"bank":0,"sales":0,"wallets":0,"sum":0}`)
}

func TestARequestThatIsSentAgainWithItsKeyIsDoneOnce(t *testing.T) {
	v := newVisitor(t, start(t, newDatabase(t)).url)
	var wallet string
	for _, repeated := range []bool{false, true, true} {
		got := v.post("/wallets", "key", `{"email": "ann@example.org"}`, http.StatusCreated)
		if wallet = got.body.ID; got.body.Version != 1 || got.body.Repeated != repeated || got.header.Get(keyHeader) != "key" {
			t.Errorf("opened: %s", got.text)
		}
	}
	for range 3 {
		if got := v.post("/wallets/"+wallet+"/deposits", "key", `{"amount": 1000}`, http.StatusOK); got.body.Version != 2 {
			t.Errorf("deposited: %s", got.text)
		}
	}
	v.post("/wallets/"+wallet+"/deposits", "another key", `{"amount": 1000}`, http.StatusOK)
	v.get("/wallets/"+wallet, http.StatusOK).wants(t, `{"id":"ID","version":3,"email":"ann@example.org","balance":2000}`)

	placed := v.post("/orders", "key", orderOf(wallet, "samovar", 1), http.StatusCreated)
	if again := v.post("/orders", "key", orderOf(wallet, "samovar", 1), http.StatusCreated); again.body.ID != placed.body.ID {
		t.Errorf("the order is %s, sent again it is %s", placed.body.ID, again.body.ID)
	}
	if another := v.post("/orders", "another key", orderOf(wallet, "samovar", 1), http.StatusCreated); another.body.ID == placed.body.ID {
		t.Errorf("with another key the order is the same")
	}
}

func TestAKeyCanBeUsedAgainForSomethingElse(t *testing.T) {
	v := newVisitor(t, start(t, newDatabase(t)).url)
	wallet, other := v.openWallet("ann@example.org", 1000), v.openWallet("ben@example.org", 1000)
	placed := v.post("/orders", "key", orderOf(wallet, "tea", 1), http.StatusCreated)
	if others := v.post("/orders", "key", orderOf(other, "tea", 1), http.StatusCreated); others.body.ID == placed.body.ID {
		t.Error("two customers with one key have one order")
	}
	cancelled := v.post("/orders/"+placed.body.ID+"/cancel", "key", "", http.StatusOK)
	if cancelled.body.Version < 2 || cancelled.body.Repeated {
		t.Errorf("cancelled: %s", cancelled.text)
	}
}

func TestAnEmailAddressHasOneWallet(t *testing.T) {
	v := newVisitor(t, start(t, newDatabase(t)).url)
	v.openWallet("ann@example.org", 1)
	got := v.post("/wallets", "", `{"email": "Ann@Example.org"}`, http.StatusConflict)
	if got.body.Field != "email" || strings.Contains(got.text, "wallet-") {
		t.Errorf("got %s", got.text)
	}
}

func TestAnOrderThatCannotBePaidIsRejectedAndSaysWhy(t *testing.T) {
	v := newVisitor(t, start(t, newDatabase(t)).url)
	path := v.placeOrder(v.openWallet("ann@example.org", 979), 2)
	got := v.get(path, http.StatusOK)
	if want := `"reason":"not enough money: 9.80 is asked for, 9.79 is left"`; got.body.State != Rejected || !strings.Contains(got.text, want) {
		t.Errorf("got %s, want %s", got.text, want)
	}
	nobody := v.get(v.placeOrder("wallet-none", 1), http.StatusOK)
	if want := `"reason":"there is no such wallet"`; nobody.body.State != Rejected || !strings.Contains(nobody.text, want) {
		t.Errorf("got %s, want %s", nobody.text, want)
	}
}

func TestWhatIsWrongWithARequestIsNamed(t *testing.T) {
	v := newVisitor(t, start(t, newDatabase(t)).url)
	wallet := v.openWallet("ann@example.org", 1000)
	path := v.placeOrder(wallet, 1)
	v.post(path+"/ship", "", "", http.StatusOK)
	deposits := "/wallets/" + wallet + "/deposits"
	for _, test := range []struct {
		method, path, key, body string
		status                  int
		field, text             string
	}{
		{"POST", "/wallets", "", `{"email": "ann"}`, 400, "email", "ann@example.org"},
		{"POST", "/wallets", "", `{}`, 400, "email", ""},
		{"POST", "/wallets", "", `{"email": "a\u0000@example.org"}`, 400, "email", ""},
		{"POST", "/wallets", "", `{"email": 1}`, 400, "email", "is a number, and has to be of type string"},
		{"POST", "/wallets", "", `{"e-mail": "ann@example.org"}`, 400, "body", "e-mail"},
		{"POST", "/wallets", "", `{"email": "cid@example.org"} {}`, 400, "body", ""},
		{"POST", "/wallets", "", `[`, 400, "body", ""},
		{"POST", "/wallets", "", ``, 400, "body", ""},
		{"POST", "/wallets", strings.Repeat("k", maxKey+1), `{"email": "cid@example.org"}`, 400, keyHeader, ""},
		{"POST", "/wallets", "\xff", `{"email": "cid@example.org"}`, 400, "", "not valid UTF-8"},
		{"POST", "/wallets", "", `{"email": "` + strings.Repeat("a", maxBody) + `"}`, 413, "", "too large"},
		{"POST", deposits, "", `{"amount": 0}`, 400, "amount", ""},
		{"POST", deposits, "", `{"amount": 1.5}`, 400, "amount", ""},
		{"POST", "/wallets/wallet-none/deposits", "", `{"amount": 1}`, 404, "", "/wallets/wallet-none/deposits"},
		{"POST", "/wallets/" + strings.TrimPrefix(path, "/orders/") + "/deposits", "", `{"amount": 1}`, 404, "", ""},
		{"GET", "/wallets/wallet-none", "", "", 404, "", ""},
		{"GET", "/wallets/wallet-" + strings.Repeat("x", 2000), "", "", 404, "", ""},
		{"POST", "/orders", "", orderOf(wallet, "coffee", 1), 400, "items[0].product", "coffee"},
		{"POST", "/orders", "", orderOf(wallet, "tea", 0), 400, "items[0].quantity", ""},
		{"POST", "/orders", "", `{"wallet_id": "` + wallet + `"}`, 400, "items", ""},
		{"GET", "/wallets/wallet-%00", "", "", 404, "", ""},
		{"GET", "/wallets/wallet-%ff", "", "", 404, "", ""},
		{"POST", "/orders", "", orderOf(strings.TrimPrefix(path, "/orders/"), "tea", 1), 400, "wallet_id", "order-"},
		{"POST", "/orders", "", orderOf("", "tea", 1), 400, "wallet_id", ""},
		{"POST", "/orders", "", `{"wallet_id": "wallet-1", "items": [{"product": "tea", "quantity": "1"}]}`, 400, "items.quantity", ""},
		{"GET", "/orders?after=x", "", "", 400, "after", `\"x\"`},
		{"GET", "/ledger?after=x", "", "", 400, "after", `\"x\"`},
		{"GET", "/orders/order-none", "", "", 404, "", ""},
		{"GET", "/orders/" + wallet, "", "", 404, "", ""},
		{"GET", path + "?version=x", "", "", 400, "version", `\"x\"`},
		{"GET", path + "?version=0", "", "", 400, "", "version 0"},
		{"GET", path + "?version=4", "", "", 400, "", "no version 4, its last is 3"},
		{"POST", "/orders/order-none/cancel", "", "", 404, "", ""},
		{"POST", "/orders/order-none/ship", "", "", 404, "", ""},
		{"POST", path + "/cancel", "", "", 409, "", "is shipped and cannot be cancelled"},
		{"GET", "/nothing", "", "", 404, "", ""},
		{"DELETE", "/orders", "", "", 405, "", ""},
	} {
		got := v.send(test.method, test.path, test.key, test.body, test.status)
		if got.body.Field != test.field || !strings.Contains(got.text, test.text) {
			t.Errorf("%s %s %.100s: got %s, want field %q and %q in it", test.method, test.path, test.body, got.text, test.field, test.text)
		}
	}
}

func TestErrorsHaveTheirStatusAndOnlyThoseThatPassSayTryAgain(t *testing.T) {
	s := &server{app: &app{logger: slog.New(slog.DiscardHandler)}}
	for _, test := range []struct {
		err    error
		status int
		again  bool
		text   string
	}{
		{&eventsource.ConflictError{AggregateID: "wallet-1"}, 409, true, "others were faster"},
		{&eventsource.OutcomeUnknownError{Err: errors.New("secret")}, 503, true, "it may have been done, or not"},
		{fmt.Errorf("%w: secret", ErrBehind), 503, true, "not shown yet"},
		{&eventsource.TakenError{Scope: "email", Value: "ann@example.org", Holder: "secret"}, 409, false, "ann@example.org is taken"},
		{fmt.Errorf("wallet %w", ErrExists), 409, false, "exists already"},
		{errors.New("secret"), 500, false, "Internal Server Error"},
	} {
		w := httptest.NewRecorder()
		s.answer(func(http.ResponseWriter, *http.Request) error { return test.err }).ServeHTTP(w, httptest.NewRequest("POST", "/wallets", nil))
		again := w.Header().Get("Retry-After") != ""
		if text := w.Body.String(); w.Code != test.status || again != test.again || !strings.Contains(text, test.text) || strings.Contains(text, "secret") {
			t.Errorf("%v: status %d, again %t, %s", test.err, w.Code, again, text)
		}
	}
}

// The outcome of a save is unknown, although it was stored: the same request with the same
// key finds out.
func TestAnUnknownOutcomeIsSettledBySendingItAgain(t *testing.T) {
	pool, err := openPool(t.Context(), newDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	store := &brittle{Store: memstore.New()}
	s := newServer(newApp(store, pool, slog.New(slog.DiscardHandler))).routes()
	open := func() *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/wallets", strings.NewReader(`{"email": "ann@example.org"}`))
		r.Header.Set(keyHeader, "key")
		s.ServeHTTP(w, r)
		return w
	}
	store.fail = func(stored bool) error {
		if stored {
			return &eventsource.OutcomeUnknownError{}
		}
		return nil
	}
	if got := open(); got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") == "" {
		t.Fatalf("status %d, %s", got.Code, got.Body)
	}
	store.fail = nil
	if got := open(); got.Code != http.StatusCreated || !strings.Contains(got.Body.String(), `"version":1,`) || !strings.Contains(got.Body.String(), `"repeated":true`) {
		t.Errorf("sent again: status %d, %s", got.Code, got.Body)
	}
}

func TestAListThatIsBehindSaysSo(t *testing.T) {
	pool, err := openPool(t.Context(), newDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s := newServer(newApp(memstore.New(), pool, slog.New(slog.DiscardHandler))) // whose projections do not run
	s.waitTimeout = time.Millisecond
	for path, want := range map[string]int{
		"/orders": http.StatusOK,
		"/orders?after=01ARZ3NDEKTSV4RRFFQ69G5FAV": http.StatusServiceUnavailable,
		"/ledger?after=01ARZ3NDEKTSV4RRFFQ69G5FAV": http.StatusServiceUnavailable,
		"/healthz": http.StatusServiceUnavailable,
		"/readyz":  http.StatusServiceUnavailable,
	} {
		w := httptest.NewRecorder()
		s.routes().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: status %d, %s, want %d", path, w.Code, w.Body, want)
		}
	}
}

func TestAnInstanceIsHealthyAndGetsReady(t *testing.T) {
	v := newVisitor(t, start(t, newDatabase(t)).url)
	for _, path := range []string{"/healthz", "/readyz"} {
		for got := (answer{}); got.status != http.StatusOK; pause(t.Context()) {
			var err error
			if got, err = send(t.Context(), v.client, "GET", v.url+path, "", ""); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestThePageIsWholeAndTakesNothingFromElsewhere(t *testing.T) {
	v := newVisitor(t, start(t, newDatabase(t)).url)
	for path, want := range map[string]string{
		"/":         "<!doctype html>",
		"/page.js":  "'use strict';",
		"/page.css": ":root",
	} {
		got := v.get(path, http.StatusOK)
		if !strings.HasPrefix(got.text, want) || strings.Contains(got.text, "://") {
			t.Errorf("%s: %.200s", path, got.text)
		}
		if policy := got.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'self'") {
			t.Errorf("%s: policy %q", path, policy)
		}
	}
	products := v.get("/catalogue", http.StatusOK).text
	for _, p := range catalogue {
		if !strings.Contains(products, fmt.Sprintf(`{"id":%q,"name":%q,"price":%d}`, p.ID, p.Name, p.Price)) {
			t.Errorf("%s is not in the catalogue: %s", p.ID, products)
		}
	}
}

func TestAPageFromElsewhereCannotOrder(t *testing.T) {
	v := newVisitor(t, start(t, newDatabase(t)).url)
	request, err := http.NewRequestWithContext(t.Context(), "POST", v.url+"/wallets", strings.NewReader(`{"email": "ann@example.org"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	response, err := v.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("status %d", response.StatusCode)
	}
}

func TestAmountsAreWrittenForPeople(t *testing.T) {
	got := []string{money(0), money(5), money(1234), money(100)}
	if diff := cmp.Diff([]string{"0.00", "0.05", "12.34", "1.00"}, got); diff != "" {
		t.Error(diff)
	}
}
