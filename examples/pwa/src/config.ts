/** What a build may set; see `build.ts`. */
declare const GIVEN: { readonly hub?: string; readonly registry?: string; readonly model?: string };

/** The model that the app begins with; without one it asks. */
export const DEFAULT_MODEL: string | undefined = GIVEN.model;
/** Where models with a name come from; those of resnet-wasm when absent. */
export const MIRRORS: { readonly hub?: string; readonly registry?: string } = {
  ...(GIVEN.hub !== undefined && { hub: GIVEN.hub }),
  ...(GIVEN.registry !== undefined && { registry: GIVEN.registry }),
};
/** Names of resnet-wasm that the app offers, smallest download first. */
export const OFFERED = ["resnet18", "resnet34", "resnet50-int8", "resnet50", "resnet50-a1", "resnet101"] as const;
/** Below this probability the app names nothing. */
export const SURE = 0.35;
/** A class needs this many photos before the app trusts it. */
export const FEW = 5;
