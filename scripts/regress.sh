#!/usr/bin/env bash
# The regression gate for any CI: builds the merge base and the head, lets both take turns at a suite, and ends with
# the gate's exit code (0 fine, 1 regressed, 2 usage, 3 could not judge, 4 runs failed).
#
#   scripts/regress.sh SUITE [BASE]      BASE: a commit; without it, the merge base with the target branch
#
# REGRESS_BUILD     command that builds a checkout       (./justw setup cpu && cargo build --release --locked --bins)
# REGRESS_PROGRAMS  folder with what it builds           (target/release)
# REGRESS_OUT       folder for builds, floors, report    (regress-out)
# REGRESS_TARGET    target branch                        (of the pull request; else main)
# REGRESS_AA        comparisons behind a noise floor     (8)
# REGRESS_OPTIONS   more options of `palimpsest regress`, separated by spaces
set -euo pipefail

suite=${1:?"usage: scripts/regress.sh SUITE [BASE]"}
build=${REGRESS_BUILD:-./justw setup cpu && cargo build --release --locked --bins}
programs=${REGRESS_PROGRAMS:-target/release}
out=${REGRESS_OUT:-regress-out}
target=${REGRESS_TARGET:-${GITHUB_BASE_REF:-main}}
read -ra options <<<"${REGRESS_OPTIONS:-}"

root=$(git rev-parse --show-toplevel)
cd "$root"
mkdir -p "$out"
out=$(cd "$out" && pwd)
head=$(git rev-parse HEAD)

base_of() {
    local branch
    for branch in "refs/remotes/origin/$target" "refs/heads/$target"; do
        if git rev-parse --quiet --verify "$branch^{commit}" >/dev/null; then
            git merge-base "$branch" HEAD && return
        fi
    done
    echo "regress: no merge base with \"$target\": fetch it with its history, or name a commit" >&2
    return 2
}
if [ -n "${2:-}" ]; then
    base=$(git rev-parse --verify --end-of-options "$2^{commit}")
else
    base=$(base_of)
fi
# On the target branch itself, the change is the last commit.
if [ "$base" = "$head" ]; then base=$(git rev-parse --verify "HEAD^"); fi
echo "regress: $suite, base ${base:0:12}, head ${head:0:12}" >&2

# Builds the checkout in $1 and keeps its programs as $2. One target folder serves both: what they share is built once.
build_of() {
    local kept="$out/$2"
    (cd "$1" && CARGO_TARGET_DIR="$root/target" bash -euo pipefail -c "$build") >&2
    mkdir -p "$kept"
    local folder=$programs
    case $folder in target/*) folder=$root/$folder ;; /*) ;; *) folder=$1/$folder ;; esac
    cp "$folder/palimpsest" "$folder/palimpsest-engine" "$kept/"
}
build_of "$root" head
checkout=$out/checkout
git worktree remove --force "$checkout" 2>/dev/null || rm -rf "$checkout"
git worktree prune
git worktree add --quiet --detach "$checkout" "$base"
trap 'git -C "$root" worktree remove --force "$checkout" 2>/dev/null || true' EXIT
build_of "$checkout" base

palimpsest=$out/head/palimpsest
gate() {
    "$palimpsest" regress "$suite" --binary "$out/base/palimpsest" --store "$out/store" --out "$out/report" \
        ${options[@]+"${options[@]}"}
}
code=0
gate || code=$?
# Without a noise floor of this machine, times were not judged: measure one, and judge again.
if grep -qs "regress aa" "$out/report/report.txt"; then
    "$palimpsest" regress aa "$suite" --binary "$out/base/palimpsest" --store "$out/store" --rounds "${REGRESS_AA:-8}" >&2
    code=0
    gate || code=$?
fi

if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ -f "$out/report/report.md" ]; then
    cat "$out/report/report.md" >>"$GITHUB_STEP_SUMMARY"
fi
if [ -n "${GITHUB_ACTIONS:-}" ] && [ -f "$out/report/annotations.txt" ]; then
    cat "$out/report/annotations.txt"
fi
exit "$code"
