-- How far projections are, who works on them, and which events they have parked.
-- They need not be in the database of the events.

-- +goose Up
-- +goose StatementBegin
-- A row is a projection (version 0, partition 0), one of its versions (partition -1)
-- or a partition of that. A partition's row is updated with every batch, and no index
-- has what changes then: with room on its page the update touches nothing else.
CREATE TABLE "events_projections" (
    name       text COLLATE "C" NOT NULL,
    version    bigint NOT NULL,
    partition  bigint NOT NULL,
    -- 1 and up, one more with every write
    revision   bigint NOT NULL,
    -- the fencing token, another one for each owner
    token      bigint NOT NULL,
    -- who holds the lease, and who would like to; '' if nobody does
    owner      text NOT NULL,
    wanted     text NOT NULL,
    -- for how long the owner may be silent, in nanoseconds
    ttl        bigint NOT NULL,
    -- sequence IDs: all events up to the first are handled, the other was the last one
    position   text COLLATE "C" NOT NULL,
    last_event text COLLATE "C" NOT NULL,
    handled    bigint NOT NULL,
    -- as it was given, so not jsonb
    data       json,
    -- by the server's clock, to look at: nothing depends on it
    updated_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT "events_projections_pkey" PRIMARY KEY (name, version, partition)
) WITH (fillfactor = 50);
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TABLE "events_parked" (
    name              text COLLATE "C" NOT NULL,
    version           bigint NOT NULL,
    sequence_id       text COLLATE "C" NOT NULL,
    aggregate_id      text COLLATE "C" NOT NULL,
    aggregate_version bigint NOT NULL,
    type              text COLLATE "C" NOT NULL,
    -- 'parked' or 'skipped'
    state             text NOT NULL,
    -- what is to be done: '', 'retry' or 'drop'
    request           text NOT NULL,
    error             text NOT NULL,
    tries             bigint NOT NULL,
    recorded_at       timestamptz NOT NULL,

    CONSTRAINT "events_parked_pkey" PRIMARY KEY (name, version, sequence_id)
);
-- +goose StatementEnd

-- +goose StatementBegin
-- A hash, because an aggregate ID may be as long as an index lets it.
CREATE INDEX "events_parked_aggregate_idx" ON "events_parked" USING hash (aggregate_id);
-- +goose StatementEnd

-- +goose StatementBegin
-- Runners ask for these all the time.
CREATE INDEX "events_parked_request_idx" ON "events_parked" (name, version, sequence_id) WHERE request <> '';
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
-- Without its row a projection begins anew, and handles all events again. So that
-- has to be asked for, as for the events. The locks wait for what is under way.
DO $eventsource$
BEGIN
    LOCK TABLE "events_projections", "events_parked" IN ACCESS EXCLUSIVE MODE;
    IF coalesce(current_setting('eventsource.drop_events', true), '') <> 'on'
        AND (EXISTS (SELECT FROM "events_projections") OR EXISTS (SELECT FROM "events_parked")) THEN
        RAISE EXCEPTION 'refused to drop tables that hold the positions of projections: to lose them for good, set eventsource.drop_events to on (in Go: migrations.WithDropEvents)'
            USING ERRCODE = 'restrict_violation';
    END IF;
END
$eventsource$;
-- +goose StatementEnd
-- +goose StatementBegin
DROP TABLE "events_parked";
-- +goose StatementEnd
-- +goose StatementBegin
DROP TABLE "events_projections";
-- +goose StatementEnd
