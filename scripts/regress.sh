#!/usr/bin/env bash
# The regression gate for any CI: lets the merge base and the head take turns at a suite, and ends with the gate's exit
# code: 0 fine, 1 regressed, 2 usage, 3 could not judge (or the base does not build), 4 runs of the head failed (or it
# does not build). 70 is a fault of the gate or of this script.
#
# In a repository of Palimpsest both commits are built, and the two builds are compared. In any other (REGRESS_TREES=true)
# one pinned palimpsest trains the `command:` arms of both checkouts.
#
# The base judges, with its own suite: a change has no part in the verdict on it, the head only trains. A base that has
# no such suite, or no gate yet, leaves nothing to compare: the suite is new, and that is fine (0). Commits between base
# and head accept intended changes by trailers of their messages: "Regress-Accept: METRIC[@ARM]=REASON".
#
#   scripts/regress.sh SUITE [BASE]      BASE: a commit; without it, the merge base with the target branch
#
# REGRESS_TREES     true: the suite's arms are this repository's own programs   (false: the commits are builds)
# REGRESS_BUILD     command that builds a checkout       (./justw setup cpu && cargo build --release --locked --bins;
#                   with REGRESS_TREES none, and where given run in both checkouts)
# REGRESS_PROGRAMS  folder with what it builds           (target/release)
# REGRESS_OUT       folder for builds, floors, report    (regress-out)
# REGRESS_TARGET    target branch                        (of the pull request; else main)
# REGRESS_AA        comparisons behind a noise floor     (8)
# REGRESS_JUDGE     a pinned program that judges         (the base's; with REGRESS_TREES, built from this script's checkout)
# REGRESS_TIMEOUT   time limit of a single run           (10m)
# REGRESS_OPTIONS   more options of `palimpsest regress`, separated by spaces
set -Eeuo pipefail
# No command that fails by surprise may end with a code that means a verdict.
trap 'echo "regress: line $LINENO of the script failed" >&2; exit 70' ERR

stop() {
    echo "regress: $2" >&2
    exit "$1"
}

suite=${1:-}
[ -n "$suite" ] || stop 2 "usage: scripts/regress.sh SUITE [BASE]"
trees=${REGRESS_TREES:-false}
own_build="./justw setup cpu && cargo build --release --locked --bins"
build=${REGRESS_BUILD:-}
case $trees in
    true) ;;
    false) build=${build:-$own_build} ;;
    *) stop 2 "REGRESS_TREES is \"$trees\": it must be true or false" ;;
esac
programs=${REGRESS_PROGRAMS:-target/release}
out=${REGRESS_OUT:-regress-out}
target=${REGRESS_TARGET:-${GITHUB_BASE_REF:-main}}
read -ra options <<<"${REGRESS_OPTIONS:-}"

own=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=$(git rev-parse --show-toplevel)
cd "$root"
# What is left of an earlier gate is no report of this one.
rm -rf "${out:?}/report"
mkdir -p "$out"
out=$(cd "$out" && pwd)
head=$(git rev-parse HEAD)

merge_base() {
    local branch
    for branch in "refs/remotes/origin/$target" "refs/heads/$target"; do
        if git rev-parse --quiet --verify "$branch^{commit}" >/dev/null && git merge-base "$branch" HEAD; then return; fi
    done
    return 2
}
if [ -n "${2:-}" ]; then
    base=$(git rev-parse --quiet --verify --end-of-options "$2^{commit}") || stop 2 "\"$2\" is no commit of this repository"
else
    base=$(merge_base) || stop 2 "no merge base with \"$target\": fetch it with its history, or name a commit"
fi
# On the target branch itself, the change is the last commit.
if [ "$base" = "$head" ]; then
    base=$(git rev-parse --quiet --verify "HEAD^") || stop 2 "the first commit has none before it to compare with"
fi
echo "regress: $suite, base ${base:0:12}, head ${head:0:12}" >&2

# Builds the checkout in $1 and keeps its programs as $2. One target folder serves both: what they share is built once.
build_of() {
    local folder=$programs program
    case $folder in target/*) folder=$root/$folder ;; /*) ;; *) folder=$1/$folder ;; esac
    (cd "$1" && CARGO_TARGET_DIR="$root/target" bash -euo pipefail -c "$build") >&2 || return
    mkdir -p "$out/$2"
    for program in palimpsest palimpsest-engine; do
        [ -x "$folder/$program" ] || stop 2 "the build left no $folder/$program: set REGRESS_PROGRAMS"
        cp "$folder/$program" "$out/$2/" || stop 70 "cannot keep $folder/$program"
    done
}
# Nothing to compare: says so in the report, and is fine.
new() {
    mkdir -p "$out/report"
    printf '<!-- palimpsest-regress -->\n### new\n\n- %s\n' "$1" >"$out/report/report.md"
    [ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$out/report/report.md" >>"$GITHUB_STEP_SUMMARY"
    echo "regress: $1" >&2
    exit 0
}
# The suite's file in the repository, where it is one; a name may be of one that the programs carry.
file=
for candidate in "${suite#./}" "suites/$suite.yaml"; do
    if [ -f "$candidate" ] && git ls-files --error-unmatch -- "$candidate" >/dev/null 2>&1; then
        file=$candidate
        break
    fi
done
# The palimpsest that trains and judges both checkouts of another project: no commit of theirs has a part in it.
pinned() {
    [ "$own" != "$root" ] || stop 2 "REGRESS_TREES is for other repositories than Palimpsest's own: or name REGRESS_JUDGE"
    (cd "$own" && CARGO_TARGET_DIR="$own/target" bash -euo pipefail -c "$own_build") >&2 \
        || stop 3 "the palimpsest in $own does not build: nothing can be judged"
    judge=$own/target/release/palimpsest
}
judge=${REGRESS_JUDGE:-}
if [ "$trees" = true ]; then
    [ -n "$file" ] || stop 2 "$suite is no file of this repository: commit the suite whose arms are its programs"
    [ -n "$judge" ] || pinned
    planner=$judge
else
    build_of "$root" head || stop 4 "the head does not build"
    planner=$out/head/palimpsest
fi
# Who keeps what was measured, where the action is told to.
echo "$planner" >"$out/recorder"
if [ -n "$file" ] && ! git cat-file -e "$base:$file" 2>/dev/null; then
    "$planner" plan "$suite" --store "$out/store" >/dev/null || stop 2 "the head cannot plan $suite"
    new "the base has no $file: the suite is new, and the next change is compared with this one"
fi
checkout=$out/checkout
git worktree remove --force "$checkout" 2>/dev/null || rm -rf "$checkout"
git worktree prune
git worktree add --quiet --detach "$checkout" "$base"
trap 'git -C "$root" worktree remove --force "$checkout" 2>/dev/null || true' EXIT
if [ "$trees" = false ]; then
    build_of "$checkout" base || stop 3 "the base does not build"
    judge=${judge:-$out/base/palimpsest}
fi
# One that does not start at all is no base without a gate: that would pass unseen.
"$judge" --version >/dev/null 2>&1 || stop 3 "$judge does not start: nothing can be judged"
if ! known=$("$judge" regress --help 2>/dev/null); then
    [ "$trees" = false ] || stop 3 "$judge has no regression gate: nothing can be judged"
    new "the base has no regression gate: it is new, and the next change is compared with this one"
fi
judged=$suite
more=(--timeout "${REGRESS_TIMEOUT:-10m}")
if [ -n "$file" ]; then
    judged=$checkout/$file
fi
if [ "$trees" = false ] && [ -n "$file" ]; then
    more+=(--head-suite "$root/$file")
fi
while IFS= read -r accepted; do
    [ -z "$accepted" ] || more+=(--accept "$accepted")
done < <(git log --format='%(trailers:key=Regress-Accept,valueonly,unfold)' "$base..$head")
if [ "$trees" = true ]; then
    case $known in *--base-tree*) ;; *) stop 3 "$judge compares builds of Palimpsest only: pin a later one" ;; esac
    both=("$file" --base-tree "$checkout" --head-tree "$root" ${build:+--build "$build"})
    alone=("$judged")
else
    # A judge from before these options judges without them.
    case $known in *--head-suite*) ;; *) more=() ;; esac
    both=("$judged" --binary "$out/base/palimpsest" --head "$out/head/palimpsest")
    alone=("$judged" --binary "$out/base/palimpsest")
fi
gate() {
    "$judge" regress "${both[@]}" --store "$out/store" --out "$out/report" ${more[@]+"${more[@]}"} \
        ${options[@]+"${options[@]}"}
}
code=0
gate || code=$?
# Without a noise floor of this machine, times were not judged: measure one of the same cells, and judge again.
if grep -qs "regress aa" "$out/report/report.txt"; then
    cells=()
    for ((place = 0; place < ${#options[@]}; place++)); do
        case ${options[place]} in
            --methods | --workloads | --seeds | --pairs | --device)
                cells+=("${options[place]}" "${options[place + 1]:-}") ;;
            --methods=* | --workloads=* | --seeds=* | --pairs=* | --device=*) cells+=("${options[place]}") ;;
        esac
    done
    if "$judge" regress aa "${alone[@]}" --store "$out/store" \
        --rounds "${REGRESS_AA:-8}" ${cells[@]+"${cells[@]}"} >&2; then
        code=0
        gate || code=$?
    fi
fi

if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ -f "$out/report/report.md" ]; then
    cat "$out/report/report.md" >>"$GITHUB_STEP_SUMMARY"
fi
if [ -n "${GITHUB_ACTIONS:-}" ] && [ -f "$out/report/annotations.txt" ]; then
    cat "$out/report/annotations.txt"
fi
exit "$code"
