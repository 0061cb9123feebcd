package chaos

import (
	"context"
	"errors"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/history"
)

// readFinally reads all there is in several ways, after everything has come to rest.
func readFinally(ctx context.Context, repo eventsource.Repository, recorder *history.Recorder) error {
	recorder.Final()
	aggregates := make(map[string]bool)
	whole := finalReader{repo: repo, recorder: recorder, name: "final whole", limit: 0}
	err := whole.read(ctx, func(e history.Event) { aggregates[e.Aggregate] = true })
	pages := finalReader{repo: repo, recorder: recorder, name: "final pages", limit: 173}
	err = errors.Join(err, pages.read(ctx, nil))
	noted := finalReader{repo: repo, recorder: recorder, name: "final noted", limit: 97, only: &Noted{}}
	err = errors.Join(err, noted.read(ctx, nil))
	for id := range aggregates {
		var loaded collected
		call := recorder.Load(id)
		_, loadErr := repo.Load(ctx, id, &loaded)
		call.Return(loaded.events, loadErr)
		err = errors.Join(err, loadErr)
	}
	return err
}

type finalReader struct {
	repo     eventsource.Repository
	recorder *history.Recorder
	name     string
	limit    int
	only     eventsource.Event // nil for all types
}

// read reads up to the page that is empty, or at once if there is no limit.
func (f finalReader) read(ctx context.Context, each func(history.Event)) error {
	cursor, eventType := "", ""
	if f.only != nil {
		eventType = eventsource.EventType(f.only)
	}
	for {
		call := f.recorder.Page(f.name, cursor, f.limit, eventType)
		var (
			events []eventsource.Event
			err    error
		)
		if f.only != nil {
			events, err = f.repo.GetEventsBySequenceIDAndType(ctx, cursor, f.only, f.limit)
		} else {
			events, err = f.repo.GetEventsBySequenceID(ctx, cursor, f.limit)
		}
		page := allSeen(events)
		call.Return(page, err)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, e := range page {
			if each != nil {
				each(e)
			}
			cursor = e.SequenceID
		}
	}
}
