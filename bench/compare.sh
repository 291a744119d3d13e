#!/usr/bin/env bash
# Working tree against a git ref: fresh processes, interleaved, the order reversed each round; minima are compared.
#   bench/compare.sh REF [MODELS] [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
ref=${1:?usage: bench/compare.sh REF [MODELS] [ROUNDS]}
models=${2:-resnet18,resnet50}
rounds=${3:-7}
other=$(mktemp -d)
rows=$(mktemp)
trap 'rm -f "$rows"; git worktree remove --force "$other"' EXIT
git worktree add --quiet --detach "$other" "$ref"
# The same packages serve both trees, unless the other names others.
if cmp -s package-lock.json "$other/package-lock.json"; then ln -s "$PWD/node_modules" "$other/node_modules"
else (cd "$other" && npm ci --ignore-scripts --no-audit --no-fund --silent); fi
node=$PWD/node_modules/.bin/node
for tree in "$PWD" "$other"; do (cd "$tree" && "$node" build.ts --wasm); done

# One line a network: tree, model, type, fastest of the runs in ms.
once() {
  (cd "$1" && "$node" bench/main.ts models --models "$models" --builds relaxed --threads 1 --batch 1 --runs 20 --json) |
    "$node" -e '
      let text = "";
      process.stdin.on("data", (piece) => (text += piece));
      process.stdin.on("end", () => {
        for (const row of JSON.parse(text)) console.log(process.argv[1], row.model, row.dtype, row.minMs);
      });' "$2" >>"$rows"
}
for ((round = 0; round < rounds; ++round)); do
  if ((round % 2)); then once "$other" ref; once "$PWD" here
  else once "$PWD" here; once "$other" ref; fi
done
sort -k2,3 "$rows" | awk -v ref="$ref" '
  { key = $2 " " $3; if (!((key, $1) in best) || $4 < best[key, $1]) best[key, $1] = $4; keys[key] = 1 }
  END { for (key in keys)
    printf "%s: working tree %.2f ms, %s %.2f ms, ratio %.3f\n", key, best[key, "here"], ref, best[key, "ref"],
      best[key, "here"] / best[key, "ref"] }' | sort
