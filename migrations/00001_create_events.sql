-- The table of events, what keeps it append-only, and how far readers may read.
--
-- "events" stands for the table's name; the names of everything that belongs to
-- it start with the same word. migrations.Up puts the configured name in its place.

-- +goose Up
-- +goose StatementBegin
-- Text is compared byte by byte (COLLATE "C"): sequence IDs sort as ULIDs do,
-- and no index depends on the collations of the operating system.
CREATE TABLE "events" (
    -- ULID: the place in the order of all events
    sequence_id  text COLLATE "C" NOT NULL,
    aggregate_id text COLLATE "C" NOT NULL,
    -- 1, 2, 3, ... in each aggregate
    version      bigint NOT NULL,
    type         text COLLATE "C" NOT NULL,
    -- Unix time in nanoseconds
    timestamp    bigint NOT NULL,
    user_id      text NOT NULL,
    -- as the serializer wrote it: JSON in UTF-8, unless the application chose another
    data         bytea NOT NULL,
    -- a flat object of strings
    metadata     jsonb NOT NULL,

    CONSTRAINT "events_pkey" PRIMARY KEY (sequence_id),
    CONSTRAINT "events_aggregate_version_key" UNIQUE (aggregate_id, version),
    CONSTRAINT "events_sequence_id_check" CHECK (octet_length(sequence_id) = 26),
    CONSTRAINT "events_aggregate_id_check" CHECK (aggregate_id <> ''),
    CONSTRAINT "events_version_check" CHECK (version > 0),
    CONSTRAINT "events_type_check" CHECK (type <> '')
);
-- +goose StatementEnd

-- +goose StatementBegin
CREATE INDEX "events_type_idx" ON "events" (type, sequence_id);
-- +goose StatementEnd

-- +goose StatementBegin
-- Timestamps rise with the table, nearly, so a block range index of a few pages does.
CREATE INDEX "events_timestamp_idx" ON "events" USING brin (timestamp) WITH (pages_per_range = 32, autosummarize = on);
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION "events_refuse_change"() RETURNS trigger
    LANGUAGE plpgsql
AS $eventsource$
BEGIN
    RAISE EXCEPTION '% of %.% refused: events are never changed or deleted', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$eventsource$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER "events_append_only"
    BEFORE UPDATE OR DELETE OR TRUNCATE ON "events"
    FOR EACH STATEMENT EXECUTE FUNCTION "events_refuse_change"();
-- +goose StatementEnd

-- +goose StatementBegin
ALTER TABLE "events" ENABLE ALWAYS TRIGGER "events_append_only";
-- +goose StatementEnd

-- +goose StatementBegin
-- The horizon: which events may be read, and what holds back the others.
--
-- A transaction that appends holds a shared advisory lock whose key is
-- (table's oid mod 2^16) * 2^48 + K, where K, in Unix milliseconds, is a lower
-- bound of the time in all sequence IDs that it may still use.
--
--   head      highest sequence ID that is visible, '' if there is none
--   safe_end  no event at or below it will ever appear that is not visible to a
--             statement that begins after this one; a ULID, but not always that
--             of an event; '' if there is none
--   held_at   K of the oldest transaction that holds readers back, null if none does
--   held_by   process ID of its session
--
-- The order of the two steps matters: a transaction that is not seen in
-- pg_locks has either ended, so that its events are visible to a later
-- statement, or will read a head at or above the one read here before it
-- chooses its IDs. The function is volatile, so that in READ COMMITTED each of
-- its statements has a snapshot of its own.
CREATE FUNCTION "events_horizon"(
    OUT head text, OUT safe_end text, OUT held_at bigint, OUT held_by integer
)
    LANGUAGE plpgsql VOLATILE
    SET search_path FROM CURRENT
AS $eventsource$
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'a standby does not show the locks of its primary, so it cannot tell which events may be read'
            USING ERRCODE = 'ES001', HINT = 'Read events on the primary.';
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'the horizon cannot be read in a % transaction, whose snapshot is too old',
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'ES002', DETAIL = current_setting('transaction_isolation'),
                HINT = 'Read events in READ COMMITTED.';
    END IF;

    -- step 1
    SELECT e.sequence_id INTO head FROM "events" e ORDER BY e.sequence_id DESC LIMIT 1;
    head := coalesce(head, '');

    -- step 2
    SELECT (l.classid::bigint & 65535) << 32 | l.objid::bigint, l.pid
        INTO held_at, held_by
        FROM pg_locks l
        WHERE l.locktype = 'advisory'
          AND l.mode = 'ShareLock'
          AND l.objsubid = 1
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND l.classid::bigint >> 16 = to_regclass('"events"')::oid::bigint & 65535
        ORDER BY 1 LIMIT 1;

    safe_end := head;
    IF held_at IS NOT NULL THEN
        -- the highest ULID of the millisecond before
        IF held_at < 1 THEN
            safe_end := '';
        ELSE
            SELECT least(head COLLATE "C", string_agg(
                    substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', (((held_at - 1) >> 5 * n) & 31)::integer + 1, 1),
                    '' ORDER BY n DESC) || 'ZZZZZZZZZZZZZZZZ')
                INTO safe_end
                FROM generate_series(0, 9) n;
        END IF;
    END IF;
END
$eventsource$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
-- Dropping the table destroys events, so it has to be asked for.
DO $eventsource$
BEGIN
    IF coalesce(current_setting('eventsource.drop_events', true), '') <> 'on'
        AND EXISTS (SELECT FROM "events") THEN
        RAISE EXCEPTION 'refused to drop a table that holds events'
            USING ERRCODE = 'restrict_violation',
                HINT = 'Set eventsource.drop_events to on (in Go: migrations.WithDropEvents) to lose them for good.';
    END IF;
END
$eventsource$;
-- +goose StatementEnd
-- +goose StatementBegin
DROP FUNCTION "events_horizon"();
-- +goose StatementEnd
-- +goose StatementBegin
DROP TABLE "events";
-- +goose StatementEnd
-- +goose StatementBegin
DROP FUNCTION "events_refuse_change"();
-- +goose StatementEnd
