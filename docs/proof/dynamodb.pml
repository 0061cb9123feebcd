/*
 * The DynamoDB protocol of store/dynamostore, for the model checker spin.
 *
 * README.md in this folder explains it; check.sh runs it. The names in brackets are
 * functions of store/dynamostore.
 *
 * Each mutant is this protocol with one mistake, made by -DMUTANT_...; the checker
 * has to find it. Each probe, all with -DPROBES or one with -DONLY_PROBE=P_..., is an assertion that
 * fails where something interesting happens: the checker has to get there.
 */

/* The size of the world. */
#ifndef WRITERS
#define WRITERS 2    /* processes that save, each with a memory of its own */
#endif
#ifndef SAVES
#define SAVES 1      /* of each writer, one after the other */
#endif
#ifndef PLANS
#define PLANS 2      /* that a writer makes for a save, at most */
#endif
#ifndef SHARDS
#define SHARDS 2     /* 1 or 2 */
#endif
#ifndef AGGREGATES
#define AGGREGATES 2 /* at least SHARDS; 0 belongs to shard 0, 1 to shard 1, 2 to shard 0 */
#endif
#ifndef EVENTS
#define EVENTS 1     /* of one save, at most, each of another aggregate */
#endif
/* With -DSPREAD each save is one event, of an aggregate that goes by the number of writer and save. */
#ifndef IDS
#define IDS 6        /* sequence IDs are 1 to IDS, at most 30; a save for which none is left is refused */
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef TYPED
#define TYPED 0      /* readers, the last ones, that read the chain of a type: the events of all aggregates but 0 */
#endif
#ifndef LOST
#define LOST 1       /* answers to writers that are lost; the attempts are carried out later, or never */
#endif
#ifndef STRAYS
#define STRAYS 1     /* fences of readers that are gone, which are carried out at any time */
#endif

#define BIT(n) (1 << (n))
#define UP_TO(id) ((2 << (id)) - 1)
#define SHARD(a) ((a) % SHARDS)
#if SHARDS == 1
#define AGGREGATES_OF(s) 7
#else
#define AGGREGATES_OF(s) (s == 0 -> 5 : 2)
#endif
#define SHARD_OF_ID(id) ((id) % SHARDS) /* the lowest byte of an ID is its shard [nextID] */

/* Probes. */
#define P_LOST_RACE 1            /* a head's last event is another one: somebody else was faster */
#define P_FENCED 2               /* only a fence is in the way */
#define P_TAKEN 3                /* the place of an event is taken although the head is as it was known */
#define P_CARRIED_OUT_LATER 4    /* an attempt is carried out after its answer was lost */
#define P_LATE_IN_VAIN 5         /* such an attempt fails, because of what happened since */
#define P_SENT_AGAIN 6           /* the same plan, sent again, is answered like the attempt that was successful */
#define P_FOUND_AT_ONCE 7        /* the look-up finds the plan's event */
#define P_PLACE_TAKEN 8          /* it finds another one in its place */
#define P_OUTCOME_FENCE 9        /* it puts its own fence */
#define P_FOUND_AFTER_FENCE 10   /* it finds the event at the second look: the attempt came in between */
#define P_HEAD_MOVED_ON 11       /* it cannot put its fence and finds nothing: somebody else moved the head */
#define P_NEW_PLAN 12            /* a new plan is stored after an attempt of an earlier one was in doubt */
#define P_ORPHAN 13              /* an attempt is successful when its writer has crashed, or has given up asking */
#define P_BROKEN_LINK 14         /* the index shows an event, but not one before it */
#define P_INDEX_FORGETS 15       /* the index does not show what it has shown before */
#define P_FENCE 16               /* a reader moves a head that lags */
#define P_FENCE_TOO_LATE 17      /* the head has moved on already */
#define P_NEWS_BY_FENCE 18       /* a fence tells of an event that the reader did not know of, before the one at hand */
#define P_HEADS_OF_TWO_TIMES 19  /* when the reader has read the last head, the first one is another already */
#define P_STRAY 20               /* a fence of a reader that is gone moves a head */
#define P_TWO_SHARDS 21          /* a save of two shards is stored */
#define P_SAME_SHARD 22          /* a save of two events of one shard is stored */
#define P_REMEMBERED 23          /* a save from remembered heads is stored */
#define P_STALE 24               /* a save from remembered heads is refused since they are not the latest */
#define P_BELOW 25               /* an event is stored below one of another shard */
#define P_TYPE_SKIPS 26          /* a reader of a type follows a link past events of other types */
#define P_BEHIND 27              /* a page ends before an event that the index does not show */
#define P_AFTER_END 28           /* a page ends at the last event that it knew of, though a later one is at hand */
#define P_REACHED_END 29         /* a reader has come to the end of three events */
#ifdef ONLY_PROBE
#define REACHED(what) assert(ONLY_PROBE != what)
#define PROBES
#elif defined(PROBES)
#define REACHED(what) assert(what == 0)
#else
#define REACHED(what) skip
#endif
#ifdef PROBES
#define FOR_PROBE(statement) statement
#else
#define FOR_PROBE(statement) skip
#endif

/* Heads [head]. */
byte head[SHARDS];      /* attribute head: no event at or below it will be added */
byte last[SHARDS];      /* attribute last: the last event */
#if TYPED > 0
byte type_last[SHARDS]; /* attribute types, of the one type that matters */
#define LAST_OF_TYPE(s) type_last[s]
#else
#define LAST_OF_TYPE(s) 0
#endif

/* Events: a set of IDs, and for each ID its attributes. */
int events;
int typed;              /* those of the type */
byte prev[IDS + 1];
#if TYPED > 0
byte type_prev[IDS + 1];
#endif
byte by[IDS + 1];       /* the save that it is of: IDs of two plans are never equal, but here they are numbers */

/* The table's key: which event is the version of the aggregate, 0 if none is. */
#define VERSIONS (WRITERS * SAVES + 1)
#define PLACE(a, v) ((a) * VERSIONS + (v))
byte place[AGGREGATES * VERSIONS];

/* What a process knows of heads [knownHeads] and of versions [versions]. It may be behind. */
typedef Memory {
	byte head[SHARDS];
	byte last[SHARDS];
#if TYPED > 0
	byte type_last[SHARDS];
#endif
	byte version[AGGREGATES]
};
Memory memory[WRITERS];

/* A TransactWriteItems [plan]: for each aggregate an event, or none. */
typedef Plan {
	byte save;               /* 0 if there is no plan */
	byte id[AGGREGATES];
	byte version[AGGREGATES];
	byte before[SHARDS];     /* the event that the first one of the shard follows */
#if TYPED > 0
	byte type_before[SHARDS];
#endif
};
Plan plan[WRITERS];

/* Attempts that are on their way while nobody waits for them any more. */
#if LOST > 0 /* at most 3 */
Plan late[LOST];
byte lost;
#define NOTHING_LATE (late[0].save + late[1 % LOST].save + late[2 % LOST].save == 0)
#else
#define NOTHING_LATE true
#endif

byte strays;
byte ended;    /* writers that have ended */
bool settled;  /* all writers have ended, nothing is on its way, and the indexes show everything */

#define SAVE(w, n) ((w) * SAVES + (n)) /* n from 1 */
int stored;    /* saves that are stored */
int told_not;  /* saves of which the callers were told that they are not, and never will be */

byte cursor[READERS];
int handed[READERS];
#ifdef LIVENESS
byte finished; /* readers that have reached the end after all was quiet */
#endif

/* The properties. Hidden variables are no part of the state; they name what failed. */
hidden byte no_event_is_skipped;
hidden byte no_event_is_handed_out_twice;
hidden byte order_ascends;
hidden byte versions_are_without_gaps;
hidden byte order_of_aggregate_is_that_of_versions;
hidden byte no_event_is_overwritten;
hidden byte no_save_is_stored_twice;
hidden byte what_was_told_is_true;
hidden byte what_was_saved_before_is_read;
hidden byte the_head_is_reached;

/*
 * So are those of loops. The checker does not restore them when it goes back, so they
 * are only for steps without a choice.
 */
hidden byte i, s_, id_, count, behind_, moved_, taken_, clash, ok, dense;
hidden byte follows[SHARDS], type_follows[SHARDS];

#define IS_TYPED(r) ((r) >= READERS - TYPED)
#define MATCHING(r) (IS_TYPED(r) * typed + !IS_TYPED(r) * events)

/* highest sets result to the highest ID in a set, 0 if it is empty. */
inline highest(set, result) {
	result = IDS;
	do
	:: result > 0 && !((set) & BIT(result)) -> result--
	:: else -> break
	od
}

/* Everything at or below a cursor was handed out: whoever stores an event there makes readers skip it. */
inline check_readers() {
	i = 0;
	do
	:: i < READERS ->
		no_event_is_skipped = handed[i] == (MATCHING(i) & UP_TO(cursor[i]));
		assert(no_event_is_skipped);
		i++
	:: else -> break
	od;
	i = 0
}

/* Each aggregate has the versions 1, 2, 3, ..., and their sequence IDs ascend. */
inline check_versions() {
	i = 0;
	do
	:: i < AGGREGATES ->
		s_ = 1; id_ = 0; dense = true;
		do
		:: s_ < VERSIONS ->
			if
			:: place[PLACE(i, s_)] ->
				versions_are_without_gaps = dense;
				assert(versions_are_without_gaps);
				order_of_aggregate_is_that_of_versions = place[PLACE(i, s_)] > id_;
				assert(order_of_aggregate_is_that_of_versions);
				id_ = place[PLACE(i, s_)]
			:: else -> dense = false
			fi;
			s_++
		:: else -> break
		od;
		i++
	:: else -> break
	od;
	i = 0; s_ = 0; id_ = 0; dense = 0
}

/* note remembers a head that is as new as the one that is known [knownHeads.note]. */
inline note(w, s) {
	if
	:: head[s] >= memory[w].head[s] ->
		memory[w].head[s] = head[s];
		memory[w].last[s] = last[s]
#if TYPED > 0
		; memory[w].type_last[s] = type_last[s]
#endif
	:: else
	fi
}

#ifdef MUTANT_ONE_HEAD_CHECKED
#define CHECKED(s) (s == 0 || !p.id[0])
#else
#define CHECKED(s) true
#endif
#ifdef MUTANT_PUT_WITHOUT_CONDITION
#define PUTS_HOLD true
#else
#define PUTS_HOLD !taken_
#endif
#ifdef MUTANT_LAST_NOT_CHECKED
#define LASTS_HOLD true
#else
#define LASTS_HOLD !moved_
#endif
#ifdef MUTANT_WRITER_IGNORES_FENCE
#define FENCES_HOLD true
#else
#define FENCES_HOLD !behind_
#endif

/*
 * carry_out is what DynamoDB does with a plan: all of it if all conditions hold
 * [Store.put, Store.move], or nothing. It sets ok, and why not: taken_ is a place that
 * is taken, moved_ a head with another last event, behind_ one with a fence.
 */
inline carry_out(p) {
	ok = true; taken_ = 0; moved_ = 0; behind_ = 0; clash = 0;
	i = 0;
	do
	:: i < AGGREGATES ->
		if
		:: p.id[i] ->
			s_ = SHARD(i);
			if
			:: place[PLACE(i, p.version[i])] -> taken_ = 1
			:: else
			fi;
			if
			:: events & BIT(p.id[i]) -> clash = 1 /* only in mutants, and never in the code: IDs are random */
			:: else
			fi;
			if
			:: CHECKED(s_) && last[s_] != p.before[s_] -> moved_ = moved_ | BIT(s_)
			:: else
			fi;
			if /* head < :first; the others of the shard are above the first */
			:: CHECKED(s_) && head[s_] >= p.id[i] -> behind_ = behind_ | BIT(s_)
			:: else
			fi
		:: else
		fi;
		i++
	:: else -> break
	od;
	ok = (PUTS_HOLD && LASTS_HOLD && FENCES_HOLD && !clash);
	if
	:: ok ->
		follows[0] = p.before[0]; follows[SHARDS - 1] = p.before[SHARDS - 1];
#if TYPED > 0
		type_follows[0] = p.type_before[0]; type_follows[SHARDS - 1] = p.type_before[SHARDS - 1];
#endif
		i = 0; count = 0;
		do
		:: i < AGGREGATES ->
			if
			:: p.id[i] ->
				count++;
				s_ = SHARD(i); id_ = p.id[i];
				if
				:: events > UP_TO(id_) -> REACHED(P_BELOW)
				:: else
				fi;
				no_event_is_overwritten = place[PLACE(i, p.version[i])] == 0;
				assert(no_event_is_overwritten);
				events = events | BIT(id_);
				place[PLACE(i, p.version[i])] = id_;
				by[id_] = p.save;
#ifdef MUTANT_PREV_IS_HEAD
				prev[id_] = head[s_];
#else
				prev[id_] = follows[s_];
#endif
				follows[s_] = id_;
				head[s_] = id_; last[s_] = id_;
#if TYPED > 0
				if
				:: i > 0 ->
					typed = typed | BIT(id_);
#ifdef MUTANT_TYPE_PREV_IS_PREV
					type_prev[id_] = prev[id_];
#else
					type_prev[id_] = type_follows[s_];
#endif
					type_follows[s_] = id_; type_last[s_] = id_
				:: else
				fi;
#endif
				if
				:: count == 2 && SHARDS == 2 && i == 1 -> REACHED(P_TWO_SHARDS)
				:: count == 2 && SHARDS == 1 -> REACHED(P_SAME_SHARD)
				:: else
				fi
			:: else
			fi;
			i++
		:: else -> break
		od;
		no_save_is_stored_twice = !(stored & BIT(p.save));
		assert(no_save_is_stored_twice);
		what_was_told_is_true = !(told_not & BIT(p.save));
		assert(what_was_told_is_true);
		stored = stored | BIT(p.save);
		check_versions();
		check_readers()
	:: else
	fi;
	i = 0; s_ = 0; id_ = 0; count = 0
}

/* Of the plan's first event [Store.find]. All events of a plan are there, or none is. */
#define FIRST(w) (plan[w].id[0] -> 0 : (AGGREGATES < 3 || plan[w].id[1] -> 1 : AGGREGATES - 1))
#define THERE(w) place[PLACE(FIRST(w), plan[w].version[FIRST(w)])]
#define OURS(w) (THERE(w) == plan[w].id[FIRST(w)] && by[THERE(w)] == plan[w].save)

inline forget_plan(p) {
	p.save = 0;
	p.id[0] = 0; p.id[1 % AGGREGATES] = 0; p.id[AGGREGATES - 1] = 0;
	p.version[0] = 0; p.version[1 % AGGREGATES] = 0; p.version[AGGREGATES - 1] = 0;
	p.before[0] = 0; p.before[SHARDS - 1] = 0;
#if TYPED > 0
	p.type_before[0] = 0; p.type_before[SHARDS - 1] = 0
#endif
}

inline copy_plan(from, to) {
	to.save = from.save;
	to.id[0] = from.id[0]; to.id[1 % AGGREGATES] = from.id[1 % AGGREGATES]; to.id[AGGREGATES - 1] = from.id[AGGREGATES - 1];
	to.version[0] = from.version[0]; to.version[1 % AGGREGATES] = from.version[1 % AGGREGATES];
	to.version[AGGREGATES - 1] = from.version[AGGREGATES - 1];
	to.before[0] = from.before[0]; to.before[SHARDS - 1] = from.before[SHARDS - 1];
#if TYPED > 0
	to.type_before[0] = from.type_before[0]; to.type_before[SHARDS - 1] = from.type_before[SHARDS - 1]
#endif
}

/* after_storing is what the writer learns from its success [Store.landed]. */
inline after_storing(w) {
	i = 0;
	do
	:: i < AGGREGATES ->
		if
		:: plan[w].id[i] ->
			s_ = SHARD(i);
			if
			:: plan[w].id[i] >= memory[w].head[s_] -> memory[w].head[s_] = plan[w].id[i]; memory[w].last[s_] = plan[w].id[i]
#if TYPED > 0
				; memory[w].type_last[s_] = (i > 0 -> plan[w].id[i] : memory[w].type_last[s_])
#endif
			:: else
			fi;
			if
			:: plan[w].version[i] > memory[w].version[i] -> memory[w].version[i] = plan[w].version[i]
			:: else
			fi
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0; s_ = 0
}

inline forget_memory(w) {
	memory[w].head[0] = 0; memory[w].head[SHARDS - 1] = 0;
	memory[w].last[0] = 0; memory[w].last[SHARDS - 1] = 0;
#if TYPED > 0
	memory[w].type_last[0] = 0; memory[w].type_last[SHARDS - 1] = 0;
#endif
	memory[w].version[0] = 0; memory[w].version[1 % AGGREGATES] = 0; memory[w].version[AGGREGATES - 1] = 0
}

/* Writer: a process that saves. */
proctype Writer(byte w) {
	byte saves, plans, set, n, id;
	bool sent;   /* an earlier attempt of the plan may be on its way [plan.sentBefore] */
#ifdef PROBES
	bool doubt;  /* an attempt of an earlier plan was in doubt */
	bool cached; /* the heads were remembered */
	bool moved_on;
#endif

next:
	atomic {
		set = 0; n = 0; id = 0; sent = false;
		FOR_PROBE(doubt = false);
		d_step { forget_plan(plan[w]) };
		if
		:: saves == SAVES -> plans = 0; goto end
		:: saves < SAVES -> saves++; plans = PLANS
		fi;
#ifdef SPREAD
		set = BIT((w + saves) % AGGREGATES);
#else
		do /* which aggregates: any, at least one, at most EVENTS */
		:: n < AGGREGATES && id < EVENTS -> set = set | BIT(n); n++; id++
		:: n < AGGREGATES && !(n == AGGREGATES - 1 && set == 0) -> n++
		:: n == AGGREGATES -> break
		od;
#endif
		n = 0; id = 0
	}

prepare: /* [Store.prepare] */
	if /* heads: those that are known, or read now, one by one [Store.readHeads] */
	:: FOR_PROBE(cached = true)
	:: FOR_PROBE(cached = false);
		do
		:: d_step {
			n < SHARDS ->
			if
			:: set & AGGREGATES_OF(n) -> note(w, n)
			:: else
			fi;
			n++
			}
		:: atomic { n == SHARDS -> n = 0; break }
		od
	fi;
	atomic {
		if /* versions: those that are known, or read now [Store.assignVersions] */
		:: true
		:: d_step {
			n = 0;
			do
			:: n < AGGREGATES ->
				if
				:: set & BIT(n) ->
					i = VERSIONS - 1;
					do
					:: i > 0 && place[PLACE(n, i)] == 0 -> i--
					:: else -> break
					od;
					memory[w].version[n] = i
				:: else
				fi;
				n++
			:: else -> break
			od;
			n = 0; i = 0
			}
		fi;
		/* IDs above all heads that matter, however far: clocks jump [Store.newPlan] */
		plan[w].save = SAVE(w, saves);
		id = 0; n = 0;
		do
		:: n < AGGREGATES ->
			if
			:: set & BIT(n) -> id = (memory[w].head[SHARD(n)] > id -> memory[w].head[SHARD(n)] : id)
			:: else
			fi;
			n++
		:: else -> break
		od;
		n = 0;
		do
		:: n < AGGREGATES ->
			if
			:: set & BIT(n) ->
				id++;
				do
				:: id <= IDS && SHARD_OF_ID(id) != SHARD(n) -> id++
				:: id <= IDS && SHARD_OF_ID(id) == SHARD(n) -> id++
				:: id <= IDS && SHARD_OF_ID(id) == SHARD(n) -> break
				:: id > IDS -> break
				od;
				if
				:: id > IDS -> told_not = told_not | BIT(SAVE(w, saves)); goto next /* none is left; nothing was sent */
				:: else
				fi;
				plan[w].id[n] = id;
				plan[w].version[n] = memory[w].version[n] + 1;
				plan[w].before[SHARD(n)] = memory[w].last[SHARD(n)];
#if TYPED > 0
				plan[w].type_before[SHARD(n)] = memory[w].type_last[SHARD(n)];
#endif
			:: else
			fi;
			n++
		:: else -> break
		od;
		n = 0; id = 0
	}

send: /* [Store.write] */
	if
	:: atomic { /* it is carried out, and there is an answer */
		d_step {
			carry_out(plan[w]);
			n = ok;
#ifdef PROBES
			if
			:: ok && doubt -> REACHED(P_NEW_PLAN)
			:: else
			fi;
			if
			:: ok && cached && plan[w].before[SHARD(FIRST(w))] -> REACHED(P_REMEMBERED)
			:: !ok && cached && moved_ -> REACHED(P_STALE)
			:: else
			fi;
#endif
			if
			:: !ok && moved_ -> REACHED(P_LOST_RACE)
			:: !ok && !moved_ && !taken_ -> REACHED(P_FENCED)
			:: !ok && !moved_ && !behind_ && taken_ -> REACHED(P_TAKEN)
			:: else
			fi;
			if
			:: !ok -> /* [Store.learn]: the heads whose conditions did not hold come with the answer */
				i = 0;
				do
				:: i < SHARDS ->
					if
					:: (moved_ | behind_) & BIT(i) -> note(w, i)
					:: else
					fi;
					i++
				:: else -> break
				od;
				i = 0
			:: else
			fi
		};
		if
		:: n -> n = 0; goto is_stored
		:: else
		fi;
		if
#ifndef MUTANT_LOST_IS_NOT_LOOKED_UP
		:: sent -> goto outcome /* [Store.lost] */
#endif
		:: else -> goto is_not
		fi
		}
	:: atomic { /* DynamoDB remembers the ClientRequestToken, for a while */
		sent && stored & BIT(plan[w].save) && OURS(w) -> REACHED(P_SENT_AGAIN); goto is_stored
		}
#if LOST > 0
	:: atomic { /* there is no answer */
		lost < LOST ->
		d_step { copy_plan(plan[w], late[lost]) };
		lost++; sent = true;
		if
		:: goto send    /* the same again */
		:: goto outcome /* [Store.giveUp] */
		:: goto crash
		fi
		}
#endif
	:: atomic { /* it is refused, or nobody waits any more [Store.giveUp] */
		if
		:: sent -> goto outcome
		:: else -> goto is_not
		fi
		}
	fi;

outcome: /* [Store.decide] */
	atomic {
		if
		:: THERE(w) && OURS(w) -> REACHED(P_FOUND_AT_ONCE); goto is_stored
		:: THERE(w) && !OURS(w) -> REACHED(P_PLACE_TAKEN); goto is_not
		:: THERE(w) == 0
		:: goto crash /* it cannot be asked: ErrOutcomeUnknown promises nothing */
		fi
	};
#ifndef MUTANT_OUTCOME_WITHOUT_FENCE
	atomic { /* a fence above the plan's first ID, in the first of its shards */
		id = plan[w].id[FIRST(w)]; n = SHARD(FIRST(w));
#if SHARDS == 2
		if /* shards ascend, and so the first ID of shard 0 may be of another event than the first */
		:: n == 1 && AGGREGATES > 2 && plan[w].id[AGGREGATES - 1] -> n = 0; id = plan[w].id[AGGREGATES - 1]
		:: else
		fi;
#endif
		if
#ifdef MUTANT_OUTCOME_FENCE_WITHOUT_CONDITION
		:: true ->
#else
		:: last[n] == plan[w].before[n] && head[n] < id -> REACHED(P_OUTCOME_FENCE);
#endif
			head[n] = id
#ifndef MUTANT_OUTCOME_FENCE_WITHOUT_CONDITION
		:: else -> FOR_PROBE(moved_on = true)
#endif
		fi;
		d_step { note(w, n) };
		n = 0; id = 0
	};
#endif
	atomic {
#ifndef MUTANT_OUTCOME_LOOKS_ONCE
		if
		:: OURS(w) -> REACHED(P_FOUND_AFTER_FENCE); goto is_stored
		:: else
		fi;
#endif
#ifdef PROBES
		if
		:: moved_on -> moved_on = false; REACHED(P_HEAD_MOVED_ON)
		:: else
		fi;
#endif
		goto is_not
	};

is_not: /* an attempt of this plan is not stored, and cannot be any more */
	atomic {
		FOR_PROBE(doubt = (doubt | sent));
		FOR_PROBE(cached = false);
		sent = false; plans--;
		d_step { forget_plan(plan[w]) };
		if
		:: plans > 0 -> goto prepare
		:: told_not = told_not | BIT(SAVE(w, saves));
			what_was_told_is_true = !(stored & BIT(SAVE(w, saves)));
			assert(what_was_told_is_true);
			goto next
		fi
	};

is_stored:
	atomic {
		what_was_told_is_true = (stored & BIT(plan[w].save)) != 0;
		assert(what_was_told_is_true);
		d_step { after_storing(w) };
		goto next
	};

crash: /* the caller was told nothing, and another process has to begin anew */
	atomic { d_step { forget_memory(w) }; goto next };

end:
	atomic { d_step { forget_memory(w) }; ended++ }
}

/* arrive lets an attempt arrive at last, or never. */
inline arrive(n) {
	atomic {
		late[n].save ->
		if
		:: d_step {
			carry_out(late[n]);
			if
			:: ok -> REACHED(P_CARRIED_OUT_LATER)
			:: else -> REACHED(P_LATE_IN_VAIN)
			fi;
			if
			:: ok && plan[(late[n].save - 1) / SAVES].save != late[n].save -> REACHED(P_ORPHAN)
			:: else
			fi
			}
		:: true
		fi;
		d_step { forget_plan(late[n]) }
	}
}

#ifdef MUTANT_FENCE_WITHOUT_CONDITION
#define FENCE_HOLDS(s) true
#else
#define FENCE_HOLDS(s) (head[s] < target)
#endif

/* stray is a fence at any event's ID, in any shard: its reader is gone. */
inline stray() {
	atomic {
		strays < STRAYS && events != 0 ->
		strays++;
		select(target : 1 .. IDS);
		if
		:: (events & BIT(target)) && FENCE_HOLDS(0) -> REACHED(P_STRAY); head[0] = target
		:: (events & BIT(target)) && FENCE_HOLDS(SHARDS - 1) -> REACHED(P_STRAY); head[SHARDS - 1] = target
		:: else
		fi;
		target = 0
	}
}

/* Network: what is on its way arrives at any time, in any order, or never. Then all is quiet. */
proctype Network() {
#if STRAYS > 0
	byte target;
#endif
	do
#if LOST > 0
	:: arrive(0)
#endif
#if LOST > 1
	:: arrive(1)
#endif
#if LOST > 2
	:: arrive(2)
#endif
#if STRAYS > 0
	:: stray()
#endif
	:: atomic { ended == WRITERS && NOTHING_LATE -> settled = true; break }
	od
}

#if TYPED > 0
#define LINK(id) (IS_TYPED(r) -> type_prev[id] : prev[id])
#define LAST(s) (IS_TYPED(r) -> type_last[s] : last[s])
#else
#define LINK(id) prev[id]
#define LAST(s) last[s]
#endif
#define IN_CHAIN(id) ((MATCHING(r) & BIT(id)) && SHARD_OF_ID(id) == s)
#ifdef MUTANT_INDEX_READ_BEFORE_HEADS /* then even an index that is never behind is not enough */
#define MAY_HIDE false
#define MAY_CUT false
#else
#define MAY_HIDE !settled
#define MAY_CUT true
#endif

/*
 * query asks the index for the events of shard s behind at[s]. The index shows any of
 * them, whatever it has shown before. They are accepted up to the first broken link
 * [chain.ask, chain.link].
 */
inline query() {
	id = at[s] + 1;
	do
	:: id > IDS -> break
	:: id <= IDS && !IN_CHAIN(id) -> id++
	:: id <= IDS && IN_CHAIN(id) -> /* it is shown */
		FOR_PROBE(shown = shown | BIT(id));
		if
#ifdef MUTANT_PREV_NOT_CHECKED
		:: true ->
#else
		:: LINK(id) <= at[s] ->
#endif
			if
			:: IS_TYPED(r) && LINK(id) != prev[id] -> REACHED(P_TYPE_SKIPS)
			:: else
			fi;
			pages[s] = pages[s] | BIT(id); at[s] = id; id++
#ifndef MUTANT_PREV_NOT_CHECKED
		:: else -> REACHED(P_BROKEN_LINK); break
#endif
		fi
	:: id <= IDS && IN_CHAIN(id) && MAY_HIDE -> /* it is not */
#ifdef PROBES
		if
		:: shown & BIT(id) -> REACHED(P_INDEX_FORGETS)
		:: else
		fi;
#endif
		id++
	:: id <= IDS && IN_CHAIN(id) && pages[s] && MAY_CUT -> break /* the page is full */
	od;
	id = 0
}

/* next_of sees to it that shard s has its next event at hand [chain.fill]. */
inline next_of() {
	query();
	if
	:: pages[s] -> s = 0
#ifdef MUTANT_EMPTY_PAGE_IS_END
	:: pages[s] == 0 -> lasts[s] = at[s]; s = 0
#else
	:: pages[s] == 0 -> REACHED(P_BEHIND); s = 0; goto page_ends /* not in time: the reader tries again later */
#endif
	fi
}

inline read_head() {
	d_step {
		heads[s] = head[s]; lasts[s] = LAST(s);
		if
		:: last[s] > end -> end = last[s]
		:: else
		fi;
		unread = unread & ~BIT(s);
		if
		:: SHARDS == 2 && unread == 0 && heads[1 - s] != head[1 - s] -> REACHED(P_HEADS_OF_TWO_TIMES)
		:: else
		fi;
		s = 0
	}
}

/* fence moves a head without an event, and tells what it is then [Store.fence]. */
inline fence() {
	d_step {
		if
#ifdef MUTANT_FENCE_WITHOUT_CONDITION
		:: true -> head[s] = end
#else
		:: head[s] < end -> REACHED(P_FENCE); head[s] = end
		:: else -> REACHED(P_FENCE_TOO_LATE)
#endif
		fi;
		if
		:: LAST(s) > lasts[s] && LAST(s) < id -> REACHED(P_NEWS_BY_FENCE)
		:: else
		fi;
		heads[s] = head[s]; lasts[s] = LAST(s);
		moved = true; s = 0
	}
}

#ifdef MUTANT_INDEX_READ_BEFORE_HEADS
#define NEEDS(s) false
#else
#define NEEDS(s) (pages[s] == 0 && at[s] < lasts[s]) /* not [chain.over] */
#endif

/* Reader: it keeps the last ID that it handled, and reads page after page. */
proctype Reader(byte r) {
	byte heads[SHARDS];  /* of each shard the head as it was read [merge.heads] */
	byte lasts[SHARDS];  /* and the last event of the chain that is read [chain.last] */
	byte at[SHARDS];     /* up to where nothing is missing [chain.at] */
	int pages[SHARDS];   /* events that were linked and not handed out yet [chain.page] */
	byte end;            /* the last event when the reading began [merge.end] */
	byte before;         /* what was there when the page began */
	byte s, id, unread;
	bool moved, final;
#ifdef PROBES
	int shown;
#endif

page_begins:
	if
	:: !settled
	:: true -> atomic { settled -> final = true } /* it waits: then writers that block each other for ever are a deadlock */
	fi;
	/* [Store.readChains] */
	atomic {
		d_step { highest(MATCHING(r), before) };
		unread = BIT(SHARDS) - 1
#ifdef MUTANT_INDEX_READ_BEFORE_HEADS
		;
		at[0] = cursor[r]; at[SHARDS - 1] = cursor[r];
		s = 0; query();
		s = SHARDS - 1; query();
		s = 0
#endif
	};
	do /* the heads, strongly consistent, in any order [Store.readHeads] */
	:: atomic { unread & 1 -> s = 0; read_head() }
#if SHARDS == 2
	:: atomic { unread & 2 -> s = 1; read_head() }
#endif
	:: atomic {
		unread == 0 ->
#ifndef MUTANT_INDEX_READ_BEFORE_HEADS
		at[0] = cursor[r]; at[SHARDS - 1] = cursor[r];
#endif
		break
		}
	od;

fill: /* [merge.fill] */
	do
	:: atomic { NEEDS(0) -> s = 0; next_of() }
#if SHARDS == 2
	:: atomic { NEEDS(1) -> s = 1; next_of() }
#endif
	:: atomic {
		!NEEDS(0) && !NEEDS(SHARDS - 1) ->
		/* [merge.ascend]: the first of the events at hand */
		id = 1;
		do
		:: id <= IDS && !((pages[0] | pages[SHARDS - 1]) & BIT(id)) -> id++
		:: else -> break
		od;
		if
		:: id > IDS -> id = 0; goto page_is_over
		:: id <= IDS && id > end -> REACHED(P_AFTER_END); id = 0; goto page_is_over
		:: else -> break
		fi
		}
	od;
#ifndef MUTANT_NO_FENCE
	do /* [merge.fence]: heads below it move to the end, if they are still below that */
	:: atomic { heads[0] < id -> s = 0; fence() }
#if SHARDS == 2
	:: atomic { heads[1] < id -> s = 1; fence() }
#endif
	:: atomic {
		heads[0] >= id && heads[SHARDS - 1] >= id ->
		if
#ifndef MUTANT_NO_LOOK_AFTER_FENCE
		:: moved -> moved = false; id = 0; goto fill /* there may be events that were not there before */
#endif
		:: else -> moved = false; break
		fi
		}
	od;
#endif
	atomic { /* hand it out */
		no_event_is_handed_out_twice = !(handed[r] & BIT(id));
		assert(no_event_is_handed_out_twice);
		order_ascends = handed[r] < BIT(id);
		assert(order_ascends);
		d_step {
			pages[0] = pages[0] & ~BIT(id);
			pages[SHARDS - 1] = pages[SHARDS - 1] & ~BIT(id);
			handed[r] = handed[r] | BIT(id);
			cursor[r] = id;
			id = 0;
			check_readers()
		};
		if
		:: goto fill
		:: !final -> goto page_ends /* nobody wants more: a limit */
		fi
	};

page_is_over: /* the reader has read all that it knew of */
	atomic {
		what_was_saved_before_is_read = cursor[r] >= before;
		assert(what_was_saved_before_is_read)
	};

page_ends:
	atomic {
		heads[0] = 0; heads[SHARDS - 1] = 0; lasts[0] = 0; lasts[SHARDS - 1] = 0;
		at[0] = 0; at[SHARDS - 1] = 0; pages[0] = 0; pages[SHARDS - 1] = 0;
		end = 0; before = 0;
		if
		:: !final -> goto page_begins
		:: final ->
			/* A page that begins when all is quiet comes to the end. */
			d_step {
				highest(MATCHING(r), before);
				the_head_is_reached = cursor[r] == before;
#ifdef LIVENESS
				finished = finished + the_head_is_reached;
#else
				assert(the_head_is_reached);
#endif
				id = 0; before = 0;
				do
				:: id <= IDS ->
					if
					:: handed[r] & BIT(id) -> before++
					:: else
					fi;
					id++
				:: else -> break
				od;
				if
				:: before == 3 -> REACHED(P_REACHED_END)
				:: else
				fi;
				id = 0; before = 0
			}
#ifdef LIVENESS
			;
			if
			:: !the_head_is_reached -> goto page_begins
			:: else
			fi
#endif
		fi
	}
}

#ifdef LIVENESS /* the same as a formula: under weak fairness every reader reaches the end */
ltl every_reader_reaches_the_end { <> (finished == READERS) }
#endif

init {
	byte p;
	atomic {
		p = 0;
		do
		:: p < WRITERS -> run Writer(p); p++
		:: else -> break
		od;
		run Network();
		p = 0;
		do
		:: p < READERS -> run Reader(p); p++
		:: else -> break
		od;
		p = 0
	}
}
