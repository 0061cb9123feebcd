/*
 * The PostgreSQL protocol of store/sqlstore, for the model checker spin.
 *
 * README.md in this folder explains it; check.sh runs it. "step 1" to "step 4" and
 * the names in brackets are those of the code: [events_append] and [events_horizon]
 * are functions of migrations/00001_create_events.sql, the others are Go functions of
 * store/sqlstore.
 *
 * Each mutant is this protocol with one mistake, made by -DMUTANT_...; the checker
 * has to find it. Each probe, all with -DPROBES or one with -DONLY_PROBE=P_..., is an assertion that
 * fails where something interesting happens: the checker has to get there.
 */

/* The size of the world. */
#ifndef WRITERS
#define WRITERS 2      /* connections that append at the same time */
#endif
#ifndef TRANSACTIONS
#define TRANSACTIONS 1 /* of each writer, one after the other */
#endif
#ifndef APPENDS
#define APPENDS 1      /* in each transaction, at most; those after the first are behind savepoints */
#endif
#ifndef TRIES
#define TRIES 1        /* of a transaction that loses a race */
#endif
#ifndef AGGREGATES
#define AGGREGATES 2
#endif
/* With -DSPREAD an append is of an aggregate that goes by the number of writer, transaction and append. */
#ifndef EVENTS
#define EVENTS 1       /* of one append, at most, each of another aggregate */
#endif
#ifndef CLOCKS
#define CLOCKS 3       /* milliseconds that clocks may show: 0 to CLOCKS-1 */
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef LOST
#define LOST 0         /* commits whose answers may be lost */
#endif

/*
 * Sequence IDs are numbers from 1, 0 is none:
 *
 *   id = ((millisecond * STEMS) + stem) * TAILS + tail + 1
 *
 * A stem is the time with the upper half of the entropy, a tail is the lower half
 * [sequence.NewBlock]. The first stem of a millisecond is in the lower half, so that
 * one that follows it fits; the next one is carried into the time. Two writers may
 * draw the same tail, which the primary key then shows.
 */
#define STEMS 2
#ifndef TAILS
#define TAILS 2      /* at least EVENTS; and WRITERS if answers are lost */
#endif
#define MOST_APPENDS (WRITERS * TRANSACTIONS * APPENDS)
#define IDS ((STEMS * (CLOCKS - 1) + MOST_APPENDS) * TAILS + TAILS) /* at most 30: sets of IDs are ints */
#define BIT(id) (1 << (id))
#define UP_TO(id) ((2 << (id)) - 1)
#define STEM(id) (((id) - 1) / TAILS)
#define END_BEFORE(ms) ((ms) * STEMS * TAILS) /* the highest ID of the millisecond before */

#define NO_LOCK 255

/* Probes. */
#define P_ROLLED_BACK 1       /* a transaction with rows rolled back */
#define P_CARRIED 2           /* an ID's time is past all clocks: the entropy was carried into it */
#define P_FOLLOWS_HEAD 3      /* an ID follows the head since the clock is behind */
#define P_WAITED 4            /* an insert waits for another transaction */
#define P_LOST_RACE 5         /* a row of another transaction, committed since the versions were read */
#define P_HELD_BACK 6         /* a lock keeps a reader from an event that is visible */
#define P_LOCKED_BETWEEN 7    /* a lock that was not there when the reader read M1 is there now */
#define P_COMMITTED_BETWEEN 8 /* an event is visible to the page that was not when M1 was read */
#define P_BELOW_A_HEAD 9      /* a commit adds an event below one that is visible already */
#define P_SAVEPOINT 10        /* a rollback to a savepoint drops rows and a lock */
#define P_KNOWN 11            /* a page is read up to a horizon that was known before */
#define P_STALE_KNOWN 12      /* the same while that horizon is not at the head */
#define P_LATE_COMMIT 13      /* a commit is carried out after its client has lost the connection */
#define P_FOUND 14            /* the look-up finds such a commit */
#define P_NOT_FOUND 15        /* the look-up says that nothing is stored */
#define P_UNKNOWN 16          /* the look-up gives up */
#define P_REACHED 17          /* a reader has come to the head, which is as high as it gets */
#define P_STANDS_ASIDE 18     /* a writer rolls back rather than wait */
#define P_TWO_EVENTS 19       /* a commit of two events */
#ifdef ONLY_PROBE
#define REACHED(what) assert(ONLY_PROBE != what)
#define PROBES
#elif defined(PROBES)
#define REACHED(what) assert(what == 0)
#else
#define REACHED(what) skip
#endif

/* The table. */
int committed;             /* rows that a snapshot taken now shows */
int written[WRITERS];      /* rows of the writer's open transaction */
byte aggregate[IDS + 1];   /* of each row, whether it is committed or not */
byte version[IDS + 1];

/*
 * Its unique index on (aggregate, version): who has the place. It knows of rows that
 * are not committed, as the primary key does.
 */
#define VERSIONS (MOST_APPENDS + 1)
#define PLACE(a, v) ((a) * VERSIONS + (v))
#define COMMITTED 255
byte place[AGGREGATES * VERSIONS]; /* 0 for nobody, the writer's number + 1, or COMMITTED */

/* pg_locks: for each writer's transaction the set of its keys K. */
byte locks[WRITERS];
#define LOCKS (locks[0] | locks[1 % WRITERS] | locks[2 % WRITERS] | locks[3 % WRITERS])

byte ended;                /* writers that have ended */

/* Readers keep the last ID that they handled, and here what they have been handed. */
byte cursor[READERS];
int handed[READERS];
#ifdef LIVENESS
byte finished;             /* readers that have reached the head after all writers ended */
#endif
byte known;                /* the horizon that a process knows [Store.known] */

#if LOST > 0
byte lost;                 /* answers that were lost */
bool running[WRITERS];     /* the server's process still has the session; pg_stat_activity */
bool told_not[WRITERS];    /* the caller was told that the transaction is not stored */
#endif

/* The properties. Hidden variables are no part of the state; they name what failed. */
hidden byte no_event_is_skipped;
hidden byte no_event_is_handed_out_twice;
hidden byte order_ascends;
hidden byte versions_are_without_gaps;
hidden byte order_of_aggregate_is_that_of_versions;
hidden byte the_head_is_reached;
hidden byte what_was_told_is_true;

/*
 * So are those of loops. The checker does not restore them when it goes back, so they
 * are only for steps without a choice.
 */
hidden byte i, count, whose;
hidden byte next_version[AGGREGATES];

/* highest sets result to the highest ID in a set, 0 if it is empty. */
inline highest(set, result) {
	result = IDS;
	do
	:: result > 0 && !((set) & BIT(result)) -> result--
	:: else -> break
	od
}

/*
 * Everything that is visible at or below a cursor was handed out: whoever commits an
 * event there makes readers skip it.
 */
inline check_readers() {
	i = 0;
	do
	:: i < READERS ->
		no_event_is_skipped = handed[i] == (committed & UP_TO(cursor[i]));
		assert(no_event_is_skipped);
		i++
	:: else -> break
	od;
	i = 0
}

/* In sequence order, each aggregate's versions are 1, 2, 3, ... */
inline check_versions() {
	i = 0;
	do
	:: i < AGGREGATES -> next_version[i] = 1; i++
	:: else -> break
	od;
	i = 1;
	do
	:: i <= IDS ->
		if
		:: committed & BIT(i) ->
			whose = aggregate[i];
			order_of_aggregate_is_that_of_versions = version[i] >= next_version[whose];
			versions_are_without_gaps = version[i] <= next_version[whose];
			assert(order_of_aggregate_is_that_of_versions);
			assert(versions_are_without_gaps);
			next_version[whose]++
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0; whose = 0
}

/* commit makes the rows of a transaction visible, all at once. Its locks are still held. */
inline make_visible(w) {
	d_step {
		if
		:: written[w] && committed > written[w] -> REACHED(P_BELOW_A_HEAD)
		:: else
		fi;
		i = 1; count = 0;
		do
		:: i <= IDS ->
			if
			:: written[w] & BIT(i) -> place[PLACE(aggregate[i], version[i])] = COMMITTED; count++
			:: else
			fi;
			i++
		:: else -> break
		od;
		if
		:: count == 2 && APPENDS == 1 -> REACHED(P_TWO_EVENTS)
		:: else
		fi;
		i = 0; count = 0;
		committed = committed | written[w];
		written[w] = 0;
		check_versions();
		check_readers()
	}
}

/* forget drops the rows of a transaction that are not in keep. */
inline forget(w, keep) {
	i = 1;
	do
	:: i <= IDS ->
		if
		:: written[w] & ~(keep) & BIT(i) ->
			place[PLACE(aggregate[i], version[i])] = 0;
			aggregate[i] = 0; version[i] = 0
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0;
	written[w] = written[w] & (keep)
}

inline roll_back(w) {
	d_step {
		if
		:: written[w] -> REACHED(P_ROLLED_BACK)
		:: else
		fi;
		forget(w, 0);
		locks[w] = 0
	}
}

/*
 * step 1: publish K, the lower bound of the IDs that may still be used. K is
 * max(own clock, time of the highest ID seen), and clocks jump, so it is any time.
 */
inline lock() {
	atomic {
		select(k : 0 .. (CLOCKS - 1));
		locks[w] = locks[w] | BIT(k)
	}
}

/* step 2, a later statement: the head and the versions, in one snapshot, with the rows of this transaction. */
inline read_head() {
	atomic {
#ifdef SPREAD
		set = BIT((w + transactions + appends) % AGGREGATES);
#else
		if
		:: set = 1
		:: AGGREGATES > 1 -> set = 2
		:: AGGREGATES > 1 && EVENTS > 1 -> set = 3
		fi;
#endif
		d_step {
			highest((committed | written[w]), m);
			i = 1;
			do
			:: i <= IDS ->
				if
				:: (committed | written[w]) & BIT(i) ->
					if
					:: set & BIT(aggregate[i]) -> current[aggregate[i]] = (version[i] > current[aggregate[i]] -> version[i] : current[aggregate[i]])
					:: else
					fi
				:: else
				fi;
				i++
			:: else -> break
			od;
			i = 0
		}
	}
}

#define ANYONES (committed | written[0] | written[1 % WRITERS] | written[2 % WRITERS] | written[3 % WRITERS])

#ifdef MUTANT_VERSION_READ_THEN_WRITTEN /* only the primary key is unique */
#define FREE (!(ANYONES & BIT(id)))
#define TAKEN (committed & BIT(id))
#else
#define FREE (!(ANYONES & BIT(id)) && place[PLACE(a, current[a] + 1)] == 0)
#define TAKEN ((committed & BIT(id)) || place[PLACE(a, current[a] + 1)] == COMMITTED)
#endif

/* Writer: a connection on which transactions are made, by whatever process. */
proctype Writer(byte w) {
	byte transactions = 0, appends = 0, tries = 0;
	byte k, m, id, a, set;
#if LOST > 0
	bool is_running, is_stored;
#endif
	byte current[AGGREGATES];
	int kept_rows; byte kept_locks; /* what a rollback to the savepoint keeps */

next:
	atomic {
		kept_rows = 0; kept_locks = 0; appends = 0;
		k = 0; m = 0; id = 0; a = 0; set = 0; current[0] = 0; current[AGGREGATES - 1] = 0;
		if
		:: transactions == TRANSACTIONS -> goto end
		:: transactions < TRANSACTIONS -> transactions++; tries = TRIES
		fi
	}

append: /* events_append, called on its own or in a transaction that is open */
#ifdef MUTANT_LOCK_AFTER_HEAD
	read_head();
	lock();
#else
	lock();
	read_head();
#endif

	/* step 3: IDs of which the time is K or, if the head is there already, that follow the head */
	atomic {
		if
		:: true
		:: goto failed /* a version that was asked for is not the next one, the clock is too far ahead, the owner is gone */
		fi;
#ifdef MUTANT_IDS_NOT_RAISED_TO_K /* the time is that of a clock that has gone back since */
		do
		:: k > 0 -> k--
		:: break
		od;
#endif
		id = k * STEMS;
#ifndef MUTANT_IDS_NOT_ABOVE_HEAD
		if
		:: m > 0 && STEM(m) >= id -> id = STEM(m) + 1; REACHED(P_FOLLOWS_HEAD)
		:: else
		fi;
#endif
		if
		:: id >= CLOCKS * STEMS -> REACHED(P_CARRIED)
		:: else
		fi;
		id = id * TAILS + 1;
#if LOST > 0
		id = id + w; /* of two transactions with the same ID the look-up would not know which it is */
#else
		do /* any tail that leaves room for those of the other events */
		:: (id - 1) % TAILS < TAILS - 1 - (set == 3) -> id++
		:: break
		od;
#endif
		k = 0; m = 0
	}

	/* step 4: insert the rows */
	do
	:: set == 0 -> break
	:: set != 0 ->
		a = (set & 1 -> 0 : 1);
		do
		:: atomic {
			FREE ->
			written[w] = written[w] | BIT(id);
			aggregate[id] = a; version[id] = current[a] + 1;
			place[PLACE(a, current[a] + 1)] = w + 1;
			set = set & ~BIT(a); a = 0; id++;
			break
			}
		:: atomic { /* unique_violation [lostRace] */
			TAKEN -> REACHED(P_LOST_RACE); goto failed
			}
		:: atomic { /* it waits; or lock_timeout, a deadlock or the context ends that [shouldStandAside] */
			!(FREE) && !(TAKEN) -> REACHED(P_WAITED);
			REACHED(P_STANDS_ASIDE); goto failed
			}
		od
	od;
	atomic {
		id = 0; current[0] = 0; current[AGGREGATES - 1] = 0;
		appends++
	}

open: /* the transaction may stay open for as long as its owner likes */
	if
	:: appends < APPENDS -> /* a savepoint [TxStore.NewTransaction], and another append behind it */
		atomic { kept_rows = written[w]; kept_locks = locks[w]; goto append }
	:: kept_locks -> /* ROLLBACK TO SAVEPOINT drops rows and locks since [savepoint.Rollback] */
		d_step {
			if
			:: written[w] != kept_rows && locks[w] != kept_locks -> REACHED(P_SAVEPOINT)
			:: else
			fi;
			forget(w, kept_rows); locks[w] = kept_locks;
			kept_rows = 0; kept_locks = 0
		};
		goto open
	:: goto commit
	:: goto rollback
#if LOST > 0
	:: atomic { lost < LOST -> lost++; goto cut }
#endif
	fi;

commit: /* PostgreSQL makes a commit visible before it releases the transaction's locks */
#ifdef MUTANT_UNLOCK_BEFORE_COMMIT
	locks[w] = 0;
	make_visible(w);
#else
	make_visible(w);
#ifndef MUTANT_LOCK_OF_SESSION
	locks[w] = 0;
#endif
#endif
	goto next;

rollback: /* by the owner; or a crash of the owner, a lost connection, a crash of the server */
	roll_back(w);
	goto next;

failed: /* nothing of this append is stored; a call on its own is tried again */
	atomic {
		if
		:: kept_locks ->
			d_step { forget(w, kept_rows); locks[w] = kept_locks; kept_rows = 0; kept_locks = 0 };
			k = 0; m = 0; id = 0; a = 0; set = 0; current[0] = 0; current[AGGREGATES - 1] = 0;
			goto open
		:: else
		fi;
		roll_back(w);
		k = 0; m = 0; id = 0; a = 0; set = 0; current[0] = 0; current[AGGREGATES - 1] = 0;
		if
		:: tries > 0 -> tries--; goto append
		:: goto next
		fi
	};

#if LOST > 0
cut: /* COMMIT was sent and the connection is gone. What the server does is up to Backend. */
	atomic {
		running[w] = true;
		kept_rows = written[w] /* what is looked for */
	};
	do /* [Store.outcome], which looks again and again */
#ifdef MUTANT_OUTCOME_STORED_BEFORE_RUNNING
	:: is_stored = (committed & kept_rows) != 0; is_running = running[w];
#else
	:: is_running = running[w]; is_stored = (committed & kept_rows) != 0; /* two statements */
#endif
		atomic {
			if
			:: is_stored -> REACHED(P_FOUND);
				what_was_told_is_true = (committed & kept_rows) == kept_rows;
				assert(what_was_told_is_true);
				break
			:: !is_stored && !is_running -> REACHED(P_NOT_FOUND);
				what_was_told_is_true = !(committed & kept_rows);
				assert(what_was_told_is_true);
				told_not[w] = true; break /* Backend must not commit any more */
			:: else -> is_running = false
			fi
		}
	:: atomic { REACHED(P_UNKNOWN); break } /* ErrOutcomeUnknown promises nothing */
	od;
	/* The next transaction would be on another connection, but here it needs the place of this one. */
	atomic { !running[w] -> told_not[w] = false; is_stored = false; is_running = false; goto next };
#endif

end:
	ended++
}

#if LOST > 0
/* Backend: the server's process behind a connection that is gone. It had got the COMMIT or not. */
proctype Backend(byte w) {
	do
	:: running[w] ->
		if
		:: true ->
			REACHED(P_LATE_COMMIT);
			what_was_told_is_true = !told_not[w];
			assert(what_was_told_is_true);
			make_visible(w);
			locks[w] = 0
		:: roll_back(w)
		fi;
		running[w] = false
	:: atomic { !running[w] && ended == WRITERS -> break }
	od
}
#endif

/*
 * hand_out gives a reader the rows of a snapshot that are behind its cursor and not
 * beyond the bound, up to a LIMIT that may be anything.
 */
inline hand_out(snapshot, bound, whole) {
	id = cursor[r] + 1;
	do
	:: id > bound -> break
	:: id <= bound && !((snapshot) & BIT(id)) -> id++
	:: id <= bound && ((snapshot) & BIT(id)) ->
		no_event_is_handed_out_twice = !(handed[r] & BIT(id));
		assert(no_event_is_handed_out_twice);
		order_ascends = handed[r] < BIT(id);
		assert(order_ascends);
		handed[r] = handed[r] | BIT(id);
		cursor[r] = id;
		id++
	:: id <= bound && !whole && ((snapshot) & BIT(id)) -> break
	od;
	id = 0;
	check_readers()
}

/* step 1: M1, the head. */
inline read_m1() {
	d_step {
		highest(committed, m1);
		at_m1 = committed;
#ifdef PROBES
		if
		:: LOCKS == 0 -> locked = false
		:: else -> locked = true
		fi
#endif
	}
}

/* step 2, a later statement: the lowest K in pg_locks. */
#ifdef LOCKS_ONE_BY_ONE /* as if pg_locks were not read at one moment */
inline read_locks() {
	atomic { kmin = NO_LOCK; w = 0 };
	do
	:: d_step { w < WRITERS -> lowest_of(locks[w]); w++ }
	:: atomic { w == WRITERS -> w = 0; break }
	od
}
#else
inline read_locks() {
	d_step {
		kmin = NO_LOCK;
		lowest_of(LOCKS);
#ifdef PROBES
		if
		:: !locked && LOCKS != 0 -> REACHED(P_LOCKED_BETWEEN)
		:: else
		fi;
#endif
	}
}
#endif
inline lowest_of(keys) {
	i = 0;
	do
	:: i < CLOCKS ->
		if
		:: ((keys) & BIT(i)) && i < kmin -> kmin = i
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

/* page reads one page, in READ COMMITTED: each statement has a snapshot of its own [Store.pageOn]. */
inline page(whole) {
#ifdef MUTANT_READER_STEPS_SWAPPED
	read_locks();
	read_m1();
#else
	read_m1();
	read_locks();
#endif
	/* step 3, a later statement: the events */
	atomic {
#ifdef MUTANT_NO_LOCKS_READ
		kmin = NO_LOCK;
#endif
		if
#ifdef MUTANT_LOWEST_K_INCLUDED
		:: kmin != NO_LOCK && END_BEFORE(kmin + 1) < m1 -> m1 = END_BEFORE(kmin + 1)
#else
		:: kmin != NO_LOCK && END_BEFORE(kmin) < m1 -> REACHED(P_HELD_BACK); m1 = END_BEFORE(kmin)
#endif
		:: else
		fi;
		kmin = 0;
		if
		:: at_m1 != committed -> REACHED(P_COMMITTED_BETWEEN)
		:: else
		fi;
#ifdef MUTANT_PAGE_IN_SNAPSHOT_OF_M1
		hand_out(at_m1, m1, whole);
#else
		hand_out(committed, m1, whole);
#endif
#ifdef KNOWN
		known = (m1 > known -> m1 : known);
#endif
#ifdef MUTANT_KNOWN_IS_HEAD
		highest(at_m1, known);
#endif
		m1 = 0; at_m1 = 0
	}
}

/* Reader: a catch-up reader that keeps the last ID that it handled. */
proctype Reader(byte r) {
	byte m1, kmin, w, id;
	int at_m1; /* the snapshot of step 1, for mutants and probes only */
#ifdef PROBES
	bool locked;
#endif
	do
	:: ended < WRITERS -> page(false)
#ifdef KNOWN /* what is at or below a known horizon needs no horizon of its own [Store.horizonFor] */
	:: atomic {
		ended < WRITERS && known > cursor[r] -> REACHED(P_KNOWN);
		if
		:: committed > UP_TO(known) -> REACHED(P_STALE_KNOWN)
		:: else
		fi;
		hand_out(committed, known, false)
		}
#endif
	:: break /* it may also wait: then writers that block each other for ever are a deadlock */
	od;
	ended == WRITERS;
	/* A page that begins when all writers have ended comes to the head. */
last_page:
	page(true);
	atomic {
		highest(committed, m1);
		the_head_is_reached = cursor[r] == m1;
#ifdef LIVENESS
		if
		:: !the_head_is_reached -> m1 = 0; goto last_page
		:: else -> finished++
		fi;
#else
		assert(the_head_is_reached);
#endif
		if
		:: m1 > END_BEFORE(CLOCKS) -> REACHED(P_REACHED)
		:: else
		fi;
		m1 = 0
	}
}

#ifdef LIVENESS /* the same as a formula: under weak fairness every reader reaches the head */
ltl every_reader_reaches_the_head { <> (finished == READERS) }
#endif

init {
	byte p;
	atomic {
		p = 0;
		do
		:: p < WRITERS ->
			run Writer(p);
#if LOST > 0
			run Backend(p);
#endif
			p++
		:: else -> break
		od;
		p = 0;
		do
		:: p < READERS -> run Reader(p); p++
		:: else -> break
		od;
		p = 0
	}
}
