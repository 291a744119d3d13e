/** All targets by name. */
import type { Target } from "./target.ts";
import { files } from "./targets/files.ts";
import { decoders } from "./targets/images.ts";
import { service } from "./targets/service.ts";
import { weights } from "./targets/weights.ts";

export const TARGETS: readonly Target[] = [...weights, ...decoders, ...files, ...service];
