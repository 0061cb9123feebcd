-- States of aggregates, to load fewer events. They need not be in the database of the
-- events, and can be deleted at any time.

-- +goose Up
-- +goose StatementBegin
CREATE TABLE "events_snapshots" (
    aggregate_id   text COLLATE "C" NOT NULL,
    type           text COLLATE "C" NOT NULL,
    schema_version bigint NOT NULL,
    -- of the last event that the state has
    version        bigint NOT NULL,
    sequence_id    text COLLATE "C" NOT NULL,
    state          bytea NOT NULL,
    -- by the server's clock, to look at and to delete what is old
    taken_at       timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT "events_snapshots_pkey" PRIMARY KEY (aggregate_id, type, schema_version)
);
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
-- Nothing is lost: they are taken anew.
DROP TABLE "events_snapshots";
-- +goose StatementEnd
