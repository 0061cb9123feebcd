--
-- PostgreSQL database dump
--


-- Dumped from database version 17.12 (Debian 17.12-0+deb13u1)
-- Dumped by pg_dump version 17.12 (Debian 17.12-0+deb13u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: schema_of_the_dump; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA schema_of_the_dump;


--
-- Name: Order_append(bigint, bigint, bigint, integer, text, text[], text[], integer[], integer[], bigint[], text[], bigint[], text[], bytea[], text[]); Type: FUNCTION; Schema: schema_of_the_dump; Owner: -
--

CREATE FUNCTION schema_of_the_dump."Order_append"(bound bigint, clock bigint, clock_bound bigint, patience integer, first_stem text, event_tails text[], aggregates text[], event_aggregates integer[], event_steps integer[], event_wanted bigint[], event_types text[], event_timestamps bigint[], event_user_ids text[], event_data bytea[], event_metadata text[], OUT outcome text, OUT stem text, OUT versions bigint[], OUT clock_ahead bigint) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    SET search_path TO 'schema_of_the_dump', 'pg_temp'
    AS $$
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
    PERFORM pg_advisory_xact_lock_shared((to_regclass('"Order"')::oid::bigint & 65535::bigint) << 48 | bound);

    -- step 2
    SELECT
        (SELECT e.sequence_id FROM "Order" e ORDER BY e.sequence_id DESC LIMIT 1),
        ARRAY(
            SELECT coalesce((
                SELECT e.version FROM "Order" e WHERE e.aggregate_id = a.id ORDER BY e.version DESC LIMIT 1
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
    INSERT INTO "Order" (sequence_id, aggregate_id, version, type, timestamp, user_id, data, metadata)
    SELECT stem || r.tail, aggregates[r.aggregate], versions[r.aggregate] + r.step, r.type, r.timestamp, r.user_id,
        r.data, r.metadata::jsonb
    FROM unnest(event_tails, event_aggregates, event_steps, event_types, event_timestamps, event_user_ids, event_data, event_metadata)
        AS r (tail, aggregate, step, type, timestamp, user_id, data, metadata);
    outcome := 'stored';
END
$$;


--
-- Name: Order_append_reserving(bigint, bigint, bigint, integer, text, text[], text[], integer[], integer[], bigint[], text[], bigint[], text[], bytea[], text[], text[], text[], text[], text[], bigint[], integer[], text[], bigint[]); Type: FUNCTION; Schema: schema_of_the_dump; Owner: -
--

CREATE FUNCTION schema_of_the_dump."Order_append_reserving"(bound bigint, clock bigint, clock_bound bigint, patience integer, first_stem text, event_tails text[], aggregates text[], event_aggregates integer[], event_steps integer[], event_wanted bigint[], event_types text[], event_timestamps bigint[], event_user_ids text[], event_data bytea[], event_metadata text[], change_scopes text[], change_values text[], change_from text[], change_to text[], change_until bigint[], change_events integer[], change_ids text[], change_versions bigint[], OUT outcome text, OUT stem text, OUT versions bigint[], OUT clock_ahead bigint, OUT taken bigint[], OUT holders text[]) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    SET search_path TO 'schema_of_the_dump', 'pg_temp'
    AS $$
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
    JOIN "Order_reservations" r ON r.scope = c.scope AND r.value = c.value
    WHERE r.aggregate_id <> c.aggregate_id AND (r.until = 0 OR r.until > moment);
    IF taken IS NOT NULL THEN
        outcome := 'taken';
        RETURN;
    END IF;

    -- step 2
    SELECT a.outcome, a.stem, a.versions, a.clock_ahead INTO outcome, stem, versions, clock_ahead
    FROM "Order_append"(bound, clock, clock_bound, patience, first_stem, event_tails, aggregates, event_aggregates,
        event_steps, event_wanted, event_types, event_timestamps, event_user_ids, event_data, event_metadata) a;
    IF outcome <> 'stored' THEN
        RETURN;
    END IF;

    -- step 3
    FOR place IN 1 .. cardinality(change_scopes) LOOP
        IF change_to[place] = '' THEN
            DELETE FROM "Order_reservations" r
            WHERE r.scope = change_scopes[place] AND r.value = change_values[place]
              AND (r.aggregate_id = change_from[place] OR r.until <> 0 AND r.until <= moment);
            CONTINUE WHEN FOUND OR NOT EXISTS (
                SELECT FROM "Order_reservations" r WHERE r.scope = change_scopes[place] AND r.value = change_values[place]
            );
        ELSE
            event := change_events[place];
            INSERT INTO "Order_reservations" AS r (scope, value, aggregate_id, sequence_id, version, until)
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
$$;


--
-- Name: Order_horizon(); Type: FUNCTION; Schema: schema_of_the_dump; Owner: -
--

CREATE FUNCTION schema_of_the_dump."Order_horizon"(OUT head text, OUT safe_end text, OUT held_at bigint, OUT held_by integer) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET search_path TO 'schema_of_the_dump', 'pg_temp'
    AS $$
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
    SELECT e.sequence_id INTO head FROM "Order" e ORDER BY e.sequence_id DESC LIMIT 1;
    head := coalesce(head, '');

    -- step 2
    SELECT (l.classid::bigint & 65535::bigint) << 32 | l.objid::bigint, l.pid
        INTO held_at, held_by
        FROM pg_locks l
        WHERE l.locktype = 'advisory'
          AND l.mode = 'ShareLock'
          AND l.objsubid = 1
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND l.classid::bigint >> 16 = to_regclass('"Order"')::oid::bigint & 65535::bigint
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
$$;


--
-- Name: Order_refuse_change(); Type: FUNCTION; Schema: schema_of_the_dump; Owner: -
--

CREATE FUNCTION schema_of_the_dump."Order_refuse_change"() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% of %.% refused: events are never changed or deleted', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;


--
-- Name: events_append(bigint, bigint, bigint, integer, text, text[], text[], integer[], integer[], bigint[], text[], bigint[], text[], bytea[], text[]); Type: FUNCTION; Schema: schema_of_the_dump; Owner: -
--

CREATE FUNCTION schema_of_the_dump.events_append(bound bigint, clock bigint, clock_bound bigint, patience integer, first_stem text, event_tails text[], aggregates text[], event_aggregates integer[], event_steps integer[], event_wanted bigint[], event_types text[], event_timestamps bigint[], event_user_ids text[], event_data bytea[], event_metadata text[], OUT outcome text, OUT stem text, OUT versions bigint[], OUT clock_ahead bigint) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    SET search_path TO 'schema_of_the_dump', 'pg_temp'
    AS $$
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
$$;


--
-- Name: events_append_reserving(bigint, bigint, bigint, integer, text, text[], text[], integer[], integer[], bigint[], text[], bigint[], text[], bytea[], text[], text[], text[], text[], text[], bigint[], integer[], text[], bigint[]); Type: FUNCTION; Schema: schema_of_the_dump; Owner: -
--

CREATE FUNCTION schema_of_the_dump.events_append_reserving(bound bigint, clock bigint, clock_bound bigint, patience integer, first_stem text, event_tails text[], aggregates text[], event_aggregates integer[], event_steps integer[], event_wanted bigint[], event_types text[], event_timestamps bigint[], event_user_ids text[], event_data bytea[], event_metadata text[], change_scopes text[], change_values text[], change_from text[], change_to text[], change_until bigint[], change_events integer[], change_ids text[], change_versions bigint[], OUT outcome text, OUT stem text, OUT versions bigint[], OUT clock_ahead bigint, OUT taken bigint[], OUT holders text[]) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    SET search_path TO 'schema_of_the_dump', 'pg_temp'
    AS $$
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
$$;


--
-- Name: events_horizon(); Type: FUNCTION; Schema: schema_of_the_dump; Owner: -
--

CREATE FUNCTION schema_of_the_dump.events_horizon(OUT head text, OUT safe_end text, OUT held_at bigint, OUT held_by integer) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET search_path TO 'schema_of_the_dump', 'pg_temp'
    AS $$
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
$$;


--
-- Name: events_refuse_change(); Type: FUNCTION; Schema: schema_of_the_dump; Owner: -
--

CREATE FUNCTION schema_of_the_dump.events_refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% of %.% refused: events are never changed or deleted', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: Order; Type: TABLE; Schema: schema_of_the_dump; Owner: -
--

CREATE TABLE schema_of_the_dump."Order" (
    sequence_id text NOT NULL COLLATE pg_catalog."C",
    aggregate_id text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    type text NOT NULL COLLATE pg_catalog."C",
    "timestamp" bigint NOT NULL,
    user_id text NOT NULL,
    data bytea NOT NULL,
    metadata jsonb NOT NULL,
    CONSTRAINT "Order_aggregate_id_check" CHECK ((aggregate_id <> ''::text)),
    CONSTRAINT "Order_sequence_id_check" CHECK ((octet_length(sequence_id) = 26)),
    CONSTRAINT "Order_type_check" CHECK ((type <> ''::text)),
    CONSTRAINT "Order_version_check" CHECK ((version > 0))
);


--
-- Name: Order_parked; Type: TABLE; Schema: schema_of_the_dump; Owner: -
--

CREATE TABLE schema_of_the_dump."Order_parked" (
    name text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    sequence_id text NOT NULL COLLATE pg_catalog."C",
    aggregate_id text NOT NULL COLLATE pg_catalog."C",
    aggregate_version bigint NOT NULL,
    type text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL,
    request text NOT NULL,
    error text NOT NULL,
    tries bigint NOT NULL,
    recorded_at timestamp with time zone NOT NULL
);


--
-- Name: Order_projections; Type: TABLE; Schema: schema_of_the_dump; Owner: -
--

CREATE TABLE schema_of_the_dump."Order_projections" (
    name text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    partition bigint NOT NULL,
    revision bigint NOT NULL,
    token bigint NOT NULL,
    owner text NOT NULL,
    wanted text NOT NULL,
    ttl bigint NOT NULL,
    "position" text NOT NULL COLLATE pg_catalog."C",
    last_event text NOT NULL COLLATE pg_catalog."C",
    handled bigint NOT NULL,
    data json,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
)
WITH (fillfactor='50');


--
-- Name: Order_reservations; Type: TABLE; Schema: schema_of_the_dump; Owner: -
--

CREATE TABLE schema_of_the_dump."Order_reservations" (
    scope text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C",
    aggregate_id text NOT NULL COLLATE pg_catalog."C",
    sequence_id text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    until bigint NOT NULL
);


--
-- Name: Order_schema_version; Type: TABLE; Schema: schema_of_the_dump; Owner: -
--

CREATE TABLE schema_of_the_dump."Order_schema_version" (
    id integer NOT NULL,
    version_id bigint NOT NULL,
    is_applied boolean NOT NULL,
    tstamp timestamp without time zone DEFAULT now() NOT NULL
);


--
-- Name: Order_schema_version_id_seq; Type: SEQUENCE; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE schema_of_the_dump."Order_schema_version" ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME schema_of_the_dump."Order_schema_version_id_seq"
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: Order_snapshots; Type: TABLE; Schema: schema_of_the_dump; Owner: -
--

CREATE TABLE schema_of_the_dump."Order_snapshots" (
    aggregate_id text NOT NULL COLLATE pg_catalog."C",
    type text NOT NULL COLLATE pg_catalog."C",
    schema_version bigint NOT NULL,
    version bigint NOT NULL,
    sequence_id text NOT NULL COLLATE pg_catalog."C",
    state bytea NOT NULL,
    taken_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: events; Type: TABLE; Schema: schema_of_the_dump; Owner: -
--

CREATE TABLE schema_of_the_dump.events (
    sequence_id text NOT NULL COLLATE pg_catalog."C",
    aggregate_id text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    type text NOT NULL COLLATE pg_catalog."C",
    "timestamp" bigint NOT NULL,
    user_id text NOT NULL,
    data bytea NOT NULL,
    metadata jsonb NOT NULL,
    CONSTRAINT events_aggregate_id_check CHECK ((aggregate_id <> ''::text)),
    CONSTRAINT events_sequence_id_check CHECK ((octet_length(sequence_id) = 26)),
    CONSTRAINT events_type_check CHECK ((type <> ''::text)),
    CONSTRAINT events_version_check CHECK ((version > 0))
);


--
-- Name: events_parked; Type: TABLE; Schema: schema_of_the_dump; Owner: -
--

CREATE TABLE schema_of_the_dump.events_parked (
    name text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    sequence_id text NOT NULL COLLATE pg_catalog."C",
    aggregate_id text NOT NULL COLLATE pg_catalog."C",
    aggregate_version bigint NOT NULL,
    type text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL,
    request text NOT NULL,
    error text NOT NULL,
    tries bigint NOT NULL,
    recorded_at timestamp with time zone NOT NULL
);


--
-- Name: events_projections; Type: TABLE; Schema: schema_of_the_dump; Owner: -
--

CREATE TABLE schema_of_the_dump.events_projections (
    name text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    partition bigint NOT NULL,
    revision bigint NOT NULL,
    token bigint NOT NULL,
    owner text NOT NULL,
    wanted text NOT NULL,
    ttl bigint NOT NULL,
    "position" text NOT NULL COLLATE pg_catalog."C",
    last_event text NOT NULL COLLATE pg_catalog."C",
    handled bigint NOT NULL,
    data json,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
)
WITH (fillfactor='50');


--
-- Name: events_reservations; Type: TABLE; Schema: schema_of_the_dump; Owner: -
--

CREATE TABLE schema_of_the_dump.events_reservations (
    scope text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C",
    aggregate_id text NOT NULL COLLATE pg_catalog."C",
    sequence_id text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    until bigint NOT NULL
);


--
-- Name: events_schema_version; Type: TABLE; Schema: schema_of_the_dump; Owner: -
--

CREATE TABLE schema_of_the_dump.events_schema_version (
    id integer NOT NULL,
    version_id bigint NOT NULL,
    is_applied boolean NOT NULL,
    tstamp timestamp without time zone DEFAULT now() NOT NULL
);


--
-- Name: events_schema_version_id_seq; Type: SEQUENCE; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE schema_of_the_dump.events_schema_version ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME schema_of_the_dump.events_schema_version_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: events_snapshots; Type: TABLE; Schema: schema_of_the_dump; Owner: -
--

CREATE TABLE schema_of_the_dump.events_snapshots (
    aggregate_id text NOT NULL COLLATE pg_catalog."C",
    type text NOT NULL COLLATE pg_catalog."C",
    schema_version bigint NOT NULL,
    version bigint NOT NULL,
    sequence_id text NOT NULL COLLATE pg_catalog."C",
    state bytea NOT NULL,
    taken_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Data for Name: Order; Type: TABLE DATA; Schema: schema_of_the_dump; Owner: -
--

INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('00000000008YX212C10T3YXTP2', 'epoch', 1, 'EpochBegan', 0, '', '\x7b7d', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQS2J9ZZ9QHAWH5QEY7TDCZX', 'order-1000', 1, 'OrderPlaced', 1709164799999999999, 'ann', '\x7b22637573746f6d6572223a226330222c22746f74616c223a363136347d', '{"tenant": "acme", "correlation_id": "request-0"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQS2J9ZZ9QHAWH5QEY7TDCZY', 'order-1000', 2, 'ItemAdded', 1709164799999999999, 'ann', '\x7b22736b75223a22e298822d30222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-0"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSAMV8EE0FTF6ZJESNT5ZBR', 'order-1000', 3, 'OrderCancelled', 1709173271822417916, 'support', '\x7b22776879223a226dc3bc6465227d', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSJVCVS9EZEBH0B1A351GVF', 'order-1001', 1, 'OrderPlaced', 1709181875065465587, 'bo', '\x7b22637573746f6d6572223a226331222c22746f74616c223a323334327d', '{"tenant": "acme", "correlation_id": "request-1"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSJVCVS9EZEBH0B1A351GVG', 'order-1001', 2, 'ItemAdded', 1709181875065465587, 'bo', '\x7b22736b75223a22e298822d31222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-1"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSK8ZEJ8PKTDC708DB5T46K', 'order-1002', 1, 'OrderPlaced', 1709182320082241975, '', '\x7b22637573746f6d6572223a226332222c22746f74616c223a343939397d', '{"tenant": "acme", "correlation_id": "request-2"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSK8ZEJ8PKTDC708DB5T46M', 'order-1002', 2, 'ItemAdded', 1709182320082241975, '', '\x7b22736b75223a22e298822d32222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-2"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSQX31M7RHPBP8G9D9KGE9G', 'order-1003', 1, 'OrderPlaced', 1709187173428122008, 'Zoë', '\x7b22637573746f6d6572223a226333222c22746f74616c223a313332377d', '{"tenant": "acme", "correlation_id": "request-3"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSQX31M7RHPBP8G9D9KGE9H', 'order-1003', 2, 'ItemAdded', 1709187173428122008, 'Zoë', '\x7b22736b75223a22e298822d33222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-3"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSSSMTWD47F74GH7WQ1DAH4', 'order-1003', 3, 'OrderCancelled', 1709189157724826339, 'support', '\x7b22776879223a226dc3bc6465227d', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQT0KSZNF2VTB2JY3HP1F53H', 'order-1004', 1, 'OrderPlaced', 1709196306421831417, 'ann', '\x7b22637573746f6d6572223a226334222c22746f74616c223a343434377d', '{"tenant": "acme", "correlation_id": "request-4"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQT0KSZNF2VTB2JY3HP1F53J', 'order-1004', 2, 'ItemAdded', 1709196306421831417, 'ann', '\x7b22736b75223a22e298822d34222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-4"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTA9YJG9EH4YMY82T6Q0CA4', 'order-1005', 1, 'OrderPlaced', 1709206469200080675, 'bo', '\x7b22637573746f6d6572223a226335222c22746f74616c223a313231347d', '{"tenant": "acme", "correlation_id": "request-5"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTA9YJG9EH4YMY82T6Q0CA5', 'order-1005', 2, 'ItemAdded', 1709206469200080675, 'bo', '\x7b22736b75223a22e298822d35222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-5"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTECJP472DZ7M8V8V0PNFCV', 'order-1006', 1, 'OrderPlaced', 1709210749636072353, '', '\x7b22637573746f6d6572223a226336222c22746f74616c223a373833357d', '{"tenant": "acme", "correlation_id": "request-6"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTECJP472DZ7M8V8V0PNFCW', 'order-1006', 2, 'ItemAdded', 1709210749636072353, '', '\x7b22736b75223a22e298822d36222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-6"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTNXEHS910RYC66EYSQ12K2', 'order-1006', 3, 'OrderCancelled', 1709218642489216080, 'support', '\x7b22776879223a226dc3bc6465227d', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTV52HS6YHFKBAD2KSPSP3B', 'order-1007', 1, 'OrderPlaced', 1709224135225879566, 'Zoë', '\x7b22637573746f6d6572223a226337222c22746f74616c223a3733327d', '{"tenant": "acme", "correlation_id": "request-7"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTV52HS6YHFKBAD2KSPSP3C', 'order-1007', 2, 'ItemAdded', 1709224135225879566, 'Zoë', '\x7b22736b75223a22e298822d37222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-7"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTYHYGBA0H5B2F2FHVKGFBX', 'order-1008', 1, 'OrderPlaced', 1709227702795366415, 'ann', '\x7b22637573746f6d6572223a226338222c22746f74616c223a3438367d', '{"tenant": "acme", "correlation_id": "request-8"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTYHYGBA0H5B2F2FHVKGFBY', 'order-1008', 2, 'ItemAdded', 1709227702795366415, 'ann', '\x7b22736b75223a22e298822d38222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-8"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQV551MC4Y92QS0H7XD2S96B', 'order-1009', 1, 'OrderPlaced', 1709234620044598962, 'bo', '\x7b22637573746f6d6572223a226339222c22746f74616c223a323037337d', '{"tenant": "acme", "correlation_id": "request-9"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQV551MC4Y92QS0H7XD2S96C', 'order-1009', 2, 'ItemAdded', 1709234620044598962, 'bo', '\x7b22736b75223a22e298822d39222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-9"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQV5C5P323X84CVNFH5JTDDK', 'order-1009', 3, 'OrderCancelled', 1709234853571018862, 'support', '\x7b22776879223a226dc3bc6465227d', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQV8T6YMAK7HYQZ0AMBHWJJG', 'order-1010', 1, 'OrderPlaced', 1709238459348107052, '', '\x7b22637573746f6d6572223a22633130222c22746f74616c223a373036377d', '{"tenant": "acme", "correlation_id": "request-10"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQV8T6YMAK7HYQZ0AMBHWJJH', 'order-1010', 2, 'ItemAdded', 1709238459348107052, '', '\x7b22736b75223a22e298822d3130222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-10"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQVGDGT54WVPX1SZ9V4VKQEJ', 'order-1011', 1, 'OrderPlaced', 1709246432069146721, 'Zoë', '\x7b22637573746f6d6572223a22633131222c22746f74616c223a383233307d', '{"tenant": "acme", "correlation_id": "request-11"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQVGDGT54WVPX1SZ9V4VKQEK', 'order-1011', 2, 'ItemAdded', 1709246432069146721, 'Zoë', '\x7b22736b75223a22e298822d3131222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-11"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQVT9EBD6543CWHYAMP6C5FQ', 'binary', 1, 'Uploaded', 1709256784237398330, '', '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQVYPAA0EVCKX3G3CM7YAFM6', 'binary', 2, 'Uploaded', 1709261400384369114, '', '\x753a43c64be5ba0b03ca371d084a2cbdb184da2624d739aacaef9c58891c0c3bddddf34bf0c81fdf82edab63bf68a0bca481c7dbdc0578b227d6edd241ab22b89da79fdc0f1c37f77c4a3e4df622dfa7106892ae7d2191fef84891d488a6fcbb51cc8f68357e944d785c9ddb94748e65d58ac010d7ef79d6ac57b4899bc7fa922f87c7d91f8c012b9c23a1bdce074d6f4681c98ab7c31dc4799a2091b3a106f24b419c2db50b37debe54596ca5e08dcb113660a76517016a0d069537fa2657e4dc292b3e4546a0ad64e35fcea15dc3d789b27e75925160e62b7454595fbceb1eebc378594f3c2d89bf30326a03861e62f4e120ac8e07d1f431f4f603033be1eba997450fb0e5c3ea18befe19d1dc50f3390849e40c457e24860f117069ba9cc295b370c6fdc71672aa407722e9d2ab73be8f3687298fba88d23c591a05aefcbd6a763fc2e2c30b54ab54e0eb999559df8d6c677299f4d883815ab0da675953733e8f7148459001dce0a2f8bcc99efdaa6c49acd0a36f58da452faaa3df189e75d3a51cd2cae6afe7aa9ca202d2eebbd57cfed29cfa1f3b7daaabcaee6874504813f83041a2131ec8d8ccdf5cd44b4451e36705f6f7dedfb45216ca5ed95d520c4a4561048be7e0263438aeb3c236cab9d1299a5b87886e2f33d343f83424c2cfce15c14d32cf98424aa4f599a870214b903750a25bd5863221d0c3afeacd2f2d7733a8ff3227b7cd4e297e9e05664b7422d8202e88b74985c171f87c82adf424d058aafca22ecc4a88845d405b555e8f635025e96c80f594df8b22c60b61b8b3878dbbec88da8eb02dec744024c2823479c371c137e2ff450ad2a5985884a954550f19c62c74ae2b98546ab07648f2e3f5abde7694e9c5d30c7daccfce6fbde8b9f926d7615bcd66ee93a62f6901b5c43fa97649c3df512e5f5aa47d154a22be6e8cb2b23f719b9dcd305ffb8b4a08d5e2b4e0e9f94566c8e500d72dae52ef46aa73e75d7ce136ca2d1ce38e079b1e5a8bf18d5368b567376b2c72427cd8fbeb6fbfe2a36f02cfd3ec5ac856e2ba1a68bd751c840d24643e40fa87de985b9cb6bfd956447d10e08201860612d85d1243d7a4e21eaa26fc58e758f92dc35b33d925721ad609835bda6e5c245b51e0c3d3f8f258ea45cabfaa2fff9a28169ea74abb0ab6ef95e03f3626b9a9e25328ac831caaa17917604429bfe2431a187504b097106de861d5cf93b3fe9d247f587ff9f6cb0f7288968e7a3456eeb14ab832e1b66ebfe30f57810df31e6ef82b1a51b14b950fa1eed7d758c9cf1d909c7cab5c9fc7d2675601bdfc5cc95ac90a95e5453390aa9fd258c245b3a1f72f3aec74cfd890fcb986b07f074001aa7dafb37313da17e67ac9184856bea409c88bd34fe82a069065dbcbf87c48f8a3c78f405022a55af76ba9cf12e9102b2058979db51e1ba19f475ebd359c50284e5adcb34aa05ff91a31afec2864df9cebf3abef21fd454411059e8df49203087649f384a2cfdde3736f1233a2b5b11404fd6c478a97d17fbd3617b03e5ad2948bbea85e50a7a80e0121af5f33741d3b4d766f810a68c519ba1bb08d0c281819226bcc9a4f6ada1d00679cbeec1c367c1ddd26219642fd20aef0f5df82b82580ac844aafd5893547de8520674557909d81218625593f343374124246ae94dd9794e1c0be0f52a5fab254e03b71d3c9ae14d13d5344f32323de7ceb8ac0fc7c2e879e4141c9dd8b29f0f24dc0c6037076cecfd51d6279eaa178adc43e5131bad7870d993514b0f88ed0db5050075302c9b3b7cfe983853a035fc0e5f4c47f3b521f1acfb9d6b2f0e88c69aabd85e5f5dbea8b2ca9a0a2c9e39b5d264071a8a7d305fd5313a09b31694b4cb7dd197ef25a3ce8594598a6d407eb55acf1b571fe1177931195ca5eb7a5fc7b600d0c343149d41e80b8c2c5c69b20da6a2e066d9cc4289d5832ccf516024e88cfe5d462386d210a4f893534edf7137a3f164ff9aed23e60bb9fa0213844d16cf01a69224284908bc738d106a56129bebf311f41d43b2b7dc9a1de2bdabb4d96a04fbd39aeb36d145eca94d436645e0234f32505eae4dc5508958c60aa9af9a29d972e04e8b7d7f614eafab35b717acd4a24441bd50f8d29ff7b6da0aa9b4756e72fe2f20d811c547211535b02cf609ae3a094acc9868b9bfe9bc812e507d46a134ff52a1cd47029b88acc69d18c1080d425dedb98bb98b9f45101080d861aedf3af24d4e0d005a56d3948735577779d195a9776a5d3dba8785bc08b4beac42cfed367725312c4a46793ad2d76be89096be4f80ef5066b5c435f75769a9b78dd3370bd08440b576c43524787f32b66671fca693ebea141950c1a56e2d965fc73c0acf7bc894778ba0d4eb5d78eb05408681dd23228f5dd1ffd1120be2d6b0d388774a55456d03e9a48b7e42a9f7432afa5f4e0cba537a14941345181a53dd58b1da104fef0256456fc9f7ef5b97f6b43a75bcf9e2f96feb4da2258957307da7ff7d6a223d5a4a2a4ec94f320ee541359e0a242863330049911fa386efce1d2ad2d5704bafd46e04fb504b4df0e0e53cf549b83e6e05520e6e41aaeee26e94cf8a5bff1ca6170be95a6f3a94148ae7b38b05e4ed20fd9ce292f7ca83505377e322b87c44b83b81c294717810b4904188dfcd789b67879e9070f458e4994bd11dd328a211dac7a1c10f7edb65db0e6cd79b543166fa23db7ae3801978b80603eb3374cf5a2552111c29397c1635006c4a9efd227c5317d125bee2e57c883dceafaeb4937cc8add2ad59f9ce06cc198da9766b929aa50193c29f7002c885d145dc71d0ebdd05b3148c15687976c159c2eb423b43447777a0a3bd41e1544f1db353a3e02987fd19b26e18752590a400055afef110a7b4554dabc0b5d05a3fac8729ca460b96872fff802716c9ebb12d44b0303026651bf54ad8ac9d7c04cb127e743b5fbb0a338d28b0c1770c76111474430c3b7be9e4027c2a1d69575ac1793fa316a7195687741a22c971fffe811679d0ff0cb088ba5a664054861674768e6405b5936c8c9aa09b100aeef38638009d8754e02e0466b09a02ea24716fdfd654d16591dcd4cd3ddfb9095a6edf60cce87d1155dfeaf12d9aa64a122eadda90b0df6da43216f69dc336ac03a8acb3571f50448564057b494decbacea91ca47f467f2b0fc49e090f79d9ed9bb84b9de6dbabff2ca32564a78b497b5cdb52a4b3cf235bbd5a791c5e772068cbd62fc1d55a146868db28dabce9169b6fc530a66166b6ce27f4af9fa9f1dcbf0e7fed101d928d6c2669fa1d65fe5df46c131f9fabe8ea8c7e07404e880ca33b9da4107c00564c2d2ebe5e228efc24a5d0f7366393276e52f75c4a749e209991f94dbc305a9c95f4926d8dab2c2529dee5677e313f125fe17498fcc92e6baa6092aed1419e9a4e11cfd0c85e0e41db522afa38a964d243318b10e1ff388d32082d6cf88cf1ef53c5d39bcc704603e4cb1f095438fe42aa91ea7b25a0d076a54a6ce2333129a741e82742c09ff45f5ab782f6ca3dd360b457aea00316139ccc8964a9df86585fc8feca48ade3599bbd8bba47fa807eef1127ddce31908836447d593781c85654abf4872cf74acbaa44b4ca01365e8dc69fcbeb71528f386a6907b78dc3c70ac4411007f0b290eb76b04d80226078b58563d44eca9ca0ce775e0ef178e4d42e600ef6d69fe2788b59a10c8eb968b495a244b2fcfce7402f2abd8a2b573dd6051b6d800d4b7ab4caeea89c4894f36b26842ce9f9b980c3dd965443b2ecee5937c1a762ef43e84ac802267e3e897cf748c737ef429f58a2daa9272565fb7c353c7ab73a1ed9cc5feb8f3e08b1f59914f31c8f9ba6b4bc8c5642b92704ef2af4d9ebc4c005650b2cdf227d8db16b254dfd850c9044eaf8c4ec94ca21d0d2a48582991b357d1496176c0833662597f6bb753af6194002be1183fba7bf046b2b8946c0efad20090efa47071a64cdd9ba1abb89dfa3621d170dfe7d4f09752e40c302b1d971c3002f32750befb580ab3325a27d0552331095c9c83d189bb91872442f665ad76bd736371693de962b8870ab57856d0df220104aae6cb770b71603198335804c0bbde4e3dced5ce98d9b77dfe690cb2aa52bf73cf2dd799084ddf0f85629b3bef2aeaeebcacf690e1e18ca3a56d117efc5542f76040a1f1015830e4f088b0212750ac6507859d33393473e346a417108377cc259aeb1312e0639ea4c019a28aebe1bc57908c0050ea6f7062e88732cf7ec0b8fcb39b74b4b8cdf15c7c6787b56f61027034c8dabb633fc2f53f1a0f2d83406311ee80f9d695d1577cfb33f5065a1e239fcd3aa7f943979bedd4f7652f7eae6129b48d001c37963a13c458210088a63f5162103f8be2ba0810f9eb96c3f204edc2520d08359f566c7bece58427d97b05882234116bd7f028942727e1012d48d5da36f5966e934a5c669363e6cb257a7e0e27e37e5457b72e51accc711b2aa84674bbe9e5da79072a8f3968a8bd121f3823e2bb7d7dcda036cce5c629995eccd246c183768d24935a4f05c3921216e8ef66a7b5ad16365eb25d18647b48b7f66dff226e114b84f1ad0a73de93e5756ce05e746361d497be30e1426c2b0c56665be91ec22a9286766d12bd148e641c902ef2628eaeed52fc0df9f9c0800b9b3142752d4b79ba551fc1d55f983b3729006a7fb2a8f367bd561fbd441f2f76b309eecda9e7daffa31dc0dd871f062528b69b697851dddd0a841875fe8253fad7fedaf53616c61da0a209dba60019c8f4d18cf86197f0268a06a5dcdd3c5a01796f8ed5c772112fd07f0851cfb4b3370bd5778ea4e2e49f15cd4b2923bdc5b0dac7a1cfd7dbdc03cdf7cb1e64c58084c039bb706fae3652ebec6020beb754dfa393039baee02a2e42ea21a8cd51dd892aead3553c3ffa30cec04d852ccb45e8ffa48ba528015a6c3bc1cb491c9c92ea248b007e48ce609a1b5039ca9233ae7540c728be8008e5eebd0a689249004f498b2fb56afec57cc9174aac723e523c37c4ceed42a06cabb10d2d0eacb5735cf63d252a69a1b18df340607ca7b138c9a5cd55745e19b4b42de3318677eae75449365fe351073fadb05a6087f4d62e2dd357504461bde033ff67e32f5616b55df9904221ec5736aa896bb4afc2f3790f8d5cac83bfecc561065e413f5969e17b6a25bf9c92ea8ed82290c77277086afb8df78b47dc2afbaaadb7d6b04a55df4a5662453289b13e7541c6aab8bb73e5f6bc136f6f0f272fb0f9c41e39003cd82bc1c2d7c77a6cca007607445e96960dcb2e42a07dcdd0209aec2424ba553813bd786ffe0a51acfd0fd0d6c56611fb5c17372f49e456abc9d842c7819f978f042e94d34ca934571279443990797b53bd2f8ff6dedfa2e875a3d6fa22a547b78c74b3f75ec1de117e7ddb4d54ffb1a25a981f560691f3ecd28799bb4bd2452f2faf6db6f30087e30b697547ea2b4392bfbf64e5d474261701438ef482ac1a3d187d8dfb24d3e8fc8bc46e88deab9ea501c08747c1897fa6e5ac128922fa2a0f7a5a109f643cbd95efca46f8ef990d884a639ece9664b7374f09fecb9d4fe8e312a331cb29c532359ddec50da47ceee5b14fe556ade7ff1219a2353ce9666e21aad3312f9314ab347a5bd5030d92c91ab2e6655dfe800af85274df76b09177d351d5aa71881e48e9ecd36400b784c55b5691e31ff4433c478f0fc31509df14d9bb9b9fa7aae83dcb259fd5a8fd8299654290fe9e40670f2358129f9a5b447b5b93c6db4cf0cbf799224a9052d14942be2ce4276ab3d585121173489849bbab24a7ddb87a7cd8d2dfa6c1652236f89decf3ea8479acae5b6667256dc4014d5b86114804766243448150525521fba8aa7b5f4bf40af7f338a5abf377aed0f05bb01796fb6d2f1970ac24b9b8e74e7b0ac4b70b6e1cfee6c86309dff5e1c71f6f8e8557f670df030dd9a5a461235a3c0ecb895294af73199968d75f5535d0df2e6d3bb9338d70f530d1cb58ef1d76d959e99bd823e4862cd5bbe4a1d3ab844195fb1394204d3d4c1a5952f2af87d47629fb69538313f64cfe1fb6a46eecc942dca8a86a54221a6a54cd79115799d3fbce103eb9b914fcf3cdfa42717bf89199b423111c7db3e97cfdef2a5ff7aa1ac32a9d64619f1ffa80dea595d3df940ab7ce0d9e5b0fd23baee9f8894fd27058c20c7d54d7a9fa11c896b713368fd73de1ca0590d1808e8c6cdff7d852f8e277036fefc964777defe2ab2064163fc2e725fcc7308697e52ee8767a69211cb640c4d992b81091d7e0c8d94cdd5d9a08c6424f753d8197fac52174adb52d3db34ef7651886e15389e790c9f8a78b76dfd27afaa5477d28baced59fb5da581d50ffb719d9beefd97916f8863015f35f1c432ec3606f7916d1f6627e3c098c442d618ea6a68c13c2eacf4e77150e8f800f3f23360f2a34de0dc8c2bd6c7d4758161b300801ddf27e7b452f7eb4d8f9722adcaf48ef90553b7d25c7a062798b6cbd0c16627c170ad52a9fbb5ef8d901ce6b545aacb409b24009dd6942d2c5a27fb9bc9216cd58a6ddba4c12e20734c22f9004189191c5485efeee553cae97346b2ed87998cfc1f35aeb0b67e679553e31cd01686a28999ade87a42f4d5c6ac677cfcc64e9a4688915bcb8a9d1acc6141f458bff94716bdaba5e1ee011c7f463ac76a3818782f12d160dd7d610b399e2fd069d4dc58181a522eae48e91b8e01b2fb4aee5e6ad7fc8a10590e0ac1efddba24708cac1369d315e5bbb9ec2047b1e6927b636aa016fe7a1689ab30b3d8c8f7b08b2c4d141192040603617d1fd553cf6fe4520e3763b90a758f11f64e82d788bacb817e1a0233e1d2786ee8d0b80f73d6adcc27daa5d0d0636b208f0f2dc38ff0695314b8700aab200a2362ddf1decefd3d39d8d67266c84b11319bc39c51ca6e239f4d15d710457917df8ed31b7791d372ce0addd4080ae3bdc0fc9eb072ea22c657125aa8be34b895c5fe57ab33be047694a1a756299b6ecbe274486296ca88625eccf9bc44f8646d521b5', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQW2WJ9S5QV9JW4G0Y1ZFHB1', 'binary', 3, 'Uploaded', 1709265799481883655, '', '\x616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQW4F3A69RT0PCJF6WFX8YDJ', 'binary', 4, 'Uploaded', 1709267455302201082, '', '\x', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQW7WSER96K1PCRN5H17NVY0', 'it''s "quoted" \ and -- ; $eventsource$ $$ E''\n''', 1, 'Odd''"\;--', 1709271049688761132, 'a	b
c', '\x27225c', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQWF7VWG3717EB1150CZ2EGT', '日本語/注文.取消 🛒', 1, '注文取消', 1709278752656425241, 'é ≠ é ‮', '\x22e697a5e69cac22', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQWNKD59CJYGYSC9DKA6XDR2', 'upper', 1, 'upper', 1709285422249207059, '', '\x31', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQWS8HC2F8M6159Z9SW2X2N3', 'UPPER', 1, 'UPPER', 1709289260418348788, '', '\x32', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQWW2BFH4JFR8R7G7WH6NHA8', 'metadata', 1, 'Described', 1709292203505046107, '', '\x7b7d', '{"": "no key", "json": "{\"a\":[1,null]}", "emoji": "👩‍👩‍👧", "empty": "", "lines": "a\nb\r\n\tc", "quote": "\"''\\", "number": "1e400", "ключ": "значение"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQX1HH361X7HCN58FXEVB8GN', 'times', 1, 'Timed', -1, '', '\x7b7d', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQX65KN55DDKVSYN6QWV9EE5', 'times', 2, 'Timed', -9223372036854775808, '', '\x7b7d', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQXC01DR227SPH9453XNBM2K', 'times', 3, 'Timed', 9223372036854775807, '', '\x7b7d', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQXJW9Q97Q7NB5DKFGP2VNG8', 'times', 4, 'Timed', 1, '', '\x7b7d', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQXM8RVW45EMG05RAQT2BY90', 'order-1000', 4, 'CustomerNamed', 1709317579644929405, '', '\x7b7d', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQXM8RVW45EMG05RAQT2BY91', 'order-1001', 3, 'CustomerNamed', 1709317579644929405, '', '\x7b7d', '{}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQXRVAQQ2BW9MQP89EZ5QCCW', 'old and busy', 9223372036854775800, 'Inserted', 0, '', '\x', '{"a": "b"}');
INSERT INTO schema_of_the_dump."Order" (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('7ZZZZZZZZZ0000000000000000', 'the end of time', 1, 'Inserted', 0, '', '\x', '{"a": "b"}');


--
-- Data for Name: Order_parked; Type: TABLE DATA; Schema: schema_of_the_dump; Owner: -
--

INSERT INTO schema_of_the_dump."Order_parked" (name, version, sequence_id, aggregate_id, aggregate_version, type, state, request, error, tries, recorded_at) VALUES ('Übersicht', 3, '01HQXJW9Q96T7WYDMW1A52X7KV', 'times', 4, 'Timed', 'parked', 'retry', 'no such account', 3, '2024-03-01 10:20:30.123456+00');


--
-- Data for Name: Order_projections; Type: TABLE DATA; Schema: schema_of_the_dump; Owner: -
--

INSERT INTO schema_of_the_dump."Order_projections" (name, version, partition, revision, token, owner, wanted, ttl, "position", last_event, handled, data, updated_at) VALUES ('Übersicht', 3, 7, 12345678901, 9, 'host/1', '', 10000000000, '01HQXM8RVW9VS4MCDB2D2K2W9V', '01HQXJW9Q96T7WYDMW1A52X7KV', 42, '{"b": 1,  "a": [null, 1e400]}', '2026-11-30 03:12:32.542587+00');


--
-- Data for Name: Order_reservations; Type: TABLE DATA; Schema: schema_of_the_dump; Owner: -
--

INSERT INTO schema_of_the_dump."Order_reservations" (scope, value, aggregate_id, sequence_id, version, until) VALUES ('email', 'ann@example.com', 'order-1000', '01HQXM8RVW45EMG05RAQT2BY90', 4, 0);
INSERT INTO schema_of_the_dump."Order_reservations" (scope, value, aggregate_id, sequence_id, version, until) VALUES ('email', 'éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé', 'order-1001', '01HQXM8RVW45EMG05RAQT2BY91', 3, 0);
INSERT INTO schema_of_the_dump."Order_reservations" (scope, value, aggregate_id, sequence_id, version, until) VALUES ('seat', '1A', 'order-1000', '01HQXM8RVW45EMG05RAQT2BY90', 4, 9223372036854775807);
INSERT INTO schema_of_the_dump."Order_reservations" (scope, value, aggregate_id, sequence_id, version, until) VALUES ('seat', '1B', 'order-1000', '01HQXM8RVW45EMG05RAQT2BY90', 4, 1);
INSERT INTO schema_of_the_dump."Order_reservations" (scope, value, aggregate_id, sequence_id, version, until) VALUES ('名前', '日本 ''quoted" \ 🛒', 'order-1000', '01HQXM8RVW45EMG05RAQT2BY90', 4, 0);


--
-- Data for Name: Order_schema_version; Type: TABLE DATA; Schema: schema_of_the_dump; Owner: -
--

INSERT INTO schema_of_the_dump."Order_schema_version" (id, version_id, is_applied, tstamp) VALUES (1, 0, true, '2026-11-30 03:12:32.215537');
INSERT INTO schema_of_the_dump."Order_schema_version" (id, version_id, is_applied, tstamp) VALUES (2, 1, true, '2026-11-30 03:12:32.236674');
INSERT INTO schema_of_the_dump."Order_schema_version" (id, version_id, is_applied, tstamp) VALUES (3, 2, true, '2026-11-30 03:12:32.261732');
INSERT INTO schema_of_the_dump."Order_schema_version" (id, version_id, is_applied, tstamp) VALUES (4, 3, true, '2026-11-30 03:12:32.277028');
INSERT INTO schema_of_the_dump."Order_schema_version" (id, version_id, is_applied, tstamp) VALUES (5, 4, true, '2026-11-30 03:12:32.286924');


--
-- Data for Name: Order_snapshots; Type: TABLE DATA; Schema: schema_of_the_dump; Owner: -
--



--
-- Data for Name: events; Type: TABLE DATA; Schema: schema_of_the_dump; Owner: -
--

INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('0000000000BVXN1JH001H6506Q', 'epoch', 1, 'EpochBegan', 0, '', '\x7b7d', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQS2J9ZZFY35STME98C9MQEF', 'order-1000', 1, 'OrderPlaced', 1709164799999999999, 'ann', '\x7b22637573746f6d6572223a226330222c22746f74616c223a363136347d', '{"tenant": "acme", "correlation_id": "request-0"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQS2J9ZZFY35STME98C9MQEG', 'order-1000', 2, 'ItemAdded', 1709164799999999999, 'ann', '\x7b22736b75223a22e298822d30222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-0"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSAMV8E7A27XD3HET0RZBJB', 'order-1000', 3, 'OrderCancelled', 1709173271822417916, 'support', '\x7b22776879223a226dc3bc6465227d', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSJVCVSBBFSJ5NF9D6FBTDN', 'order-1001', 1, 'OrderPlaced', 1709181875065465587, 'bo', '\x7b22637573746f6d6572223a226331222c22746f74616c223a323334327d', '{"tenant": "acme", "correlation_id": "request-1"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSJVCVSBBFSJ5NF9D6FBTDP', 'order-1001', 2, 'ItemAdded', 1709181875065465587, 'bo', '\x7b22736b75223a22e298822d31222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-1"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSK8ZEJ7JMWSHM188WC52T4', 'order-1002', 1, 'OrderPlaced', 1709182320082241975, '', '\x7b22637573746f6d6572223a226332222c22746f74616c223a343939397d', '{"tenant": "acme", "correlation_id": "request-2"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSK8ZEJ7JMWSHM188WC52T5', 'order-1002', 2, 'ItemAdded', 1709182320082241975, '', '\x7b22736b75223a22e298822d32222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-2"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSQX31M42BQFDRG4FAN2Z2T', 'order-1003', 1, 'OrderPlaced', 1709187173428122008, 'Zoë', '\x7b22637573746f6d6572223a226333222c22746f74616c223a313332377d', '{"tenant": "acme", "correlation_id": "request-3"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSQX31M42BQFDRG4FAN2Z2V', 'order-1003', 2, 'ItemAdded', 1709187173428122008, 'Zoë', '\x7b22736b75223a22e298822d33222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-3"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQSSSMTW4AQW44CMFEGA14SK', 'order-1003', 3, 'OrderCancelled', 1709189157724826339, 'support', '\x7b22776879223a226dc3bc6465227d', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQT0KSZN8Y6RMGEK147EBA59', 'order-1004', 1, 'OrderPlaced', 1709196306421831417, 'ann', '\x7b22637573746f6d6572223a226334222c22746f74616c223a343434377d', '{"tenant": "acme", "correlation_id": "request-4"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQT0KSZN8Y6RMGEK147EBA5A', 'order-1004', 2, 'ItemAdded', 1709196306421831417, 'ann', '\x7b22736b75223a22e298822d34222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-4"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTA9YJGA6J6B4FXFVE3MTXZ', 'order-1005', 1, 'OrderPlaced', 1709206469200080675, 'bo', '\x7b22637573746f6d6572223a226335222c22746f74616c223a313231347d', '{"tenant": "acme", "correlation_id": "request-5"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTA9YJGA6J6B4FXFVE3MTY0', 'order-1005', 2, 'ItemAdded', 1709206469200080675, 'bo', '\x7b22736b75223a22e298822d35222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-5"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTECJP40K2S5PY7D34KPHVC', 'order-1006', 1, 'OrderPlaced', 1709210749636072353, '', '\x7b22637573746f6d6572223a226336222c22746f74616c223a373833357d', '{"tenant": "acme", "correlation_id": "request-6"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTECJP40K2S5PY7D34KPHVD', 'order-1006', 2, 'ItemAdded', 1709210749636072353, '', '\x7b22736b75223a22e298822d36222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-6"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTNXEHSBEN03JTT9D4CS79G', 'order-1006', 3, 'OrderCancelled', 1709218642489216080, 'support', '\x7b22776879223a226dc3bc6465227d', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTV52HSBXQVQG50BBRTBWX6', 'order-1007', 1, 'OrderPlaced', 1709224135225879566, 'Zoë', '\x7b22637573746f6d6572223a226337222c22746f74616c223a3733327d', '{"tenant": "acme", "correlation_id": "request-7"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTV52HSBXQVQG50BBRTBWX7', 'order-1007', 2, 'ItemAdded', 1709224135225879566, 'Zoë', '\x7b22736b75223a22e298822d37222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-7"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTYHYGB5SSZXX0Q4HTXT9JA', 'order-1008', 1, 'OrderPlaced', 1709227702795366415, 'ann', '\x7b22637573746f6d6572223a226338222c22746f74616c223a3438367d', '{"tenant": "acme", "correlation_id": "request-8"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQTYHYGB5SSZXX0Q4HTXT9JB', 'order-1008', 2, 'ItemAdded', 1709227702795366415, 'ann', '\x7b22736b75223a22e298822d38222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-8"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQV551MCFZEMSD0CE40A04BN', 'order-1009', 1, 'OrderPlaced', 1709234620044598962, 'bo', '\x7b22637573746f6d6572223a226339222c22746f74616c223a323037337d', '{"tenant": "acme", "correlation_id": "request-9"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQV551MCFZEMSD0CE40A04BP', 'order-1009', 2, 'ItemAdded', 1709234620044598962, 'bo', '\x7b22736b75223a22e298822d39222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-9"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQV5C5P39Z150HNZCMVEXD09', 'order-1009', 3, 'OrderCancelled', 1709234853571018862, 'support', '\x7b22776879223a226dc3bc6465227d', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQV8T6YM7E76CNC19RPTWVV5', 'order-1010', 1, 'OrderPlaced', 1709238459348107052, '', '\x7b22637573746f6d6572223a22633130222c22746f74616c223a373036377d', '{"tenant": "acme", "correlation_id": "request-10"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQV8T6YM7E76CNC19RPTWVV6', 'order-1010', 2, 'ItemAdded', 1709238459348107052, '', '\x7b22736b75223a22e298822d3130222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-10"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQVGDGT59WRWM07TCPFAWWQ2', 'order-1011', 1, 'OrderPlaced', 1709246432069146721, 'Zoë', '\x7b22637573746f6d6572223a22633131222c22746f74616c223a383233307d', '{"tenant": "acme", "correlation_id": "request-11"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQVGDGT59WRWM07TCPFAWWQ3', 'order-1011', 2, 'ItemAdded', 1709246432069146721, 'Zoë', '\x7b22736b75223a22e298822d3131222c227072696365223a22392e3930227d', '{"tenant": "acme", "correlation_id": "request-11"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQVT9EBDECTADQYQFVRM93RC', 'binary', 1, 'Uploaded', 1709256784237398330, '', '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQVYPAA0BX1RM1E41JGFJEXB', 'binary', 2, 'Uploaded', 1709261400384369114, '', '\x753a43c64be5ba0b03ca371d084a2cbdb184da2624d739aacaef9c58891c0c3bddddf34bf0c81fdf82edab63bf68a0bca481c7dbdc0578b227d6edd241ab22b89da79fdc0f1c37f77c4a3e4df622dfa7106892ae7d2191fef84891d488a6fcbb51cc8f68357e944d785c9ddb94748e65d58ac010d7ef79d6ac57b4899bc7fa922f87c7d91f8c012b9c23a1bdce074d6f4681c98ab7c31dc4799a2091b3a106f24b419c2db50b37debe54596ca5e08dcb113660a76517016a0d069537fa2657e4dc292b3e4546a0ad64e35fcea15dc3d789b27e75925160e62b7454595fbceb1eebc378594f3c2d89bf30326a03861e62f4e120ac8e07d1f431f4f603033be1eba997450fb0e5c3ea18befe19d1dc50f3390849e40c457e24860f117069ba9cc295b370c6fdc71672aa407722e9d2ab73be8f3687298fba88d23c591a05aefcbd6a763fc2e2c30b54ab54e0eb999559df8d6c677299f4d883815ab0da675953733e8f7148459001dce0a2f8bcc99efdaa6c49acd0a36f58da452faaa3df189e75d3a51cd2cae6afe7aa9ca202d2eebbd57cfed29cfa1f3b7daaabcaee6874504813f83041a2131ec8d8ccdf5cd44b4451e36705f6f7dedfb45216ca5ed95d520c4a4561048be7e0263438aeb3c236cab9d1299a5b87886e2f33d343f83424c2cfce15c14d32cf98424aa4f599a870214b903750a25bd5863221d0c3afeacd2f2d7733a8ff3227b7cd4e297e9e05664b7422d8202e88b74985c171f87c82adf424d058aafca22ecc4a88845d405b555e8f635025e96c80f594df8b22c60b61b8b3878dbbec88da8eb02dec744024c2823479c371c137e2ff450ad2a5985884a954550f19c62c74ae2b98546ab07648f2e3f5abde7694e9c5d30c7daccfce6fbde8b9f926d7615bcd66ee93a62f6901b5c43fa97649c3df512e5f5aa47d154a22be6e8cb2b23f719b9dcd305ffb8b4a08d5e2b4e0e9f94566c8e500d72dae52ef46aa73e75d7ce136ca2d1ce38e079b1e5a8bf18d5368b567376b2c72427cd8fbeb6fbfe2a36f02cfd3ec5ac856e2ba1a68bd751c840d24643e40fa87de985b9cb6bfd956447d10e08201860612d85d1243d7a4e21eaa26fc58e758f92dc35b33d925721ad609835bda6e5c245b51e0c3d3f8f258ea45cabfaa2fff9a28169ea74abb0ab6ef95e03f3626b9a9e25328ac831caaa17917604429bfe2431a187504b097106de861d5cf93b3fe9d247f587ff9f6cb0f7288968e7a3456eeb14ab832e1b66ebfe30f57810df31e6ef82b1a51b14b950fa1eed7d758c9cf1d909c7cab5c9fc7d2675601bdfc5cc95ac90a95e5453390aa9fd258c245b3a1f72f3aec74cfd890fcb986b07f074001aa7dafb37313da17e67ac9184856bea409c88bd34fe82a069065dbcbf87c48f8a3c78f405022a55af76ba9cf12e9102b2058979db51e1ba19f475ebd359c50284e5adcb34aa05ff91a31afec2864df9cebf3abef21fd454411059e8df49203087649f384a2cfdde3736f1233a2b5b11404fd6c478a97d17fbd3617b03e5ad2948bbea85e50a7a80e0121af5f33741d3b4d766f810a68c519ba1bb08d0c281819226bcc9a4f6ada1d00679cbeec1c367c1ddd26219642fd20aef0f5df82b82580ac844aafd5893547de8520674557909d81218625593f343374124246ae94dd9794e1c0be0f52a5fab254e03b71d3c9ae14d13d5344f32323de7ceb8ac0fc7c2e879e4141c9dd8b29f0f24dc0c6037076cecfd51d6279eaa178adc43e5131bad7870d993514b0f88ed0db5050075302c9b3b7cfe983853a035fc0e5f4c47f3b521f1acfb9d6b2f0e88c69aabd85e5f5dbea8b2ca9a0a2c9e39b5d264071a8a7d305fd5313a09b31694b4cb7dd197ef25a3ce8594598a6d407eb55acf1b571fe1177931195ca5eb7a5fc7b600d0c343149d41e80b8c2c5c69b20da6a2e066d9cc4289d5832ccf516024e88cfe5d462386d210a4f893534edf7137a3f164ff9aed23e60bb9fa0213844d16cf01a69224284908bc738d106a56129bebf311f41d43b2b7dc9a1de2bdabb4d96a04fbd39aeb36d145eca94d436645e0234f32505eae4dc5508958c60aa9af9a29d972e04e8b7d7f614eafab35b717acd4a24441bd50f8d29ff7b6da0aa9b4756e72fe2f20d811c547211535b02cf609ae3a094acc9868b9bfe9bc812e507d46a134ff52a1cd47029b88acc69d18c1080d425dedb98bb98b9f45101080d861aedf3af24d4e0d005a56d3948735577779d195a9776a5d3dba8785bc08b4beac42cfed367725312c4a46793ad2d76be89096be4f80ef5066b5c435f75769a9b78dd3370bd08440b576c43524787f32b66671fca693ebea141950c1a56e2d965fc73c0acf7bc894778ba0d4eb5d78eb05408681dd23228f5dd1ffd1120be2d6b0d388774a55456d03e9a48b7e42a9f7432afa5f4e0cba537a14941345181a53dd58b1da104fef0256456fc9f7ef5b97f6b43a75bcf9e2f96feb4da2258957307da7ff7d6a223d5a4a2a4ec94f320ee541359e0a242863330049911fa386efce1d2ad2d5704bafd46e04fb504b4df0e0e53cf549b83e6e05520e6e41aaeee26e94cf8a5bff1ca6170be95a6f3a94148ae7b38b05e4ed20fd9ce292f7ca83505377e322b87c44b83b81c294717810b4904188dfcd789b67879e9070f458e4994bd11dd328a211dac7a1c10f7edb65db0e6cd79b543166fa23db7ae3801978b80603eb3374cf5a2552111c29397c1635006c4a9efd227c5317d125bee2e57c883dceafaeb4937cc8add2ad59f9ce06cc198da9766b929aa50193c29f7002c885d145dc71d0ebdd05b3148c15687976c159c2eb423b43447777a0a3bd41e1544f1db353a3e02987fd19b26e18752590a400055afef110a7b4554dabc0b5d05a3fac8729ca460b96872fff802716c9ebb12d44b0303026651bf54ad8ac9d7c04cb127e743b5fbb0a338d28b0c1770c76111474430c3b7be9e4027c2a1d69575ac1793fa316a7195687741a22c971fffe811679d0ff0cb088ba5a664054861674768e6405b5936c8c9aa09b100aeef38638009d8754e02e0466b09a02ea24716fdfd654d16591dcd4cd3ddfb9095a6edf60cce87d1155dfeaf12d9aa64a122eadda90b0df6da43216f69dc336ac03a8acb3571f50448564057b494decbacea91ca47f467f2b0fc49e090f79d9ed9bb84b9de6dbabff2ca32564a78b497b5cdb52a4b3cf235bbd5a791c5e772068cbd62fc1d55a146868db28dabce9169b6fc530a66166b6ce27f4af9fa9f1dcbf0e7fed101d928d6c2669fa1d65fe5df46c131f9fabe8ea8c7e07404e880ca33b9da4107c00564c2d2ebe5e228efc24a5d0f7366393276e52f75c4a749e209991f94dbc305a9c95f4926d8dab2c2529dee5677e313f125fe17498fcc92e6baa6092aed1419e9a4e11cfd0c85e0e41db522afa38a964d243318b10e1ff388d32082d6cf88cf1ef53c5d39bcc704603e4cb1f095438fe42aa91ea7b25a0d076a54a6ce2333129a741e82742c09ff45f5ab782f6ca3dd360b457aea00316139ccc8964a9df86585fc8feca48ade3599bbd8bba47fa807eef1127ddce31908836447d593781c85654abf4872cf74acbaa44b4ca01365e8dc69fcbeb71528f386a6907b78dc3c70ac4411007f0b290eb76b04d80226078b58563d44eca9ca0ce775e0ef178e4d42e600ef6d69fe2788b59a10c8eb968b495a244b2fcfce7402f2abd8a2b573dd6051b6d800d4b7ab4caeea89c4894f36b26842ce9f9b980c3dd965443b2ecee5937c1a762ef43e84ac802267e3e897cf748c737ef429f58a2daa9272565fb7c353c7ab73a1ed9cc5feb8f3e08b1f59914f31c8f9ba6b4bc8c5642b92704ef2af4d9ebc4c005650b2cdf227d8db16b254dfd850c9044eaf8c4ec94ca21d0d2a48582991b357d1496176c0833662597f6bb753af6194002be1183fba7bf046b2b8946c0efad20090efa47071a64cdd9ba1abb89dfa3621d170dfe7d4f09752e40c302b1d971c3002f32750befb580ab3325a27d0552331095c9c83d189bb91872442f665ad76bd736371693de962b8870ab57856d0df220104aae6cb770b71603198335804c0bbde4e3dced5ce98d9b77dfe690cb2aa52bf73cf2dd799084ddf0f85629b3bef2aeaeebcacf690e1e18ca3a56d117efc5542f76040a1f1015830e4f088b0212750ac6507859d33393473e346a417108377cc259aeb1312e0639ea4c019a28aebe1bc57908c0050ea6f7062e88732cf7ec0b8fcb39b74b4b8cdf15c7c6787b56f61027034c8dabb633fc2f53f1a0f2d83406311ee80f9d695d1577cfb33f5065a1e239fcd3aa7f943979bedd4f7652f7eae6129b48d001c37963a13c458210088a63f5162103f8be2ba0810f9eb96c3f204edc2520d08359f566c7bece58427d97b05882234116bd7f028942727e1012d48d5da36f5966e934a5c669363e6cb257a7e0e27e37e5457b72e51accc711b2aa84674bbe9e5da79072a8f3968a8bd121f3823e2bb7d7dcda036cce5c629995eccd246c183768d24935a4f05c3921216e8ef66a7b5ad16365eb25d18647b48b7f66dff226e114b84f1ad0a73de93e5756ce05e746361d497be30e1426c2b0c56665be91ec22a9286766d12bd148e641c902ef2628eaeed52fc0df9f9c0800b9b3142752d4b79ba551fc1d55f983b3729006a7fb2a8f367bd561fbd441f2f76b309eecda9e7daffa31dc0dd871f062528b69b697851dddd0a841875fe8253fad7fedaf53616c61da0a209dba60019c8f4d18cf86197f0268a06a5dcdd3c5a01796f8ed5c772112fd07f0851cfb4b3370bd5778ea4e2e49f15cd4b2923bdc5b0dac7a1cfd7dbdc03cdf7cb1e64c58084c039bb706fae3652ebec6020beb754dfa393039baee02a2e42ea21a8cd51dd892aead3553c3ffa30cec04d852ccb45e8ffa48ba528015a6c3bc1cb491c9c92ea248b007e48ce609a1b5039ca9233ae7540c728be8008e5eebd0a689249004f498b2fb56afec57cc9174aac723e523c37c4ceed42a06cabb10d2d0eacb5735cf63d252a69a1b18df340607ca7b138c9a5cd55745e19b4b42de3318677eae75449365fe351073fadb05a6087f4d62e2dd357504461bde033ff67e32f5616b55df9904221ec5736aa896bb4afc2f3790f8d5cac83bfecc561065e413f5969e17b6a25bf9c92ea8ed82290c77277086afb8df78b47dc2afbaaadb7d6b04a55df4a5662453289b13e7541c6aab8bb73e5f6bc136f6f0f272fb0f9c41e39003cd82bc1c2d7c77a6cca007607445e96960dcb2e42a07dcdd0209aec2424ba553813bd786ffe0a51acfd0fd0d6c56611fb5c17372f49e456abc9d842c7819f978f042e94d34ca934571279443990797b53bd2f8ff6dedfa2e875a3d6fa22a547b78c74b3f75ec1de117e7ddb4d54ffb1a25a981f560691f3ecd28799bb4bd2452f2faf6db6f30087e30b697547ea2b4392bfbf64e5d474261701438ef482ac1a3d187d8dfb24d3e8fc8bc46e88deab9ea501c08747c1897fa6e5ac128922fa2a0f7a5a109f643cbd95efca46f8ef990d884a639ece9664b7374f09fecb9d4fe8e312a331cb29c532359ddec50da47ceee5b14fe556ade7ff1219a2353ce9666e21aad3312f9314ab347a5bd5030d92c91ab2e6655dfe800af85274df76b09177d351d5aa71881e48e9ecd36400b784c55b5691e31ff4433c478f0fc31509df14d9bb9b9fa7aae83dcb259fd5a8fd8299654290fe9e40670f2358129f9a5b447b5b93c6db4cf0cbf799224a9052d14942be2ce4276ab3d585121173489849bbab24a7ddb87a7cd8d2dfa6c1652236f89decf3ea8479acae5b6667256dc4014d5b86114804766243448150525521fba8aa7b5f4bf40af7f338a5abf377aed0f05bb01796fb6d2f1970ac24b9b8e74e7b0ac4b70b6e1cfee6c86309dff5e1c71f6f8e8557f670df030dd9a5a461235a3c0ecb895294af73199968d75f5535d0df2e6d3bb9338d70f530d1cb58ef1d76d959e99bd823e4862cd5bbe4a1d3ab844195fb1394204d3d4c1a5952f2af87d47629fb69538313f64cfe1fb6a46eecc942dca8a86a54221a6a54cd79115799d3fbce103eb9b914fcf3cdfa42717bf89199b423111c7db3e97cfdef2a5ff7aa1ac32a9d64619f1ffa80dea595d3df940ab7ce0d9e5b0fd23baee9f8894fd27058c20c7d54d7a9fa11c896b713368fd73de1ca0590d1808e8c6cdff7d852f8e277036fefc964777defe2ab2064163fc2e725fcc7308697e52ee8767a69211cb640c4d992b81091d7e0c8d94cdd5d9a08c6424f753d8197fac52174adb52d3db34ef7651886e15389e790c9f8a78b76dfd27afaa5477d28baced59fb5da581d50ffb719d9beefd97916f8863015f35f1c432ec3606f7916d1f6627e3c098c442d618ea6a68c13c2eacf4e77150e8f800f3f23360f2a34de0dc8c2bd6c7d4758161b300801ddf27e7b452f7eb4d8f9722adcaf48ef90553b7d25c7a062798b6cbd0c16627c170ad52a9fbb5ef8d901ce6b545aacb409b24009dd6942d2c5a27fb9bc9216cd58a6ddba4c12e20734c22f9004189191c5485efeee553cae97346b2ed87998cfc1f35aeb0b67e679553e31cd01686a28999ade87a42f4d5c6ac677cfcc64e9a4688915bcb8a9d1acc6141f458bff94716bdaba5e1ee011c7f463ac76a3818782f12d160dd7d610b399e2fd069d4dc58181a522eae48e91b8e01b2fb4aee5e6ad7fc8a10590e0ac1efddba24708cac1369d315e5bbb9ec2047b1e6927b636aa016fe7a1689ab30b3d8c8f7b08b2c4d141192040603617d1fd553cf6fe4520e3763b90a758f11f64e82d788bacb817e1a0233e1d2786ee8d0b80f73d6adcc27daa5d0d0636b208f0f2dc38ff0695314b8700aab200a2362ddf1decefd3d39d8d67266c84b11319bc39c51ca6e239f4d15d710457917df8ed31b7791d372ce0addd4080ae3bdc0fc9eb072ea22c657125aa8be34b895c5fe57ab33be047694a1a756299b6ecbe274486296ca88625eccf9bc44f8646d521b5', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQW2WJ9SDB7MAPZB0KM40P3P', 'binary', 3, 'Uploaded', 1709265799481883655, '', '\x616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420616761696e20616e6420', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQW4F3A6C986BSAF87RT12YH', 'binary', 4, 'Uploaded', 1709267455302201082, '', '\x', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQW7WSER1BRVJ2R75SWAGQJG', 'it''s "quoted" \ and -- ; $eventsource$ $$ E''\n''', 1, 'Odd''"\;--', 1709271049688761132, 'a	b
c', '\x27225c', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQWF7VWGARM11E6A8XFP47E4', '日本語/注文.取消 🛒', 1, '注文取消', 1709278752656425241, 'é ≠ é ‮', '\x22e697a5e69cac22', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQWNKD595WKY6DACA39MAEGX', 'upper', 1, 'upper', 1709285422249207059, '', '\x31', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQWS8HC2FVXNPQ0SF5RK93V8', 'UPPER', 1, 'UPPER', 1709289260418348788, '', '\x32', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQWW2BFHCA3R596D65KB1X5G', 'metadata', 1, 'Described', 1709292203505046107, '', '\x7b7d', '{"": "no key", "json": "{\"a\":[1,null]}", "emoji": "👩‍👩‍👧", "empty": "", "lines": "a\nb\r\n\tc", "quote": "\"''\\", "number": "1e400", "ключ": "значение"}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQX1HH36535QHW2A6S8TY84M', 'times', 1, 'Timed', -1, '', '\x7b7d', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQX65KN5B3KDM7F19D8X79M9', 'times', 2, 'Timed', -9223372036854775808, '', '\x7b7d', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQXC01DRD90Q2JX3FTGWJB43', 'times', 3, 'Timed', 9223372036854775807, '', '\x7b7d', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQXJW9Q92YWR3C9T74FNYJK4', 'times', 4, 'Timed', 1, '', '\x7b7d', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQXM8RVW85EKTWEP58VG4FN5', 'order-1000', 4, 'CustomerNamed', 1709317579644929405, '', '\x7b7d', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQXM8RVW85EKTWEP58VG4FN6', 'order-1001', 3, 'CustomerNamed', 1709317579644929405, '', '\x7b7d', '{}');
INSERT INTO schema_of_the_dump.events (sequence_id, aggregate_id, version, type, "timestamp", user_id, data, metadata) VALUES ('01HQXRVAQQ2BW9MQP89EBH688A', 'old and busy', 9223372036854775800, 'Inserted', 0, '', '\x', '{"a": "b"}');


--
-- Data for Name: events_parked; Type: TABLE DATA; Schema: schema_of_the_dump; Owner: -
--

INSERT INTO schema_of_the_dump.events_parked (name, version, sequence_id, aggregate_id, aggregate_version, type, state, request, error, tries, recorded_at) VALUES ('Übersicht', 3, '01HQXJW9Q96T7WYDMW1A52X7KV', 'times', 4, 'Timed', 'parked', 'retry', 'no such account', 3, '2024-03-01 10:20:30.123456+00');


--
-- Data for Name: events_projections; Type: TABLE DATA; Schema: schema_of_the_dump; Owner: -
--

INSERT INTO schema_of_the_dump.events_projections (name, version, partition, revision, token, owner, wanted, ttl, "position", last_event, handled, data, updated_at) VALUES ('Übersicht', 3, 7, 12345678901, 9, 'host/1', '', 10000000000, '01HQXM8RVW9VS4MCDB2D2K2W9V', '01HQXJW9Q96T7WYDMW1A52X7KV', 42, '{"b": 1,  "a": [null, 1e400]}', '2026-11-30 03:12:32.186692+00');


--
-- Data for Name: events_reservations; Type: TABLE DATA; Schema: schema_of_the_dump; Owner: -
--

INSERT INTO schema_of_the_dump.events_reservations (scope, value, aggregate_id, sequence_id, version, until) VALUES ('email', 'ann@example.com', 'order-1000', '01HQXM8RVW85EKTWEP58VG4FN5', 4, 0);
INSERT INTO schema_of_the_dump.events_reservations (scope, value, aggregate_id, sequence_id, version, until) VALUES ('email', 'éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé', 'order-1001', '01HQXM8RVW85EKTWEP58VG4FN6', 3, 0);
INSERT INTO schema_of_the_dump.events_reservations (scope, value, aggregate_id, sequence_id, version, until) VALUES ('seat', '1A', 'order-1000', '01HQXM8RVW85EKTWEP58VG4FN5', 4, 9223372036854775807);
INSERT INTO schema_of_the_dump.events_reservations (scope, value, aggregate_id, sequence_id, version, until) VALUES ('seat', '1B', 'order-1000', '01HQXM8RVW85EKTWEP58VG4FN5', 4, 1);
INSERT INTO schema_of_the_dump.events_reservations (scope, value, aggregate_id, sequence_id, version, until) VALUES ('名前', '日本 ''quoted" \ 🛒', 'order-1000', '01HQXM8RVW85EKTWEP58VG4FN5', 4, 0);


--
-- Data for Name: events_schema_version; Type: TABLE DATA; Schema: schema_of_the_dump; Owner: -
--

INSERT INTO schema_of_the_dump.events_schema_version (id, version_id, is_applied, tstamp) VALUES (1, 0, true, '2026-11-30 03:12:31.625154');
INSERT INTO schema_of_the_dump.events_schema_version (id, version_id, is_applied, tstamp) VALUES (2, 1, true, '2026-11-30 03:12:31.772315');
INSERT INTO schema_of_the_dump.events_schema_version (id, version_id, is_applied, tstamp) VALUES (3, 2, true, '2026-11-30 03:12:31.877913');
INSERT INTO schema_of_the_dump.events_schema_version (id, version_id, is_applied, tstamp) VALUES (4, 3, true, '2026-11-30 03:12:31.909569');
INSERT INTO schema_of_the_dump.events_schema_version (id, version_id, is_applied, tstamp) VALUES (5, 4, true, '2026-11-30 03:12:31.986335');


--
-- Data for Name: events_snapshots; Type: TABLE DATA; Schema: schema_of_the_dump; Owner: -
--



--
-- Name: Order_schema_version_id_seq; Type: SEQUENCE SET; Schema: schema_of_the_dump; Owner: -
--

SELECT pg_catalog.setval('schema_of_the_dump."Order_schema_version_id_seq"', 5, true);


--
-- Name: events_schema_version_id_seq; Type: SEQUENCE SET; Schema: schema_of_the_dump; Owner: -
--

SELECT pg_catalog.setval('schema_of_the_dump.events_schema_version_id_seq', 5, true);


--
-- Name: Order Order_aggregate_version_key; Type: CONSTRAINT; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE ONLY schema_of_the_dump."Order"
    ADD CONSTRAINT "Order_aggregate_version_key" UNIQUE (aggregate_id, version);


--
-- Name: Order_parked Order_parked_pkey; Type: CONSTRAINT; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE ONLY schema_of_the_dump."Order_parked"
    ADD CONSTRAINT "Order_parked_pkey" PRIMARY KEY (name, version, sequence_id);


--
-- Name: Order Order_pkey; Type: CONSTRAINT; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE ONLY schema_of_the_dump."Order"
    ADD CONSTRAINT "Order_pkey" PRIMARY KEY (sequence_id);


--
-- Name: Order_projections Order_projections_pkey; Type: CONSTRAINT; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE ONLY schema_of_the_dump."Order_projections"
    ADD CONSTRAINT "Order_projections_pkey" PRIMARY KEY (name, version, partition);


--
-- Name: Order_reservations Order_reservations_pkey; Type: CONSTRAINT; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE ONLY schema_of_the_dump."Order_reservations"
    ADD CONSTRAINT "Order_reservations_pkey" PRIMARY KEY (scope, value);


--
-- Name: Order_schema_version Order_schema_version_pkey; Type: CONSTRAINT; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE ONLY schema_of_the_dump."Order_schema_version"
    ADD CONSTRAINT "Order_schema_version_pkey" PRIMARY KEY (id);


--
-- Name: Order_snapshots Order_snapshots_pkey; Type: CONSTRAINT; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE ONLY schema_of_the_dump."Order_snapshots"
    ADD CONSTRAINT "Order_snapshots_pkey" PRIMARY KEY (aggregate_id, type, schema_version);


--
-- Name: events events_aggregate_version_key; Type: CONSTRAINT; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE ONLY schema_of_the_dump.events
    ADD CONSTRAINT events_aggregate_version_key UNIQUE (aggregate_id, version);


--
-- Name: events_parked events_parked_pkey; Type: CONSTRAINT; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE ONLY schema_of_the_dump.events_parked
    ADD CONSTRAINT events_parked_pkey PRIMARY KEY (name, version, sequence_id);


--
-- Name: events events_pkey; Type: CONSTRAINT; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE ONLY schema_of_the_dump.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (sequence_id);


--
-- Name: events_projections events_projections_pkey; Type: CONSTRAINT; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE ONLY schema_of_the_dump.events_projections
    ADD CONSTRAINT events_projections_pkey PRIMARY KEY (name, version, partition);


--
-- Name: events_reservations events_reservations_pkey; Type: CONSTRAINT; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE ONLY schema_of_the_dump.events_reservations
    ADD CONSTRAINT events_reservations_pkey PRIMARY KEY (scope, value);


--
-- Name: events_schema_version events_schema_version_pkey; Type: CONSTRAINT; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE ONLY schema_of_the_dump.events_schema_version
    ADD CONSTRAINT events_schema_version_pkey PRIMARY KEY (id);


--
-- Name: events_snapshots events_snapshots_pkey; Type: CONSTRAINT; Schema: schema_of_the_dump; Owner: -
--

ALTER TABLE ONLY schema_of_the_dump.events_snapshots
    ADD CONSTRAINT events_snapshots_pkey PRIMARY KEY (aggregate_id, type, schema_version);


--
-- Name: Order_parked_aggregate_idx; Type: INDEX; Schema: schema_of_the_dump; Owner: -
--

CREATE INDEX "Order_parked_aggregate_idx" ON schema_of_the_dump."Order_parked" USING hash (aggregate_id);


--
-- Name: Order_parked_request_idx; Type: INDEX; Schema: schema_of_the_dump; Owner: -
--

CREATE INDEX "Order_parked_request_idx" ON schema_of_the_dump."Order_parked" USING btree (name, version, sequence_id) WHERE (request <> ''::text);


--
-- Name: Order_reservations_ends_idx; Type: INDEX; Schema: schema_of_the_dump; Owner: -
--

CREATE INDEX "Order_reservations_ends_idx" ON schema_of_the_dump."Order_reservations" USING btree (until) WHERE (until <> 0);


--
-- Name: Order_timestamp_idx; Type: INDEX; Schema: schema_of_the_dump; Owner: -
--

CREATE INDEX "Order_timestamp_idx" ON schema_of_the_dump."Order" USING brin ("timestamp") WITH (pages_per_range='32', autosummarize='on');


--
-- Name: Order_type_idx; Type: INDEX; Schema: schema_of_the_dump; Owner: -
--

CREATE INDEX "Order_type_idx" ON schema_of_the_dump."Order" USING btree (type, sequence_id);


--
-- Name: events_parked_aggregate_idx; Type: INDEX; Schema: schema_of_the_dump; Owner: -
--

CREATE INDEX events_parked_aggregate_idx ON schema_of_the_dump.events_parked USING hash (aggregate_id);


--
-- Name: events_parked_request_idx; Type: INDEX; Schema: schema_of_the_dump; Owner: -
--

CREATE INDEX events_parked_request_idx ON schema_of_the_dump.events_parked USING btree (name, version, sequence_id) WHERE (request <> ''::text);


--
-- Name: events_reservations_ends_idx; Type: INDEX; Schema: schema_of_the_dump; Owner: -
--

CREATE INDEX events_reservations_ends_idx ON schema_of_the_dump.events_reservations USING btree (until) WHERE (until <> 0);


--
-- Name: events_timestamp_idx; Type: INDEX; Schema: schema_of_the_dump; Owner: -
--

CREATE INDEX events_timestamp_idx ON schema_of_the_dump.events USING brin ("timestamp") WITH (pages_per_range='32', autosummarize='on');


--
-- Name: events_type_idx; Type: INDEX; Schema: schema_of_the_dump; Owner: -
--

CREATE INDEX events_type_idx ON schema_of_the_dump.events USING btree (type, sequence_id);


--
-- Name: Order Order_append_only; Type: TRIGGER; Schema: schema_of_the_dump; Owner: -
--

CREATE TRIGGER "Order_append_only" BEFORE DELETE OR UPDATE OR TRUNCATE ON schema_of_the_dump."Order" FOR EACH STATEMENT EXECUTE FUNCTION schema_of_the_dump."Order_refuse_change"();

ALTER TABLE schema_of_the_dump."Order" ENABLE ALWAYS TRIGGER "Order_append_only";


--
-- Name: events events_append_only; Type: TRIGGER; Schema: schema_of_the_dump; Owner: -
--

CREATE TRIGGER events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON schema_of_the_dump.events FOR EACH STATEMENT EXECUTE FUNCTION schema_of_the_dump.events_refuse_change();

ALTER TABLE schema_of_the_dump.events ENABLE ALWAYS TRIGGER events_append_only;


--
-- PostgreSQL database dump complete
--


