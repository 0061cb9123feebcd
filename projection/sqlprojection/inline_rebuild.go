package sqlprojection

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

const (
	// levelWithin is how far behind, in time, a new version may be when it is finished.
	// For about as long saves wait.
	levelWithin = time.Second
	// lockTimeout is for how long saves wait behind a rebuild that waits for open
	// transactions, and lockPause for how long it then lets them pass.
	lockTimeout = time.Second
	lockPause   = 2 * time.Second
	// remainingPage is how many events are handled at once while saves wait.
	remainingPage = 500
	// rebuildPoll is how often a rebuild looks for events that nothing has told it of.
	rebuildPoll = 200 * time.Millisecond

	codeDeadlockDetected      = "40P01"
	codeLockNotAvailable      = "55P03"
	codeInsufficientPrivilege = "42501"
)

// errActive is how a rebuild learns that another process was faster.
var errActive = errors.New("eventsource/sqlprojection: the version is active already")

// Rebuild has a version of an inline projection handle all events from the first one
// on, into its own tables, and makes it the active one. Each event is handled exactly
// once: either here, or in the transaction that saves it. It returns at once if the
// version is active already, so a program may call it whenever it starts, in any number
// of processes. Until it returns, the version that was active goes on.
//
// The repository is the one that events are saved with. Rebuild runs a [projection.Projection]
// named NAME:inline:VERSION, where progress can be seen, with the options, but for those of
// checkpoints, versions, partitions, start and failures. When that is level with the events,
// saves wait for about as long as it takes to handle those of the last second; before that, for
// up to a second at a time, if a transaction that has saved events is left open. For
// the lock the role needs UPDATE on the table of events, or MAINTAIN from PostgreSQL 17 on;
// the table's trigger refuses updates all the same.
//
// When it returns an error, nothing has changed for saves; called again it goes on
// where it was. Errors: those of [projection.Projection.Run]; [projection.ErrUnknown]
// if this process does not have the version; [projection.ErrSuperseded] if this version
// or a higher one was active before; the context's.
func (i *Inline) Rebuild(ctx context.Context, repository eventsource.Repository, name string, version int, opts ...projection.Option) error {
	if err := i.known(name); err != nil {
		return err
	}
	p, ok := i.projections[name][version]
	if !ok {
		return fmt.Errorf("%w: version %d of inline projection %q", projection.ErrUnknown, version, name)
	}
	r := &rebuild{Inline: i, InlineProjection: p, runner: name + ":inline:" + strconv.Itoa(version)}
	r.projection = projection.New(r.runner, repository, projection.InTransaction(&rebuildHandler{r}), append(opts[:len(opts):len(opts)],
		projection.WithCheckpoints(i.checkpoints), projection.WithVersion(1), projection.WithPartitions(1), projection.WithStartAfter(""),
		projection.WithFailurePolicy(projection.Stop), projection.WithPollInterval(rebuildPoll), projection.WithSilence())...)
	r.manager = projection.NewManager(repository, i.checkpoints)
	if err := errors.Join(r.projection.Err(), r.manager.Err()); err != nil {
		return err
	}
	if _, err := r.head(ctx); err != nil { // from here on only what goes by
		return err
	}
	return r.run(ctx)
}

// rebuild is one call of Rebuild.
//
// Why each event is handled exactly once. A save inserts its events, which takes a lock
// on their table until it commits, and then, in a later statement, reads which version is
// active. The last step of a rebuild (finish) locks the table so that both exclude each
// other, handles all events after the checkpoint, and sets the version. So for each save
// there are two cases.
//   - It has inserted before the lock was there. Then the lock has waited for its end.
//     What it has read was the state before, so it has not called this version's handler;
//     and its events, which are committed and below all that come later, were handled by the
//     projection, or are after its checkpoint and are handled under the lock.
//   - Its insert waits for the lock. It goes on when the version is set and committed, so
//     what it reads afterwards is the new state, and it handles its events itself. They
//     were not there to be handled under the lock.
//
// The projection handles each event once: its checkpoint moves in the same transaction. In
// no process does it handle any after that last step: who had its lease then has lost it
// (the row is gone, and one that is made anew has another token), and who got one
// later sees the new state in the same transaction (rebuildHandler).
type rebuild struct {
	*Inline
	InlineProjection
	runner     string // name of the projection
	projection *projection.Projection
	manager    *projection.Manager
}

// rebuildHandler is the handler that the projection calls.
type rebuildHandler struct{ *rebuild }

// Handle implements [projection.Handler].
func (h *rebuildHandler) Handle(ctx context.Context, events []eventsource.Event) error {
	state, _, err := h.state(ctx, h.Name)
	if err != nil {
		return err
	}
	if state.Highest >= h.Version {
		return projection.Permanent(errActive)
	}
	return h.Handler.Handle(ctx, events)
}

// EventTypes implements [projection.Typed].
func (h *rebuildHandler) EventTypes() []string { return h.types() }

// run tries until the version is active, or it makes no sense to go on.
func (r *rebuild) run(ctx context.Context) error {
	for {
		done, err := r.try(ctx)
		if done || err != nil && (ctx.Err() != nil || !again(err)) {
			return err
		}
		pause := 20*time.Millisecond + rand.N(100*time.Millisecond) //nolint:gosec // jitter
		if sqlState(err) == codeLockNotAvailable {
			pause = lockPause
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("eventsource/sqlprojection: rebuild of %q, version %d: %w: %w", r.Name, r.Version, ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

// again reports whether the next try may succeed: others were in the way, or the
// database could not be reached.
func again(err error) bool {
	switch sqlState(err) {
	case codeLockNotAvailable, codeDeadlockDetected:
		return true
	}
	// A projection whose rows another process has removed, having finished, is superseded.
	for _, passing := range []error{errActive, projection.ErrSuperseded, projection.ErrStale, projection.ErrFenced, projection.ErrUnavailable} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// try catches up and finishes, if that is not done yet.
func (r *rebuild) try(ctx context.Context) (done bool, err error) {
	state, _, err := r.state(ctx, r.Name)
	switch {
	case err != nil:
		return false, unavailable(err)
	case state.Inline == r.Version:
		r.forget(ctx)
		return true, nil
	case state.Highest >= r.Version:
		return true, fmt.Errorf("%w: version %d of inline projection %q, of which version %d was active; build a higher one",
			projection.ErrSuperseded, r.Version, r.Name, state.Highest)
	}
	if err := r.catchUp(ctx); err != nil {
		return false, err
	}
	fenced, err := r.fence(ctx)
	if err != nil {
		return false, err
	}
	err = r.checkpoints.Transact(ctx, func(ctx context.Context) error { return r.finish(ctx, fenced) })
	if err != nil {
		r.release(ctx, fenced)
	}
	return err == nil, err
}

// catchUp runs the projection until it is level with the events.
func (r *rebuild) catchUp(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	level, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(level)
		r.level(ctx)
	}()
	go func() { ended <- r.projection.Run(ctx) }()
	select {
	case <-level:
		stop()
		return <-ended
	case err := <-ended: // by itself, so it has failed, unless ctx has ended
		stop()
		<-level
		return err
	}
}

// level returns when all events are handled that were there a moment ago, or ctx ends.
// Whether what goes wrong will go by, the projection that runs meanwhile knows.
func (r *rebuild) level(ctx context.Context) {
	for {
		began := time.Now()
		head, err := r.head(ctx)
		if err == nil {
			err = r.manager.WaitFor(ctx, r.runner, head)
		}
		if err == nil && time.Since(began) < levelWithin {
			return
		}
		if err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// head is the last event's sequence ID, whether readers may see it or not.
func (r *rebuild) head(ctx context.Context) (head string, err error) {
	err = r.checkpoints.do(ctx, "look for the last event, which must be in the database of the checkpoints", func(db database) error {
		return db.QueryRow(ctx, r.sql.head).Scan(&head)
	})
	return head, err
}

// fence takes the lease of the projection, so that no other process works on it, and
// neither has to wait for what the other has locked. One that is in the middle of a
// transaction cannot commit it any more.
func (r *rebuild) fence(ctx context.Context) (projection.Row, error) {
	for {
		rows, err := r.checkpoints.Load(ctx, r.runner)
		if err != nil {
			return projection.Row{}, unavailable(err)
		}
		row, ok := rowOf(rows, 1, 0)
		if !ok {
			return row, projection.ErrStale // another process has finished
		}
		row.Owner, row.Wanted, row.TTL = "inline rebuild "+cryptorand.Text(), "", projection.DefaultLease
		row.Token++
		err = r.checkpoints.Update(ctx, []projection.Row{row}, nil)
		row.Revision++
		if !errors.Is(err, projection.ErrStale) {
			return row, err
		}
	}
}

// release gives the lease back, if that is possible; otherwise it ends by itself.
func (r *rebuild) release(ctx context.Context, fenced projection.Row) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	fenced.Owner = ""
	fenced.Token++
	_ = r.checkpoints.Update(ctx, []projection.Row{fenced}, nil)
}

// forget removes what a projection that another process still ran has left.
func (r *rebuild) forget(ctx context.Context) {
	if rows, err := r.checkpoints.Load(ctx, r.runner); err == nil {
		_ = r.checkpoints.Update(ctx, nil, rows)
	}
}

// finish is the last step, in one transaction. What it relies on, rebuild says.
func (r *rebuild) finish(ctx context.Context, fenced projection.Row) error {
	tx, err := needTx(ctx)
	if err != nil {
		return err
	}
	if err := r.lock(ctx, tx); err != nil {
		return err
	}
	rows, err := r.checkpoints.Load(ctx, r.runner)
	if err != nil {
		return err
	}
	if row, ok := rowOf(rows, 1, 0); !ok || row.Token != fenced.Token {
		return projection.ErrFenced
	}
	if err := r.handleAfter(ctx, tx, fenced.Position); err != nil {
		return err
	}
	state, row, err := r.state(ctx, r.Name)
	if err != nil {
		return err
	}
	if state.Highest >= r.Version {
		return errActive
	}
	state = inlineState{Inline: r.Version, Highest: r.Version}
	if row.Data, err = state.encode(); err != nil {
		return err
	}
	// The checkpoint has served its purpose. Without its row nobody can move it.
	return r.checkpoints.Update(ctx, []projection.Row{row}, rows)
}

// lock locks the table of events. Later saves wait behind it, so it gives up soon.
func (r *rebuild) lock(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', $1, true)`, strconv.FormatInt(lockTimeout.Milliseconds(), 10))
	if err == nil {
		_, err = tx.Exec(ctx, r.sql.lock)
	}
	if sqlState(err) == codeInsufficientPrivilege {
		return fmt.Errorf("eventsource/sqlprojection: to rebuild inline projections a role needs UPDATE on the table of events, or MAINTAIN from PostgreSQL 17 on: %w", err)
	}
	return r.checkpoints.translate(ctx, "lock the table of events", err)
}

// handleAfter handles the events after a sequence ID.
func (r *rebuild) handleAfter(ctx context.Context, tx pgx.Tx, sequenceID string) error {
	types := append([]string{}, r.stored(&r.InlineProjection)...) // nil would be NULL
	for {
		rows, err := tx.Query(ctx, r.sql.events, sequenceID, types, remainingPage)
		if err != nil {
			return r.checkpoints.translate(ctx, "read events", err)
		}
		records, err := pgx.CollectRows(rows, rowToRecord)
		if err != nil {
			return r.checkpoints.translate(ctx, "read events", err)
		}
		if err := r.handle(ctx, r.InlineProjection, records, make([][]eventsource.Event, len(records))); err != nil {
			return err
		}
		if len(records) < remainingPage {
			return nil
		}
		sequenceID = records[len(records)-1].SequenceID
	}
}

// rowToRecord reads a row of inline_events.
func rowToRecord(row pgx.CollectableRow) (r eventsource.Record, err error) {
	err = row.Scan(&r.SequenceID, &r.AggregateID, &r.Version, &r.Type, &r.Timestamp, &r.UserID, &r.Data, &r.Metadata)
	return r, err
}
