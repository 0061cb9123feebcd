package sqlprojection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/pgident"
	"github.com/eventsource-go/eventsource/projection"
)

// ErrInlineVersion is returned by a save when another version of an inline projection
// is active than this process has. Nothing was stored. The details are in an
// [InlineVersionError].
var ErrInlineVersion = errors.New("eventsource/sqlprojection: active version of an inline projection is not one of this process")

// InlineVersionError says which version is missing. It unwraps to [ErrInlineVersion].
type InlineVersionError struct {
	// Projection is the name of the inline projection.
	Projection string
	// Active is the version that is active.
	Active int
	// Known are the versions that this process has, sorted.
	Known []int
}

func (e *InlineVersionError) Error() string {
	return fmt.Sprintf("%v: version %d of %q is active, and this process has %v; start one that has both before the next version is built",
		ErrInlineVersion, e.Active, e.Projection, e.Known)
}

// Unwrap returns [ErrInlineVersion].
func (e *InlineVersionError) Unwrap() error { return ErrInlineVersion }

// InlineProjection is a version of a projection whose handler runs in the transactions
// that save events.
type InlineProjection struct {
	// Name is the projection's, 1 to 200 bytes.
	Name string
	// Version is from 1. Each has tables of its own.
	Version int
	// Handler is one of [On], [Each] and [Batch] of this package, or several of them in
	// [projection.ByType]. It is called from many goroutines at once. A
	// [projection.SideEffect] has no place in it: it would happen before the event is stored.
	Handler projection.Handler
}

// maxInlineName is the most bytes of a name: others are made of it.
const maxInlineName = 200

// Inline runs projections in the transactions that save events, so that a read model
// shows an event as soon as it is stored, and a handler's error fails the save. The
// events, the checkpoints and the read models are in one database. It is safe for
// concurrent use.
//
// Give [Inline.Handle] to the store of every process that saves. A projection is not
// active, and its handler not called, before [Inline.Rebuild] has had it handle the
// events that are there. Which version is active the database knows, and each save
// asks it: a save by a process that does not have that version is
// [ErrInlineVersion]. So a new version is brought in like this:
//
//  1. start processes that have the active and the new version, everywhere;
//  2. call Rebuild for the new one, which becomes active in one step;
//  3. start processes that have the new version only.
//
// An event that a process without Handle saves, or one that does not know of a
// projection at all, is missing in the read model for good.
//
// Saves that change the same row of a read model wait for each other, and what a handler
// takes, readers of events wait for: see sqlstore.WithInTransaction. A projection that
// need not be consistent at once is better a [projection.Projection].
type Inline struct {
	checkpoints *Checkpoints
	feed        eventsource.Feed // decodes
	projections map[string]map[int]InlineProjection
	names       []string // sorted
	rows        []string // in which the state of each is, in the same order
	sql         inlineStatements
	err         error
}

type inlineStatements struct{ active, lock, head, events string }

// noStore is for a repository that only decodes.
type noStore struct{ eventsource.Store }

// NewInline returns inline projections. The serializer is that of the repository whose
// events they handle, and the checkpoints have the schema and the table of its store.
// Several versions of one name may be given. Arguments that cannot be make every
// method return [eventsource.ErrMisconfigured].
func NewInline(checkpoints *Checkpoints, serializer eventsource.Serializer, projections ...InlineProjection) *Inline {
	i := &Inline{checkpoints: checkpoints, projections: make(map[string]map[int]InlineProjection)}
	if checkpoints == nil {
		i.err = misconfigured("checkpoints are nil")
		return i
	}
	i.feed = eventsource.NewRepository(noStore{}, serializer).(eventsource.Feeder).Feed() //nolint:forcetypeassert // they all are
	i.err = errors.Join(checkpoints.Err(), i.feed.Err())
	if len(projections) == 0 {
		i.err = errors.Join(i.err, misconfigured("no inline projection was given"))
	}
	for _, p := range projections {
		i.err = errors.Join(i.err, i.add(p))
	}
	i.names = slices.Sorted(maps.Keys(i.projections))
	for _, name := range i.names {
		i.rows = append(i.rows, inlineRow(name))
	}
	events := strings.NewReplacer("{events}", pgident.Quote(checkpoints.schema, checkpoints.table))
	load := func(name string) string { return events.Replace(checkpoints.statement("sql/inline_" + name + ".sql")) }
	i.sql = inlineStatements{active: load("active"), lock: load("lock"), head: load("head"), events: load("events")}
	return i
}

// Err returns what was wrong with the arguments of [NewInline], nil if nothing was.
func (i *Inline) Err() error { return i.err }

func (i *Inline) add(p InlineProjection) error {
	if p.Name == "" || len(p.Name) > maxInlineName || !utf8.ValidString(p.Name) || strings.ContainsRune(p.Name, 0) {
		return misconfigured("name %q of an inline projection is not 1 to %d bytes of UTF-8 without NUL", p.Name, maxInlineName)
	}
	if p.Version < 1 {
		return misconfigured("version %d of inline projection %q is below 1", p.Version, p.Name)
	}
	if _, twice := i.projections[p.Name][p.Version]; twice {
		return misconfigured("version %d of inline projection %q was given twice", p.Version, p.Name)
	}
	if p.Handler == nil {
		return misconfigured("handler of inline projection %q, version %d, is nil", p.Name, p.Version)
	}
	if h, ok := p.Handler.(interface{ Err() error }); ok && h.Err() != nil {
		return h.Err()
	}
	if h, ok := p.Handler.(projection.Transactional); !ok || !h.Transactional() {
		return misconfigured("handler of inline projection %q, version %d, is none of package sqlprojection, and would not work in the transaction", p.Name, p.Version)
	}
	if i.projections[p.Name] == nil {
		i.projections[p.Name] = make(map[int]InlineProjection)
	}
	i.projections[p.Name][p.Version] = p
	return nil
}

// Handle is the function for sqlstore.WithInTransaction. It handles the events of a
// save with the versions that are active, in the order in which they are stored. An
// error fails the save.
func (i *Inline) Handle(ctx context.Context, tx pgx.Tx, records []eventsource.Record) error {
	if i.err != nil {
		return i.err
	}
	// After the insert, and in a statement of its own: see Rebuild.
	active, err := i.active(ctx, tx)
	if err != nil {
		return err
	}
	ctx = withTx(ctx, tx)
	decoded := make([][]eventsource.Event, len(records))
	for n, name := range i.names {
		version := active[i.rows[n]]
		if version == 0 {
			continue
		}
		p, ok := i.projections[name][version]
		if !ok {
			return &InlineVersionError{Projection: name, Active: version, Known: slices.Sorted(maps.Keys(i.projections[name]))}
		}
		if err := i.handle(ctx, p, records, decoded); err != nil {
			return err
		}
	}
	return nil
}

// handle has a projection handle those of the records that it asks for. Decoded are
// their events, all of each record, as far as somebody needed them before.
func (i *Inline) handle(ctx context.Context, p InlineProjection, records []eventsource.Record, decoded [][]eventsource.Event) error {
	types, stored := p.types(), i.stored(&p)
	events := make([]eventsource.Event, 0, len(records))
	for n := range records {
		if len(stored) > 0 && !slices.Contains(stored, records[n].Type) {
			continue
		}
		if decoded[n] == nil {
			all, err := i.feed.Events(&records[n])
			if err != nil {
				return p.failed(err)
			}
			decoded[n] = all
		}
		for _, event := range decoded[n] {
			if len(types) == 0 || slices.Contains(types, eventsource.EventType(event)) {
				events = append(events, event)
			}
		}
	}
	if len(events) == 0 {
		return nil
	}
	if err := call(ctx, p.Handler, events); err != nil {
		return p.failed(err)
	}
	return nil
}

// call calls the handler and turns a panic into an error.
func call(ctx context.Context, h projection.Handler, events []eventsource.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &projection.PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	return h.Handle(ctx, events)
}

// types are the event types that the projection asks for, none for all.
func (p *InlineProjection) types() []string {
	if h, ok := p.Handler.(projection.Typed); ok {
		return h.EventTypes()
	}
	return nil
}

// stored are the types under which those that the projection asks for are stored.
func (i *Inline) stored(p *InlineProjection) []string { return i.feed.StoredTypes(p.types()...) }

func (p *InlineProjection) failed(err error) error {
	return fmt.Errorf("eventsource/sqlprojection: inline projection %q, version %d: %w", p.Name, p.Version, err)
}

// active gives the versions that are active, by the rows that their state is in.
func (i *Inline) active(ctx context.Context, db database) (map[string]int, error) {
	rows, err := db.Query(ctx, i.sql.active, i.rows)
	if err != nil {
		return nil, i.checkpoints.translate(ctx, "look which inline projections are active", err)
	}
	active := make(map[string]int, len(i.rows))
	var (
		row     string
		version int
	)
	_, err = pgx.ForEachRow(rows, []any{&row, &version}, func() error {
		active[row] = version
		return nil
	})
	return active, i.checkpoints.translate(ctx, "look which inline projections are active", err)
}

// inlineState is the Data of the row that says which version is active.
type inlineState struct {
	// Inline is the active version, 0 if none is.
	Inline int `json:"inline"`
	// Highest is the highest version that ever was.
	Highest int `json:"highest"`
}

// inlineRow is the name of that row. It is not that of the projection, so that a
// catch-up projection of the same name does not write over it.
func inlineRow(name string) string { return name + ":inline" }

// state loads the row. It has Revision 0 if it is not there.
func (i *Inline) state(ctx context.Context, name string) (state inlineState, row projection.Row, err error) {
	row = projection.Row{Name: inlineRow(name)}
	rows, err := i.checkpoints.Load(ctx, row.Name)
	if err != nil {
		return state, row, err
	}
	if found, ok := rowOf(rows, 0, 0); ok {
		row = found
		if err := json.Unmarshal(row.Data, &state); err != nil {
			return state, row, fmt.Errorf("eventsource/sqlprojection: state of inline projection %q cannot be read: %w", name, err)
		}
	}
	return state, row, nil
}

func (s inlineState) encode() (json.RawMessage, error) { return json.Marshal(s) }

func rowOf(rows []projection.Row, version, partition int) (projection.Row, bool) {
	for _, row := range rows {
		if row.Version == version && row.Partition == partition {
			return row, true
		}
	}
	return projection.Row{}, false
}

// known finds out whether there is a projection of that name.
func (i *Inline) known(name string) error {
	if i.err == nil && i.projections[name] == nil {
		return fmt.Errorf("%w: inline projection %q", projection.ErrUnknown, name)
	}
	return i.err
}

// Active returns the version of an inline projection that is active, 0 if none is: the
// one whose tables are to be read. [projection.ErrUnknown] says that this process has
// none of that name.
func (i *Inline) Active(ctx context.Context, name string) (int, error) {
	if err := i.known(name); err != nil {
		return 0, err
	}
	state, _, err := i.state(ctx, name)
	return state.Inline, err
}

// Deactivate has an inline projection handle no more events, as when its handler fails
// and keeps events from being saved. Its tables stay as they are. Only a higher version
// than any that was active can be built afterwards, since all others have missed events.
func (i *Inline) Deactivate(ctx context.Context, name string) error {
	if err := i.known(name); err != nil {
		return err
	}
	for {
		state, row, err := i.state(ctx, name)
		if err != nil || state.Inline == 0 {
			return err
		}
		state.Inline = 0
		if row.Data, err = state.encode(); err != nil {
			return err
		}
		if err := i.checkpoints.Update(ctx, []projection.Row{row}, nil); !errors.Is(err, projection.ErrStale) {
			return err
		}
	}
}
