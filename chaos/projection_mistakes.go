package chaos

import (
	"context"
	"fmt"

	"github.com/eventsource-go/eventsource/projection"
)

// The mistakes that checkpoints can make on purpose. Each has to be found out.
const (
	// mistakeHaste has others take over the leases of those who are alive. That is no
	// mistake that anybody may notice: no promise rests on time.
	mistakeHaste = "leases are taken over too early"
	// mistakeNoFencing moves the checkpoint whoever has the lease, which is found out
	// with haste: an owner that has been frozen also knows by its own clock.
	mistakeNoFencing = "no fencing"
	// mistakeCommitsFirst commits what was handled, and moves the checkpoint then.
	mistakeCommitsFirst = "the checkpoint moves after the transaction"
	// mistakeMovesFirst moves the checkpoint, and commits what was handled then.
	mistakeMovesFirst = "the checkpoint moves before the transaction"
	// mistakeForgetsParked forgets that events were parked.
	mistakeForgetsParked = "parked events are forgotten"
)

// mistaken are checkpoints that make a mistake.
func mistaken(mistake string, right checkpoints) (projection.Checkpoints, error) {
	switch mistake {
	case "":
		return right, nil
	case mistakeHaste:
		return &hasty{right}, nil
	case mistakeNoFencing:
		return &noFencing{&hasty{right}}, nil
	case mistakeCommitsFirst:
		return &commitsFirst{right}, nil
	case mistakeMovesFirst:
		return &movesFirst{right}, nil
	case mistakeForgetsParked:
		return &forgetsParked{right}, nil
	default:
		return nil, fmt.Errorf("mistake %q is unknown", mistake)
	}
}

type hasty struct{ checkpoints }

func (c *hasty) Load(ctx context.Context, name string) ([]projection.Row, error) {
	rows, err := c.checkpoints.Load(ctx, name)
	for i := range rows {
		rows[i].TTL /= 15
	}
	return rows, err
}

type noFencing struct{ checkpoints }

func (c *noFencing) Advance(ctx context.Context, move projection.Move) (projection.Ack, error) {
	rows, err := c.Load(ctx, move.Name)
	if err != nil {
		return projection.Ack{}, err
	}
	for _, row := range rows {
		if row.Version == move.Version && row.Partition == move.Partition {
			move.Token = row.Token
		}
	}
	return c.checkpoints.Advance(ctx, move)
}

type commitsFirst struct{ checkpoints }

// moveKey is where a context keeps where to put the move of a transaction.
type moveKey struct{}

func (c *commitsFirst) Transact(ctx context.Context, fn func(context.Context) error) error {
	var move *projection.Move
	err := c.checkpoints.Transact(ctx, func(ctx context.Context) error {
		return fn(context.WithValue(ctx, moveKey{}, &move))
	})
	if err == nil && move != nil {
		_, err = c.checkpoints.Advance(ctx, *move)
	}
	return err
}

func (c *commitsFirst) Advance(ctx context.Context, move projection.Move) (projection.Ack, error) {
	if later, inside := ctx.Value(moveKey{}).(**projection.Move); inside {
		*later = &move
		return projection.Ack{}, nil
	}
	return c.checkpoints.Advance(ctx, move)
}

type movesFirst struct{ checkpoints }

// outsideKey is where a context of a transaction keeps the one around it.
type outsideKey struct{}

func (c *movesFirst) Transact(ctx context.Context, fn func(context.Context) error) error {
	return c.checkpoints.Transact(ctx, func(inside context.Context) error {
		return fn(context.WithValue(inside, outsideKey{}, ctx))
	})
}

func (c *movesFirst) Advance(ctx context.Context, move projection.Move) (projection.Ack, error) {
	if outside, inside := ctx.Value(outsideKey{}).(context.Context); inside {
		ctx = outside
	}
	return c.checkpoints.Advance(ctx, move)
}

type forgetsParked struct{ checkpoints }

func (c *forgetsParked) Parked(ctx context.Context, query projection.ParkedQuery) ([]projection.Parked, error) {
	if query.AggregateID == "" && !query.Requested { // when a worker begins
		return nil, nil
	}
	return c.checkpoints.Parked(ctx, query)
}
