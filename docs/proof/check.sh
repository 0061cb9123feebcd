#!/usr/bin/env bash
#
# Checks the models of this folder with spin:
#
#   docs/proof/check.sh            about 5 minutes on two cores
#   docs/proof/check.sh --large    larger worlds as well: an hour or two
#
# Each model is searched whole, in several worlds, and must have no error. Each mutant
# must have one, and every probe must be reached. The table goes to stdout, progress to
# stderr. README.md explains all of it.
#
#   docs/proof/check.sh --list             what there is to check
#   docs/proof/check.sh --only PATTERN     what matches a pattern of grep -E
#   docs/proof/check.sh --trail NAME       the steps that lead to the error of a mutant or a probe
#
# Settings:
#   JOBS     how many searches run at a time; default: the number of processors, at most 4
#   MEMORY   megabytes that they may take together; default 7500, with --large 20000

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { echo "proof: $*" >&2; }
die() { say "$*"; exit 1; }

# --- what there is to check ---------------------------------------------------

# list prints a line for each check: kind, model, name, what is expected, flags. The
# longest come first, so that the processors end at about the same time. Kinds:
#
#   model     no error in any state
#   liveness  no fair run in which a reader never reaches the head
#   mutant    an error; expected is the property, or some of them
#   probe     all those expected are reached
list() {
	sed -e '/^ *#/d; /^ *$/d' -e 's/^\t*//' <<-'END' | if [ "$large" = yes ]; then cat; else grep -v '^large '; fi | sed 's/^large /model /'
		# Larger worlds.
		large postgres three-writers-any-aggregates - -DWRITERS=3 -DCLOCKS=2
		large postgres two-transactions-any-aggregates - -DTRANSACTIONS=2 -DCLOCKS=2
		large postgres three-writers-three-clocks - -DWRITERS=3 -DSPREAD -DKNOWN
		large postgres savepoints-any-aggregates - -DAPPENDS=2 -DCLOCKS=2
		large postgres lost-answers-of-two-transactions - -DTRANSACTIONS=2 -DCLOCKS=2 -DLOST=2 -DSPREAD
		large postgres three-writers-with-tries - -DWRITERS=3 -DCLOCKS=2 -DSPREAD
		large postgres two-transactions-with-tries - -DTRANSACTIONS=2 -DCLOCKS=2 -DSPREAD
		large dynamodb three-writers-five-ids - -DWRITERS=3 -DPLANS=1 -DIDS=5 -DLOST=0 -DSTRAYS=1
		large dynamodb lost-answers-and-strays - -DLOST=2 -DSTRAYS=1 -DIDS=5
		large dynamodb saves-of-two-shards-lost - -DEVENTS=2 -DLOST=1 -DSTRAYS=1 -DIDS=5
		large dynamodb two-saves - -DSAVES=2 -DLOST=0 -DSTRAYS=0 -DIDS=5 -DSPREAD
		large dynamodb two-readers-and-strays - -DREADERS=2 -DLOST=0 -DSTRAYS=1 -DIDS=5

		model postgres two-transactions - -DTRANSACTIONS=2 -DCLOCKS=2 -DTRIES=0 -DSPREAD
		model postgres three-writers - -DWRITERS=3 -DCLOCKS=2 -DTRIES=0 -DSPREAD
		model postgres two-readers - -DREADERS=2 -DKNOWN -DCLOCKS=2
		model postgres savepoints - -DAPPENDS=2 -DCLOCKS=2 -DTRIES=0
		model postgres lost-answers - -DLOST=2 -DCLOCKS=2
		model postgres batches - -DEVENTS=2 -DTAILS=3
		model postgres locks-one-by-one - -DKNOWN -DLOCKS_ONE_BY_ONE
		model postgres one-aggregate - -DAGGREGATES=1

		model dynamodb three-writers - -DWRITERS=3 -DPLANS=1 -DIDS=4 -DLOST=0 -DSTRAYS=1 -DSPREAD
		model dynamodb two-shards - -DLOST=1 -DSTRAYS=0 -DIDS=5
		model dynamodb strays - -DLOST=0 -DSTRAYS=1 -DIDS=5
		model dynamodb two-lost-answers - -DSHARDS=1 -DLOST=2 -DSTRAYS=0 -DIDS=3 -DSPREAD
		model dynamodb saves-of-two-shards - -DEVENTS=2 -DLOST=1 -DSTRAYS=0 -DIDS=4 -DPLANS=1
		model dynamodb two-saves - -DSHARDS=1 -DSAVES=2 -DLOST=0 -DSTRAYS=0 -DIDS=4 -DPLANS=1 -DSPREAD
		model dynamodb one-shard - -DSHARDS=1 -DLOST=1 -DSTRAYS=0 -DIDS=3
		model dynamodb two-readers - -DREADERS=2 -DLOST=0 -DSTRAYS=0 -DIDS=4 -DSPREAD
		model dynamodb types - -DSHARDS=1 -DREADERS=2 -DTYPED=1 -DLOST=0 -DSTRAYS=0 -DIDS=3
		model dynamodb types-and-shards - -DAGGREGATES=3 -DTYPED=1 -DLOST=0 -DSTRAYS=1 -DIDS=4

		liveness postgres writers - -DCLOCKS=2
		liveness postgres lost-answers - -DCLOCKS=2 -DLOST=1 -DSPREAD -DTRIES=0
		liveness dynamodb shards - -DLOST=0 -DSTRAYS=1 -DIDS=3 -DSPREAD
		liveness dynamodb lost-answers - -DSHARDS=1 -DLOST=1 -DSTRAYS=0 -DIDS=3 -DSPREAD

		mutant postgres LOCK_AFTER_HEAD no_event_is_skipped
		mutant postgres PAGE_IN_SNAPSHOT_OF_M1 no_event_is_skipped
		mutant postgres READER_STEPS_SWAPPED no_event_is_skipped
		mutant postgres NO_LOCKS_READ no_event_is_skipped
		mutant postgres LOWEST_K_INCLUDED no_event_is_skipped
		mutant postgres IDS_NOT_RAISED_TO_K no_event_is_skipped
		mutant postgres IDS_NOT_ABOVE_HEAD no_event_is_skipped|versions_are_without_gaps
		mutant postgres VERSION_READ_THEN_WRITTEN order_of_aggregate_is_that_of_versions|versions_are_without_gaps
		mutant postgres UNLOCK_BEFORE_COMMIT no_event_is_skipped
		mutant postgres LOCK_OF_SESSION the_head_is_reached
		mutant postgres KNOWN_IS_HEAD no_event_is_skipped -DKNOWN
		mutant postgres OUTCOME_STORED_BEFORE_RUNNING what_was_told_is_true -DLOST=1

		mutant dynamodb PREV_NOT_CHECKED no_event_is_skipped -DLOST=0
		mutant dynamodb LAST_NOT_CHECKED no_event_is_skipped -DLOST=0
		mutant dynamodb WRITER_IGNORES_FENCE no_event_is_skipped -DLOST=0
		mutant dynamodb FENCE_WITHOUT_CONDITION no_event_is_skipped|order_of_aggregate_is_that_of_versions -DLOST=0 -DWRITERS=3 -DPLANS=1 -DIDS=4 -DSPREAD
		mutant dynamodb NO_FENCE no_event_is_skipped -DLOST=0
		mutant dynamodb NO_LOOK_AFTER_FENCE no_event_is_skipped -DLOST=0
		mutant dynamodb INDEX_READ_BEFORE_HEADS no_event_is_skipped -DLOST=0
		mutant dynamodb EMPTY_PAGE_IS_END what_was_saved_before_is_read|no_event_is_skipped -DLOST=0
		mutant dynamodb PREV_IS_HEAD the_head_is_reached -DLOST=0
		mutant dynamodb PUT_WITHOUT_CONDITION no_event_is_overwritten -DLOST=0
		mutant dynamodb ONE_HEAD_CHECKED no_event_is_skipped -DLOST=0 -DEVENTS=2 -DSTRAYS=0
		mutant dynamodb OUTCOME_WITHOUT_FENCE what_was_told_is_true|no_save_is_stored_twice -DSTRAYS=0
		mutant dynamodb OUTCOME_LOOKS_ONCE what_was_told_is_true|no_save_is_stored_twice -DSTRAYS=0
		mutant dynamodb OUTCOME_FENCE_WITHOUT_CONDITION no_event_is_skipped|order_of_aggregate_is_that_of_versions -DSTRAYS=0
		mutant dynamodb LOST_IS_NOT_LOOKED_UP what_was_told_is_true|no_save_is_stored_twice -DSTRAYS=0
		mutant dynamodb TYPE_PREV_IS_PREV the_head_is_reached -DSHARDS=1 -DTYPED=1 -DLOST=0 -DSTRAYS=0 -DIDS=4
		mutant-liveness postgres LOCK_OF_SESSION cycle -DCLOCKS=2
		mutant-liveness dynamodb PREV_IS_HEAD cycle -DLOST=0 -DIDS=3 -DSPREAD

		probe postgres writers ROLLED_BACK,FOLLOWS_HEAD,WAITED,LOST_RACE,HELD_BACK,LOCKED_BETWEEN,COMMITTED_BETWEEN,BELOW_A_HEAD,STANDS_ASIDE -DCLOCKS=2
		probe postgres carry CARRIED,REACHED -DTRANSACTIONS=2 -DCLOCKS=1 -DTRIES=0 -DSPREAD
		probe postgres savepoints SAVEPOINT -DAPPENDS=2 -DCLOCKS=2 -DTRIES=0 -DSPREAD
		probe postgres known KNOWN,STALE_KNOWN -DKNOWN -DCLOCKS=2
		probe postgres lost LATE_COMMIT,FOUND,NOT_FOUND,UNKNOWN -DLOST=1 -DCLOCKS=2
		probe postgres batches TWO_EVENTS -DEVENTS=2 -DCLOCKS=1

		probe dynamodb lost LOST_RACE,CARRIED_OUT_LATER,LATE_IN_VAIN,SENT_AGAIN,FOUND_AT_ONCE,PLACE_TAKEN,OUTCOME_FENCE,FOUND_AFTER_FENCE,HEAD_MOVED_ON,NEW_PLAN,ORPHAN -DSHARDS=1 -DAGGREGATES=1 -DLOST=1 -DSTRAYS=0 -DIDS=3
		probe dynamodb shards FENCED,TAKEN,FENCE,FENCE_TOO_LATE,NEWS_BY_FENCE,HEADS_OF_TWO_TIMES,STRAY,BELOW,BEHIND,AFTER_END,BROKEN_LINK,INDEX_FORGETS -DLOST=0 -DSTRAYS=1 -DIDS=4
		probe dynamodb saves-of-two-shards TWO_SHARDS -DEVENTS=2 -DLOST=0 -DSTRAYS=0 -DIDS=4
		probe dynamodb saves-of-one-shard SAME_SHARD -DEVENTS=2 -DSHARDS=1 -DLOST=0 -DSTRAYS=0 -DIDS=3
		probe dynamodb memory REMEMBERED,STALE,REACHED_END -DSAVES=2 -DSHARDS=1 -DPLANS=1 -DLOST=0 -DSTRAYS=0 -DIDS=3 -DSPREAD
		probe dynamodb types TYPE_SKIPS -DTYPED=1 -DSHARDS=1 -DLOST=0 -DSTRAYS=0 -DIDS=3
	END
}

# --- one check ----------------------------------------------------------------

# build KIND MODEL NAME FLAGS...: makes the verifier in the current folder.
build() {
	local kind=$1 model=$2 name=$3 flags=() search=()
	shift 3
	case $kind in
	mutant*) flags=("-DMUTANT_$name") ;;
	probe) flags=("${only_probe:--DPROBES}") ;;
	esac
	flags+=("$@")
	case $kind in
	# Without spin's partial order reduction: it saves little here, and so need not be trusted.
	*liveness) flags+=(-DLIVENESS) search=(-O2 -DNFAIR=3 -DNOREDUCE) ;;
	model) search=(-O2 -DSAFETY -DNOREDUCE) ;;
	# Backwards, since most of these errors are found sooner so.
	mutant) search=(-O1 -DSAFETY -DREVERSE -DT_REVERSE) ;;
	*) search=(-O1 -DSAFETY) ;;
	esac
	printf '%s\n' "${flags[@]}" >flags
	spin -a ${flags[@]+"${flags[@]}"} "$here/$model.pml" >spin.out 2>&1 || { cat spin.out >&2; return 1; }
	# pan.c has warnings that are spin's.
	gcc -w "${search[@]}" -DCOLLAPSE -DVECTORSZ=2048 -DMEMLIM="$((memory / jobs))" -o pan pan.c
}

# check KIND MODEL NAME EXPECTED FLAGS...: prints a row of the table. It fails if the
# result is not as expected.
check() {
	local kind=$1 model=$2 name=$3 expected=$4 options=() status result states seconds found probe number missed
	shift 4
	local folder=$tmp/$kind-$model-$name
	mkdir -p "$folder"
	cd "$folder"
	if [[ $kind = *liveness ]]; then options=(-a -f); fi
	build "$kind" "$model" "$name" "$@" || { echo "$kind|$model|$name|$*|-|-|FAILED: it does not compile"; return 1; }
	if [ "$kind" = probe ]; then options=(-c0); fi # goes on after errors
	# Other lines than these may be many, one for each time that another probe is reached.
	status=0
	{ ./pan ${options[@]+"${options[@]}"} -m3000000 2>&1 || status=$?; echo "status $status"; } |
		awk '!/^pan:[0-9]+: / || !seen[$4]++' >out
	status=$(sed -n 's/^status //p' out)
	states=$(awk '/states, stored/ { print $1 }' out)
	seconds=$(awk '/elapsed time/ { print $4 }' out)
	found=$(sed -n 's/^pan:1: assertion violated //p; s/^pan:1: \(acceptance cycle\|invalid end state\).*/\1/p' out | sed 's/ (at depth.*//' | head -1)
	result="FAILED: see $folder/out (status $status)"
	case $kind in
	model | liveness)
		if grep -q 'errors: 0' out && [ -z "$found" ] && ! grep -qiE 'too small|not completed|out of memory|aborting|bit ?state' out; then
			result="no error"
		elif [ -n "$found" ]; then
			result="FAILED: $found"
		fi
		;;
	mutant) if [[ $found =~ ^($expected)$ ]]; then result="found: $found"; fi ;;
	mutant-liveness) if [ "$found" = "acceptance cycle" ]; then result="found: $found"; fi ;;
	probe)
		missed=
		for probe in ${expected//,/ }; do
			number=$(awk -v name="P_$probe" '$1 == "#define" && $2 == name { print $3 }' "$here/$model.pml")
			grep -qF "assertion violated ($number==0)" out || missed+=" $probe"
		done
		if grep -q 'assertion violated [^(]' out; then
			result="FAILED: $(grep -o 'assertion violated [^(]*' out | head -1)"
		elif [ -n "$missed" ]; then
			result="FAILED: never reached:$missed"
		else
			result="reached: $(tr ',' '\n' <<<"$expected" | wc -l)"
		fi
		;;
	esac
	if [[ $kind = mutant* && $result = FAILED* ]]; then result="FAILED: ${found:-it survives}"; fi
	echo "$kind|$model|$name|$*|${states:--}|${seconds:--}|$result"
	[[ $result != FAILED* ]] || return 1
	cd "$tmp"
	rm -r "$folder"
}

if [ "${1:-}" = one ]; then # see below
	tmp=$2 memory=$3 jobs=$4
	set -f
	# shellcheck disable=SC2086
	set -- $5
	row=$(check "$@") || true
	echo "$row" >>"$tmp/rows"
	IFS='|' read -r kind model name _ states seconds result <<<"$row"
	say "$kind $model $name: $result ($states states, $seconds s)"
	exit
fi

# --- all of them --------------------------------------------------------------

large=no only=. trail=
while [ $# -gt 0 ]; do
	case $1 in
	--large) large=yes ;;
	--list) large=yes; list; exit ;;
	--only) [ $# -gt 1 ] || die "--only takes a pattern"; only=$2; shift ;;
	--trail) [ $# -gt 1 ] || die "--trail takes the name of a mutant or a probe, see --list"; trail=$2; shift ;;
	-h | --help) sed -n 's/^# \{0,1\}//; 3,19p' "$0"; exit ;;
	*) die "unknown argument $1; --help lists those that there are" ;;
	esac
	shift
done

missing=()
for program in spin gcc; do
	command -v "$program" >/dev/null || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ]; then
	die "missing: ${missing[*]}. On Debian and its like: apt-get install spin gcc libc6-dev"
fi

processors=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
jobs=${JOBS:-$((processors < 4 ? processors : 4))}
[[ $jobs =~ ^[1-9][0-9]*$ ]] || die "JOBS=$jobs is no number"
memory=${MEMORY:-$([ $large = yes ] && echo 20000 || echo 7500)}
[[ $memory =~ ^[1-9][0-9]*$ ]] || die "MEMORY=$memory is no number of megabytes"

tmp=$(mktemp -d "${TMPDIR:-/tmp}/eventsource-proof.XXXXXX")
keep=no child=
# stop ends what runs, and then this script with the given code.
stop() {
	trap '' INT TERM
	if [ -n "$child" ]; then kill -- "-$child" 2>/dev/null || true; fi
	exit "$1"
}
trap '[ $keep = yes ] || rm -rf "$tmp"' EXIT
trap 'stop 130' INT
trap 'stop 143' TERM

if [ -n "$trail" ]; then
	large=yes
	line=$(list | awk -v name="$trail" '$3 == name && $1 ~ /^mutant/ || $1 == "probe" && index("," $4 ",", "," name ",")' | head -1)
	[ -n "$line" ] || die "there is no mutant and no probe $trail, see --list"
	# shellcheck disable=SC2086
	set -- $line
	cd "$tmp"
	jobs=1
	if [ "$1" = probe ]; then only_probe=-DONLY_PROBE=P_$trail; fi
	# shellcheck disable=SC2086
	build "$1" "$2" "$3" "${@:5}"
	if [[ $1 = *liveness ]]; then ./pan -a -f -m3000000 >out; else ./pan -i -m3000000 >out 2>&1; fi # -i shortens it
	mapfile -t flags <flags
	# Of each step the process, the line, the statement, and what is different after it.
	# What only serves loops is left out.
	spin "${flags[@]}" -k "$2.pml.trail" -p -g -l "$here/$2.pml" | awk '
		/START OF CYCLE/ { print "from here on for ever:" }
		/^spin: trail ends/ { exit }
		/^ *[0-9]+:\tproc/ {
			statement = $0; sub(/^[^[]*\[/, "", statement); sub(/\]$/, "", statement)
			file = $0; sub(/^.*\//, "", file); sub(/ .*/, "", file)
			who = $4; sub(/^\(/, "", who); sub(/:.*/, "", who)
			boring = statement ~ /^(\.\(goto\)|DO|IF|else|break|result = .*|m1 = \(m1-1\)|sub-sequence|\(1\)|goto .*|\(+(i|s_|whose|result)[<>=].*|[a-z_]+ = (0|1|\([a-z_]+[+-]1\)))$/
			if (!boring) printf "%-8s %s  %s\n", who (who == ":init:" ? "" : $3), file, statement
			next
		}
		/^\t\t.* = / {
			change = $0; sub(/^\t\t/, "", change)
			split(change, part, " = ")
			name = part[1]; sub(/^.*:/, "", name)
			if (name ~ /^(i|s_|id_|whose|count|dense|ok|clash|taken_|moved_|behind_|follows.*|type_follows.*|next_version.*)$/) next
			if (part[2] != last[part[1]]) print "             " change
			last[part[1]] = part[2]
		}'
	tail -n +1 out | grep '^pan:1' | tail -1 || true
	exit
fi

list | grep -E -- "$only" >"$tmp/list" || die "nothing matches $only"
count=$(wc -l <"$tmp/list")
say "$count checks, $jobs at a time, with $memory MB"
: >"$tmp/rows"
start=$SECONDS
tr '\n' '\0' <"$tmp/list" >"$tmp/list0"
set -m # a process group of its own, for stop
xargs -0 -n 1 -P "$jobs" "$here/check.sh" one "$tmp" "$memory" "$jobs" <"$tmp/list0" &
child=$!
set +m
wait "$child"
child=
[ "$(wc -l <"$tmp/rows")" = "$count" ] || { keep=yes; die "$count checks were to be made, but there are $(wc -l <"$tmp/rows") results in $tmp/rows"; }

{
	echo "kind|model|name|world|states|seconds|result"
	for kind in model liveness mutant mutant-liveness probe; do
		{ grep "^$kind|" "$tmp/rows" || true; } | LC_ALL=C sort -t '|' -k2,2 -k3,3
	done
} | awk -F '|' '
	{ rows[NR] = $0; for (i = 1; i < NF; i++) if (length($i) > width[i]) width[i] = length($i) }
	END {
		for (row = 1; row <= NR; row++) {
			n = split(rows[row], cell, "|")
			for (i = 1; i < n; i++) printf "%-" width[i] "s  ", cell[i]
			print cell[n]
		}
	}'
failures=$(grep -c '|FAILED' "$tmp/rows" || true)
echo
echo "$count checks in $((SECONDS - start)) s, $failures failed"
if [ "$failures" != 0 ]; then
	keep=yes
	exit 1
fi
