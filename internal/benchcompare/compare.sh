#!/usr/bin/env bash
#
# Compares the benchmarks of a git ref with those of the working tree:
#
#   make bench-compare BASE=HEAD~1
#
# Both sides are compiled first. Then they run in turns (base, new, new, base, ...)
# on the same servers, so that noise hurts both alike, and benchstat compares
# the results. Progress goes to stderr, the comparison to stdout.
#
# Settings:
#   BASE        git ref to compare the working tree with; required
#   BENCH       which benchmarks, as for go test -bench; default: all
#   BENCHTIME   how long each, as for go test -benchtime; default 1s
#   COUNT       rounds, default 6, the fewest for which benchstat gives a margin
#   PKG         packages, default ./store/...

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
go=${GO:-go}
bench=${BENCH:-.}
benchtime=${BENCHTIME:-1s}
count=${COUNT:-6}
pkg=${PKG:-./store/...}
benchstat=golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

say() { echo "bench-compare: $*" >&2; }
die() { say "$*"; exit 1; }

# top SIDE: where the sources of a side are.
top() { if [ "$1" = base ]; then echo "$tmp/base"; else echo "$root"; fi; }

# called SIDE: what to call it in a message.
called() { if [ "$1" = base ]; then echo "BASE=$BASE"; else echo "the working tree"; fi; }

# binary SIDE PACKAGE: where the test binary is.
binary() { echo "$tmp/$1-${2//\//_}.test"; }

# --- before there is a server -------------------------------------------------

# compile SIDE: compiles the tests of the packages, and writes the names of those
# with benchmarks, as paths in the module, to SIDE.packages.
compile() {
	local side=$1 module package
	say "compiling the tests of $(called "$side")"
	cd "$(top "$side")"
	module=$("$go" list -m)
	# A package that is not there has no tests (-e). $pkg may be several patterns.
	# shellcheck disable=SC2086
	"$go" list -e -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' $pkg |
		sed "s|^$module/||; s|^$module\$|.|" >"$tmp/$side.tested"
	while read -r package; do
		"$go" test -c -o "$(binary "$side" "$package")" "./$package" </dev/null ||
			die "the tests of $package of $(called "$side") do not compile"
		if has_benchmarks "$side" "$package"; then echo "$package"; fi
	done <"$tmp/$side.tested" | sort >"$tmp/$side.packages"
	cd "$root"
	[ -s "$tmp/$side.packages" ] || nothing "$side"
}

# has_benchmarks SIDE PACKAGE: whether the pattern matches any, as far as can be
# said without running them.
has_benchmarks() {
	local names pattern=.
	# -test.list knows no sub-benchmarks. What is in brackets is not for sed.
	if [[ $bench != *[\(\[\\]* ]]; then pattern=$(sed 's:/[^|]*::g' <<<"$bench"); fi
	names=$(cd "$(top "$1")/$2" && "$(binary "$1" "$2")" -test.list "$pattern" </dev/null) ||
		die "the test binary of $2 of $(called "$1") cannot list its benchmarks: $names"
	grep -q '^Benchmark' <<<"$names"
}

nothing() { die "there is nothing to compare: $(called "$1") has no benchmark that matches BENCH=$bench in PKG=$pkg"; }

# --- with a server ------------------------------------------------------------

# rounds runs both sides in turns.
rounds() {
	local round sides side package
	for round in $(seq "$count"); do
		sides="base new"
		if [ $((round % 2)) = 0 ]; then sides="new base"; fi
		while read -r package; do
			for side in $sides; do
				say "round $round of $count: $package of $(called "$side")"
				measure "$side" "$package" </dev/null
			done
		done <"$tmp/packages"
		if [ "$round" = 1 ]; then # at once, and not at the end of all
			for side in base new; do
				names "$side" >"$tmp/$side.names"
				[ -s "$tmp/$side.names" ] || nothing "$side"
			done
		fi
	done
}

# measure SIDE PACKAGE: runs the benchmarks once and keeps the results.
measure() {
	(cd "$(top "$1")/$2" && "$(binary "$1" "$2")" -test.run '^$' -test.bench "$bench" \
		-test.benchtime "$benchtime" -test.timeout 2h) >"$tmp/out" || {
		cat "$tmp/out" >&2
		die "the benchmarks of $2 of $(called "$1") fail"
	}
	cat "$tmp/out" >>"$tmp/$1.txt"
}

# names SIDE: the benchmarks that have results, each with its package.
names() { awk '$1 == "pkg:" { pkg = $2 } /^Benchmark/ && NF >= 4 { print pkg " " $1 }' "$tmp/$1.txt" | LC_ALL=C sort -u; }

if [ "${1:-}" = rounds ]; then # see below
	tmp=$2
	rounds
	exit
fi

# --- the whole ----------------------------------------------------------------

# cleanup leaves nothing behind, neither files nor a worktree that git knows of.
cleanup() {
	git -C "$root" worktree remove --force --force "$tmp/base" >/dev/null 2>&1 || true
	rm -rf "$tmp"
}

# stop ends what runs, and then this script with the given code.
stop() {
	trap '' INT TERM
	if [ -n "$child" ]; then
		# go run waits for its command at this signal, but not at others.
		kill -INT -- "-$child" 2>/dev/null || true
		wait "$child" || true
	fi
	exit "$1"
}

# only FLAG SIDE: tells which benchmarks only that side has.
only() {
	local names
	names=$(LC_ALL=C comm "$1" "$tmp/base.names" "$tmp/new.names")
	if [ -n "$names" ]; then
		say "only $(called "$2") has these, so they are not compared:"
		sed 's/^/  /' <<<"$names" >&2
	fi
}

cd "$root"
[ -n "${BASE:-}" ] || die "BASE is missing, the git ref to compare the working tree with: make bench-compare BASE=HEAD~1"
commit=$(git rev-parse --verify --quiet --end-of-options "$BASE^{commit}") ||
	die "BASE=$BASE is no branch, tag or commit of this repository"
[[ $count =~ ^[1-9][0-9]*$ ]] || die "COUNT=$count is no number of rounds"

child=
tmp=$(mktemp -d "${TMPDIR:-/tmp}/eventsource-bench.XXXXXX")
trap cleanup EXIT
trap 'stop 130' INT
trap 'stop 143' TERM

# Rather now than after all rounds.
"$go" run "$benchstat" /dev/null >/dev/null || die "benchstat does not run"

git worktree add --quiet --detach "$tmp/base" "$commit"
compile base
compile new
comm -12 "$tmp/base.packages" "$tmp/new.packages" >"$tmp/packages"
[ -s "$tmp/packages" ] || die "there is nothing to compare: no package has benchmarks on both sides"
comm -3 "$tmp/base.packages" "$tmp/new.packages" | while read -r package; do
	say "only one side has benchmarks in $package, so it is left out"
done

# A process group of its own, for stop.
set -m
internal/testenv/with-servers.sh postgres dynamodb -- "$here/compare.sh" rounds "$tmp" &
child=$!
set +m
wait "$child"
child=

echo "base: $BASE, $(git log -1 --format='%h %s' "$commit")"
echo "new:  the working tree, $(git log -1 --format='%h %s')$([ -z "$(git status --porcelain)" ] || echo ', changed')"
echo
"$go" run "$benchstat" "base=$tmp/base.txt" "new=$tmp/new.txt"
only -23 base
only -13 new
