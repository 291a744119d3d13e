#!/usr/bin/env bash
# Working tree against a git ref: fresh processes, interleaved, the order reversed each round; the minimum counts.
#   bench/compare.sh REF [MODEL] [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
ref=${1:?usage: bench/compare.sh REF [MODEL] [ROUNDS]}
model=${2:-resnet50}
rounds=${3:-7}
other=$(mktemp -d)
trap 'git worktree remove --force "$other"' EXIT
git worktree add --quiet --detach "$other" "$ref"
# The same packages serve both trees, unless the other names others.
if cmp -s package-lock.json "$other/package-lock.json"; then ln -s "$PWD/node_modules" "$other/node_modules"
else (cd "$other" && npm ci --ignore-scripts --no-audit --no-fund --silent); fi
node=$PWD/node_modules/.bin/node
for tree in "$PWD" "$other"; do (cd "$tree" && "$node" build.ts --wasm); done

once() { (cd "$1" && "$node" bench/main.ts models --models "$model" --builds relaxed --threads 1 --batch 1 --runs 20 --cell); }
declare -A best=()
for ((round = 0; round < rounds; ++round)); do
  if ((round % 2)); then order=("$other" "$PWD"); else order=("$PWD" "$other"); fi
  for tree in "${order[@]}"; do
    ms=$(once "$tree" | sed -E 's/.*"minMs":([0-9.]+).*/\1/')
    best[$tree]=$(awk -v a="${best[$tree]:-1e9}" -v b="$ms" 'BEGIN { print (b < a) ? b : a }')
  done
done
awk -v a="${best[$PWD]}" -v b="${best[$other]}" -v ref="$ref" -v model="$model" \
  'BEGIN { printf "%s: working tree %.2f ms, %s %.2f ms, ratio %.3f\n", model, a, ref, b, a / b }'
