/** Checkpoints of other programs, whose tensors have other names than torchvision's, or more than one network's. */
import type { Checkpoint } from "../checkpoint.ts";
import { chosen } from "./choose.ts";
import { derived } from "./derived.ts";
import { canonical } from "./names.ts";
import { AROUND, ELSEWHERE, renamed } from "./renamed.ts";

/**
 * The network that is meant, its weights whole and under torchvision's names; counters of training steps are left out.
 *
 * @param key which network, where the file has several
 * @throws as `derived` and `chosen`
 */
export function underOurNames(where: string, opened: Checkpoint, key: string | undefined): Checkpoint {
  const inner = chosen(where, derived(where, opened), key);
  const isSequential = inner.tensors.has("0.weight") && inner.tensors.has("4.0.conv1.weight");
  return renamed(where, inner, (name) => {
    const isOutside = name.startsWith(AROUND) || name.startsWith(ELSEWHERE);
    const to = canonical(name, isSequential && !isOutside);
    return to === undefined || !isOutside ? to : name;
  });
}
