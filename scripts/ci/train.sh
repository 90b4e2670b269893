#!/usr/bin/env bash
# Submits the training pipeline to the KFP host, waits, and reports. The status is that of `linnet submit`:
# 0 promoted (or the champion stays), 3 a gate or the canary said no, 1 failed.
#
#   LINNET_KFP_HOST   where to submit to       LINNET_CONFIG  the use case
#   CAUSE             merge, drift, schedule or person
#   KEY               the same key never starts a second run; empty: commit and config
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

: "${LINNET_KFP_HOST:?is not set: add the variable LINNET_KFP_HOST to the environment 'training'}"
config=${LINNET_CONFIG:-configs/fashion.toml}
commit=${GITHUB_SHA:-$(git rev-parse HEAD)}
key=${CAUSE:=merge}-${KEY:-$commit}-$(basename "$config" .toml)
export PATH="$PWD/.linnet/venv/bin:$PATH"
mkdir -p .linnet/ci
log=.linnet/ci/submit.log report=.linnet/ci/report.md
rm -f "$report"

if [ -n "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ] && [ -n "${LINNET_OIDC_AUDIENCE:-}" ]; then
    LINNET_ENGINE_TOKEN=$(scripts/ci/oidc-token.sh "$LINNET_OIDC_AUDIENCE")
    echo "::add-mask::$LINNET_ENGINE_TOKEN"
    export LINNET_ENGINE_TOKEN
fi

set +e
linnet submit "$config" --host "$LINNET_KFP_HOST" --wait --cause "$CAUSE" --commit "$commit" --key "$key" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
run=$(grep -oE '\brun [a-z0-9][a-z0-9-]+' "$log" | head -1 | cut -d' ' -f2)
if [ -n "$run" ]; then
    linnet report "$run" --host "$LINNET_KFP_HOST" --output "$report" --exit-code
    refused=$?
    # The host says only whether every step worked; the report knows what the gates and the canary said.
    [ "$status" -ne 0 ] || status=$refused
fi
set -e

if [ -s "$report" ]; then
    cat "$report" >>"${GITHUB_STEP_SUMMARY:-/dev/stdout}"
else
    printf '## The run has no report\n\n```\n%s\n```\n' "$(tail -20 "$log")" >>"${GITHUB_STEP_SUMMARY:-/dev/stdout}"
fi
exit "$status"
