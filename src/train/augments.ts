/** Names of how images are varied, apart from what does it: a page has them without an engine. */

/**
 * How much images are varied. `light`: mirrored, and for photos the crop moved; `standard`: a random part of 25 to 100 %,
 * mirrored, its colours jittered (Szegedy et al., arXiv 1409.4842, as torchvision has it). Images that are not cropped,
 * CIFAR's, are mirrored by `light`, and padded by an eighth and cropped by `standard` too (He et al. 2015, section 4.2).
 */
export const AUGMENTS = ["none", "light", "standard"] as const;
export type Augment = (typeof AUGMENTS)[number];

/** The strength of RandAugment that is full. */
export const STRONGEST = 10;
