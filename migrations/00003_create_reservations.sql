-- Who holds which value that only one aggregate may have, and how a save takes it.
--
-- What is said in the first migration of operators and names holds here too.

-- +goose Up
-- +goose StatementBegin
-- A row whose end has come is as good as none. It stays until the value is reserved
-- again, or until somebody clears up.
CREATE TABLE "events_reservations" (
    scope        text COLLATE "C" NOT NULL,
    value        text COLLATE "C" NOT NULL,
    -- who holds it, and the event that it was reserved with
    aggregate_id text COLLATE "C" NOT NULL,
    sequence_id  text COLLATE "C" NOT NULL,
    version      bigint NOT NULL,
    -- Unix time in nanoseconds, 0 for no end
    until        bigint NOT NULL,

    CONSTRAINT "events_reservations_pkey" PRIMARY KEY (scope, value)
);
-- +goose StatementEnd

-- +goose StatementBegin
CREATE INDEX "events_reservations_ends_idx" ON "events_reservations" (until) WHERE until <> 0;
-- +goose StatementEnd

-- +goose StatementBegin
-- Appends events as events_append does, and reserves and releases values with them. The
-- arrays that start with "change" have an element for each value, in ascending order of
-- scope and value.
--
--   change_from      the only aggregate that may hold the value before
--   change_to        the aggregate that holds it afterwards, '' for none
--   change_until     when that ends
--   change_events    the event it is done with, as a place in the "event" arrays; 0 if
--                    that was appended by an earlier call of the transaction, and then
--   change_ids, change_versions  are its sequence ID and version
--
--   outcome  as of events_append, or 'taken' if other aggregates hold some of the
--            values: nothing was appended
--   taken    the places of these values, and
--   holders  the aggregates that hold them
--
-- All events are appended before the first value is locked, and values are locked in
-- their order, so that no two calls wait for each other. What was taken while this call
-- was under way is a unique violation, as for versions: the next try finds it in step 1.
CREATE FUNCTION "events_append_reserving"(
    bound bigint, clock bigint, clock_bound bigint, patience integer,
    first_stem text, event_tails text[],
    aggregates text[], event_aggregates integer[], event_steps integer[], event_wanted bigint[],
    event_types text[], event_timestamps bigint[], event_user_ids text[], event_data bytea[], event_metadata text[],
    change_scopes text[], change_values text[], change_from text[], change_to text[], change_until bigint[],
    change_events integer[], change_ids text[], change_versions bigint[],
    OUT outcome text, OUT stem text, OUT versions bigint[], OUT clock_ahead bigint, OUT taken bigint[], OUT holders text[]
)
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode TO force_generic_plan
    SET enable_seqscan TO off
    SET enable_bitmapscan TO off
    SET jit TO off
AS $eventsource$
DECLARE
    moment CONSTANT bigint := floor(extract(epoch FROM clock_timestamp()) * 1000000000::numeric)::bigint;
    event integer;
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

    -- step 1
    SELECT array_agg(c.place ORDER BY c.place), array_agg(r.aggregate_id ORDER BY c.place) INTO taken, holders
    FROM unnest(change_scopes, change_values, change_from) WITH ORDINALITY AS c (scope, value, aggregate_id, place)
    JOIN "events_reservations" r ON r.scope = c.scope AND r.value = c.value
    WHERE r.aggregate_id <> c.aggregate_id AND (r.until = 0 OR r.until > moment);
    IF taken IS NOT NULL THEN
        outcome := 'taken';
        RETURN;
    END IF;

    -- step 2
    SELECT a.outcome, a.stem, a.versions, a.clock_ahead INTO outcome, stem, versions, clock_ahead
    FROM "events_append"(bound, clock, clock_bound, patience, first_stem, event_tails, aggregates, event_aggregates,
        event_steps, event_wanted, event_types, event_timestamps, event_user_ids, event_data, event_metadata) a;
    IF outcome <> 'stored' THEN
        RETURN;
    END IF;

    -- step 3
    FOR place IN 1 .. cardinality(change_scopes) LOOP
        IF change_to[place] = '' THEN
            DELETE FROM "events_reservations" r
            WHERE r.scope = change_scopes[place] AND r.value = change_values[place]
              AND (r.aggregate_id = change_from[place] OR r.until <> 0 AND r.until <= moment);
            CONTINUE WHEN FOUND OR NOT EXISTS (
                SELECT FROM "events_reservations" r WHERE r.scope = change_scopes[place] AND r.value = change_values[place]
            );
        ELSE
            event := change_events[place];
            INSERT INTO "events_reservations" AS r (scope, value, aggregate_id, sequence_id, version, until)
            SELECT change_scopes[place], change_values[place], change_to[place],
                CASE event WHEN 0 THEN change_ids[place] ELSE stem || event_tails[event] END,
                CASE event WHEN 0 THEN change_versions[place] ELSE versions[event_aggregates[event]] + event_steps[event] END,
                change_until[place]
            ON CONFLICT (scope, value) DO UPDATE
            SET aggregate_id = excluded.aggregate_id, sequence_id = excluded.sequence_id, version = excluded.version, until = excluded.until
            WHERE r.aggregate_id = change_from[place] OR r.until <> 0 AND r.until <= moment;
            CONTINUE WHEN FOUND;
        END IF;
        RAISE EXCEPTION 'a value was taken by another aggregate meanwhile' USING ERRCODE = 'unique_violation';
    END LOOP;
END
$eventsource$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $eventsource$
DECLARE
    here CONSTANT text := quote_ident(current_schema());
BEGIN
    EXECUTE 'ALTER FUNCTION ' || here || '."events_append_reserving" SET search_path TO ' || here || ', pg_temp';
END
$eventsource$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
-- Without its row a value is free for anybody. So that has to be asked for, as for the
-- events. The lock waits for what is under way. A reservation that has ended may go.
DO $eventsource$
BEGIN
    LOCK TABLE "events_reservations" IN ACCESS EXCLUSIVE MODE;
    IF coalesce(current_setting('eventsource.drop_events', true), '') <> 'on'
        AND EXISTS (
            SELECT FROM "events_reservations" r
            WHERE r.until = 0 OR r.until > floor(extract(epoch FROM clock_timestamp()) * 1000000000::numeric)::bigint
        ) THEN
        RAISE EXCEPTION 'refused to drop a table that holds reservations: to lose them for good, set eventsource.drop_events to on (in Go: migrations.WithDropEvents)'
            USING ERRCODE = 'restrict_violation';
    END IF;
END
$eventsource$;
-- +goose StatementEnd
-- +goose StatementBegin
DROP FUNCTION "events_append_reserving"(
    bigint, bigint, bigint, integer, text, text[], text[], integer[], integer[], bigint[],
    text[], bigint[], text[], bytea[], text[],
    text[], text[], text[], text[], bigint[], integer[], text[], bigint[]
);
-- +goose StatementEnd
-- +goose StatementBegin
DROP TABLE "events_reservations";
-- +goose StatementEnd
