#!/usr/bin/env bash
# Keeps one comment of the gate on a pull request: edits it where there is one, and says nothing for the first time
# when nothing changed. Needs `gh`; a token that may not write is a warning, not a failure.
#
#   scripts/regress_comment.sh REPORT_FOLDER OWNER/REPOSITORY NUMBER
set -euo pipefail

report=$1/report.md
repository=$2
number=$3
marker='<!-- palimpsest-regress -->'
if [ ! -f "$report" ]; then
    echo "regress: there is no report to comment on" >&2
    exit 0
fi
give_up() {
    echo "::warning title=no comment::the gate could not write its comment; the report is in the step summary"
    exit 0
}
existing=$(gh api --paginate "repos/$repository/issues/$number/comments" \
    --jq ".[] | select(.body | startswith(\"$marker\")) | .id") || give_up
existing=$(head -n 1 <<<"$existing")
if [ -n "$existing" ]; then
    gh api --method PATCH "repos/$repository/issues/comments/$existing" --field "body=@$report" >/dev/null || give_up
elif grep -q '^<!-- palimpsest-regress: changed -->$' "$report"; then
    gh api --method POST "repos/$repository/issues/$number/comments" --field "body=@$report" >/dev/null || give_up
fi
