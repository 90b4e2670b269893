#!/usr/bin/env bash
# Prints a short-lived token of GitHub's OIDC provider for the audience $1.
set -euo pipefail
curl --silent --show-error --fail --header "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" \
    "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=$1" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["value"])'
