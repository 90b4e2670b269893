#!/usr/bin/env bash
# Compiles the pipelines here and at the commit $1, and shows what changed in their graphs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

base=${1:-}
work=.linnet/ci/graphs
rm -rf "$work" && mkdir -p "$work"
export PATH="$PWD/.linnet/venv/bin:$PATH"
python -m linnet.launch.graph >"$work/here.mmd"

summary=${GITHUB_STEP_SUMMARY:-/dev/stdout}
if ! git cat-file -e "$base^{commit}" 2>/dev/null; then
    printf '### Pipelines\n\nThere is no base to compare with.\n\n```mermaid\n%s\n```\n' "$(cat "$work/here.mmd")" >>"$summary"
    exit 0
fi
git worktree add --quiet --detach "$work/base" "$base"
trap 'git worktree remove --force "$work/base"' EXIT
(cd "$work/base" && python -m linnet.launch.graph) >"$work/base.mmd"

if changes=$(diff -u --label "$base" --label here "$work/base.mmd" "$work/here.mmd"); then
    printf '### Pipelines\n\nThe compiled graphs are as before.\n' >>"$summary"
else
    printf '### Pipelines\n\nThe compiled graph changed:\n\n```diff\n%s\n```\n' "$changes" >>"$summary"
fi
