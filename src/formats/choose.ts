/**
 * Which network of a file is meant, and what its tensors are called in it. Training scripts put a network below other modules
 * (`module.`, `_orig_mod.`, `model.backbone.` …), in dicts of any name, and often beside a copy of it: an average of its weights,
 * a momentum encoder, a teacher. All of these are prefixes of tensors' names. So a network is found by a tensor that every
 * residual network has, its first block's first convolution; whatever stands before that is the prefix.
 */
import type { Checkpoint, Guess } from "../checkpoint.ts";
import { expectedGot, OptionError } from "../errors.ts";
import { AROUND, ELSEWHERE, renamed } from "./renamed.ts";

/** The first convolution of the first block: torchvision's, timm's and Hugging Face's names, and those in a `Sequential`. */
const MARKER =
  /^(|.*?[./])(?:layer1\.0\.conv1|stages\.0\.blocks\.0\.conv1|encoder\.stages\.0\.layers\.0\.layer\.0\.convolution|4\.0\.conv1)\.weight$/;

/** Parts of a prefix that mark a copy which is not the network that was trained by gradients. */
const COPY =
  /^(?:.*[_-])?(?:ema|momentum|teacher|target|swa|avg|averaged?|shadow|key|k|mean[_-]?teacher|old|prev|previous|init|initial)(?:[_-].*)?$/i;

/** What keeps a contrastive network's negatives: beside it a head makes embeddings, not classes. */
const CONTRASTIVE = /(?:^|[./])(?:queue|queue_ptr|encoder_k\..*|momentum_encoder\..*|key_encoder\..*)$/;

/** Modules and entries beside a network that never take part in its inference. */
const BESIDE =
  /^(?:criterion|loss(?:_.*|es)?|.*_loss(?:_fn|_func)?|metrics?|.*_metrics?|.*acc(?:uracy)?\d*|optim(?:izer)?s?(?:_.*)?|.*sched(?:uler)?s?|scaler|.*rng.*|random.*|queue(?:_.*)?|n_averaged)$/i;

/** A network that is in the file, by the prefix of its tensors. */
interface Candidate {
  readonly prefix: string;
  /** The modules and dicts of the prefix. */
  readonly path: readonly string[];
}

/**
 * The chosen network under names without prefix. Tensors around it keep their names behind `../`, those of other dicts behind
 * `//`: a head may be among them. Copies of the network are left out.
 *
 * @param key part of the prefix of the network that is wanted
 * @throws OptionError when there is no network under `key`
 */
export function chosen(where: string, inner: Checkpoint, key: string | undefined): Checkpoint {
  const names = [...inner.tensors.keys(), ...(inner.foreign?.keys() ?? [])];
  const prefixes = new Set<string>();
  for (const name of names) {
    // Few names have this: the expression is slow.
    const prefix = name.includes(".0.conv") ? MARKER.exec(name)?.[1] : undefined;
    if (prefix !== undefined) prefixes.add(prefix);
  }
  const candidates = [...prefixes].map((prefix): Candidate => ({ prefix, path: prefix.split(/[./]/).slice(0, -1) }));
  const one = pick(candidates, key);
  if (one === undefined) return inner;
  const copies = candidates.filter((other) => other !== one).map((other) => rootOf(other, one));
  const dictionary = one.prefix.slice(0, one.prefix.lastIndexOf("/") + 1);
  const rename = (name: string): string | undefined => {
    // A copy may be a module of the chosen network, or the chosen one of a copy.
    if (copies.some((root) => name.startsWith(root) && !one.prefix.startsWith(root))) return undefined;
    if (name.startsWith(one.prefix)) return name.slice(one.prefix.length);
    if (copies.some((root) => name.startsWith(root))) return undefined;
    const isInside = name.startsWith(dictionary) && !name.slice(dictionary.length).includes("/");
    const own = isInside ? name.slice(dictionary.length) : name;
    if (own.split(/[./]/).some((part) => BESIDE.test(part))) return undefined;
    return `${isInside ? AROUND : ELSEWHERE}${own}`;
  };
  return {
    ...renamed(where, inner, rename),
    ...(names.some((name) => CONTRASTIVE.test(name)) ? { contrastive: true } : {}),
    guesses: [...(inner.guesses ?? []), ...guessesOf(one, candidates, key)],
  };
}

/** The candidate that `key` names; without one the first that is no copy of another. */
function pick(candidates: readonly Candidate[], key: string | undefined): Candidate | undefined {
  if (key === undefined) return candidates.find(({ path }) => !path.some((part) => COPY.test(part))) ?? candidates[0];
  const found = candidates.filter(({ prefix, path }) => prefix === key || `${key}.` === prefix || path.includes(key));
  // The shortest of several: the others are inside of it.
  const [first] = found.sort((a, b) => a.path.length - b.path.length);
  if (first !== undefined) return first;
  const known = candidates.map(({ path }) => path.join(".") || "(none)").join(", ") || "no residual network";
  throw new OptionError("key", expectedGot("key", `one of ${known}`, `"${key}"`));
}

/** Where the modules of another network begin: behind what its prefix has in common with the chosen one's. */
function rootOf(other: Candidate, one: Candidate): string {
  let at = 0;
  let common = 0;
  while (common < other.path.length && other.path[common] === one.path[common]) {
    at += other.path[common]!.length + 1;
    ++common;
  }
  const next = other.path[common];
  return next === undefined ? other.prefix : other.prefix.slice(0, at + next.length + 1);
}

function guessesOf(one: Candidate, candidates: readonly Candidate[], key: string | undefined): readonly Guess[] {
  if (candidates.length < 2 || key !== undefined) return [];
  const name = ({ path }: Candidate): string => (path.length === 0 ? "the outermost network" : `"${path.join(".")}"`);
  const others = candidates.filter((other) => other !== one).map(name);
  const message = `${name(one)} of ${candidates.length} networks in the file; the option key chooses ${others.slice(0, 4).join(" or ")}`;
  return [{ key: "network", message }];
}
