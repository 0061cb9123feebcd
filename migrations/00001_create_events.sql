-- The table of events, what keeps it append-only, and how far readers may read.
--
-- "events" stands for the table's name; the names of everything that belongs to
-- it start with the same word. migrations.Up puts the configured name in its place.
--
-- In the functions both sides of an operator are of the types that PostgreSQL has it
-- for: otherwise somebody who may create operators in this schema could have one
-- that fits better.

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
    -- Also while the table is small, the head is read from the end of the index.
    SET enable_seqscan TO off
    SET jit TO off
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
    SELECT (l.classid::bigint & 65535::bigint) << 32 | l.objid::bigint, l.pid
        INTO held_at, held_by
        FROM pg_locks l
        WHERE l.locktype = 'advisory'
          AND l.mode = 'ShareLock'
          AND l.objsubid = 1
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND l.classid::bigint >> 16 = to_regclass('"events"')::oid::bigint & 65535::bigint
        ORDER BY 1 LIMIT 1;

    safe_end := head;
    IF held_at IS NOT NULL THEN
        -- the highest ULID of the millisecond before
        IF held_at < 1 THEN
            safe_end := '';
        ELSE
            SELECT least(head COLLATE "C", string_agg(
                    substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', (((held_at - 1) >> 5 * n) & 31::bigint)::integer + 1, 1),
                    '' ORDER BY n DESC) || 'ZZZZZZZZZZZZZZZZ')
                INTO safe_end
                FROM generate_series(0, 9) n;
        END IF;
    END IF;
END
$eventsource$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Appends events, in READ COMMITTED, in the caller's transaction or, called on its
-- own, in one that commits with it. The arrays that start with "event" have an
-- element for each event, in order.
--
--   bound        K, in Unix milliseconds: no sequence ID's time will be below it
--   clock        the caller's clock, in Unix milliseconds
--   clock_bound  by how many milliseconds it may be ahead of the server's
--   patience     how many milliseconds to wait for a transaction that is about to
--                write the same version of an aggregate; 0 for as long as it takes
--   first_stem   the first 18 characters of the sequence IDs to use: K, and entropy
--   event_tails  their last 8 characters, ascending
--   aggregates   the IDs of the aggregates, each once
--   event_aggregates, event_steps  for each event its aggregate, as a place in
--                aggregates, and its number, from 1, among those of this call
--   event_wanted the version that each event asks for, 0 for the next one;
--                null if none does
--
--   outcome      'stored'; or else nothing was: 'conflict' if a version that was
--                asked for is not the next one, 'clock' if the clock is ahead
--   stem         the first 18 characters of the sequence IDs
--   versions     of the aggregates, before this call
--   clock_ahead  by how many milliseconds the caller's clock is ahead
--
-- The order of the steps matters. The lock publishes K; a reader that does not
-- see it has read a head that the later statement below sees too, so that all
-- IDs chosen here are above it. The function is volatile, so that in READ
-- COMMITTED each of its statements has a snapshot of its own.
CREATE FUNCTION "events_append"(
    bound bigint, clock bigint, clock_bound bigint, patience integer,
    first_stem text, event_tails text[],
    aggregates text[], event_aggregates integer[], event_steps integer[], event_wanted bigint[],
    event_types text[], event_timestamps bigint[], event_user_ids text[], event_data bytea[], event_metadata text[],
    OUT outcome text, OUT stem text, OUT versions bigint[], OUT clock_ahead bigint
)
    LANGUAGE plpgsql VOLATILE
    -- One plan for all calls: to make one takes longer than to carry it out. It is
    -- made for a large table, also while the table is small.
    SET plan_cache_mode TO force_generic_plan
    SET enable_seqscan TO off
    SET enable_bitmapscan TO off
    SET jit TO off
AS $eventsource$
DECLARE
    digits CONSTANT text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
    head text COLLATE "C";
    place integer := 18;
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'a standby takes no events' USING ERRCODE = 'ES001', HINT = 'Append on the primary.';
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'events cannot be appended in a % transaction, whose snapshot is too old',
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'ES002', DETAIL = current_setting('transaction_isolation'),
                HINT = 'Append events in READ COMMITTED.';
    END IF;
    IF patience > 0 THEN
        PERFORM set_config('lock_timeout', patience::text, true);
    END IF;

    -- step 1
    PERFORM pg_advisory_xact_lock_shared((to_regclass('"events"')::oid::bigint & 65535::bigint) << 48 | bound);

    -- step 2
    SELECT
        (SELECT e.sequence_id FROM "events" e ORDER BY e.sequence_id DESC LIMIT 1),
        ARRAY(
            SELECT coalesce((
                SELECT e.version FROM "events" e WHERE e.aggregate_id = a.id ORDER BY e.version DESC LIMIT 1
            ), 0)
            FROM unnest(aggregates) WITH ORDINALITY AS a (id, place)
            ORDER BY a.place
        ),
        clock - floor(extract(epoch FROM clock_timestamp()) * 1000::numeric)::bigint
        INTO head, versions, clock_ahead;

    IF clock_ahead > clock_bound THEN
        outcome := 'clock';
        RETURN;
    END IF;
    IF event_wanted IS NOT NULL AND EXISTS (
        SELECT FROM unnest(event_wanted, event_aggregates, event_steps) AS w (version, aggregate, step)
        WHERE w.version <> 0 AND w.version <> versions[w.aggregate] + w.step
    ) THEN
        outcome := 'conflict';
        RETURN;
    END IF;

    -- step 3: go on from the head if the first choice is not above it
    stem := first_stem;
    IF left(head, 18) >= stem COLLATE "C" THEN
        stem := left(head, 18);
        WHILE place > 0 AND substr(stem, place, 1) = 'Z' LOOP
            place := place - 1;
        END LOOP;
        stem := left(stem, place - 1) || substr(digits, strpos(digits, substr(stem, place, 1)) + 1, 1) || repeat('0', 18 - place);
        IF place = 0 OR stem COLLATE "C" >= '8' THEN
            RAISE EXCEPTION 'no sequence ID is left above %', head USING ERRCODE = 'ES003';
        END IF;
    END IF;

    -- step 4
    INSERT INTO "events" (sequence_id, aggregate_id, version, type, timestamp, user_id, data, metadata)
    SELECT stem || r.tail, aggregates[r.aggregate], versions[r.aggregate] + r.step, r.type, r.timestamp, r.user_id,
        r.data, r.metadata::jsonb
    FROM unnest(event_tails, event_aggregates, event_steps, event_types, event_timestamps, event_user_ids, event_data, event_metadata)
        AS r (tail, aggregate, step, type, timestamp, user_id, data, metadata);
    outcome := 'stored';
END
$eventsource$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The functions find the table in their own schema, whoever calls them: the search
-- path of this session may mean another schema to another role ("$user"), and
-- pg_temp comes last, so that no temporary table takes the place of the real one.
DO $eventsource$
DECLARE
    here CONSTANT text := quote_ident(current_schema());
BEGIN
    EXECUTE 'ALTER FUNCTION ' || here || '."events_horizon" SET search_path TO ' || here || ', pg_temp';
    EXECUTE 'ALTER FUNCTION ' || here || '."events_append" SET search_path TO ' || here || ', pg_temp';
END
$eventsource$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
-- Dropping the table destroys events, so it has to be asked for. The lock waits
-- for appends that are under way, so that their events are seen.
DO $eventsource$
BEGIN
    LOCK TABLE "events" IN ACCESS EXCLUSIVE MODE;
    IF coalesce(current_setting('eventsource.drop_events', true), '') <> 'on'
        AND EXISTS (SELECT FROM "events") THEN
        RAISE EXCEPTION 'refused to drop a table that holds events: to lose them for good, set eventsource.drop_events to on (in Go: migrations.WithDropEvents)'
            USING ERRCODE = 'restrict_violation';
    END IF;
END
$eventsource$;
-- +goose StatementEnd
-- +goose StatementBegin
DROP FUNCTION "events_append"(
    bigint, bigint, bigint, integer, text, text[], text[], integer[], integer[], bigint[],
    text[], bigint[], text[], bytea[], text[]
);
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
