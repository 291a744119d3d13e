/** Sizes of a JPEG's components at a scale: which inverse DCT each takes, and how its rows become the image's (libjpeg's jdmaster.c, jdsample.c). */
import { Fault } from "./fault.ts";
import type { Frame } from "./jpeg-tables.ts";

/** Sides of the image as eighths of the full ones. */
export type Scale = 8 | 4 | 2 | 1;

/** How a row of a component becomes one of the image, as the decoder numbers it. */
const [PLAIN, H2V1, H1V2, H2V2, REPEATED] = [0, 1, 2, 3, 4];

export interface ComponentGeometry {
  readonly h: number;
  readonly v: number;
  /** Samples of a block's side. */
  readonly size: number;
  /** Samples that belong to the image. */
  readonly width: number;
  readonly height: number;
  readonly kind: number;
  readonly across: number;
  readonly down: number;
  /** Blocks that belong to the image. */
  readonly blocksAcross: number;
  readonly blocksDown: number;
}

export interface Geometry {
  readonly width: number;
  readonly height: number;
  readonly mcuWidth: number;
  readonly mcuHeight: number;
  readonly mcusAcross: number;
  readonly mcusDown: number;
  readonly components: readonly ComponentGeometry[];
  /** Whether a row needs the row of samples behind it. */
  readonly looksAhead: boolean;
}

export function geometryOf(frame: Frame, scale: Scale): Geometry {
  // Of a component that is alone an MCU is one block, whatever its factors.
  const isAlone = frame.components.length === 1;
  const factors = frame.components.map(({ h, v }) => (isAlone ? { h: 1, v: 1 } : { h, v }));
  const [maxH, maxV] = [Math.max(...factors.map(({ h }) => h)), Math.max(...factors.map(({ v }) => v))];
  const components = factors.map(({ h, v }): ComponentGeometry => {
    // A component of fewer samples takes a larger inverse DCT where that spares the upsampling.
    let size: number = scale;
    while (size < 8 && (maxH * scale) % (2 * h * size) === 0 && (maxV * scale) % (2 * v * size) === 0) size *= 2;
    const samples = (side: number, factor: number, most: number): number =>
      Math.ceil((side * factor * size) / (most * 8));
    const [across, down] = [(maxH * scale) / (h * size), (maxV * scale) / (v * size)];
    if (!Number.isInteger(across) || !Number.isInteger(down)) {
      throw new Fault("unsupported", "one whose colours have a fractional sampling");
    }
    const width = samples(frame.width, h, maxH);
    return {
      ...{ h, v, size, width, height: samples(frame.height, v, maxV), across, down },
      kind: kindOf(across, down, scale > 1, width),
      blocksAcross: Math.ceil((frame.width * h) / (maxH * 8)),
      blocksDown: Math.ceil((frame.height * v) / (maxV * 8)),
    };
  });
  return {
    width: Math.ceil((frame.width * scale) / 8),
    height: Math.ceil((frame.height * scale) / 8),
    mcuWidth: maxH * scale,
    mcuHeight: maxV * scale,
    mcusAcross: Math.ceil(frame.width / (8 * maxH)),
    mcusDown: Math.ceil(frame.height / (8 * maxV)),
    components,
    looksAhead: components.some(({ kind }) => kind === H1V2 || kind === H2V2),
  };
}

function kindOf(across: number, down: number, isFancy: boolean, width: number): number {
  if (across === 1 && down === 1) return PLAIN!;
  if (isFancy && across === 2 && down === 1 && width > 2) return H2V1!;
  if (isFancy && across === 1 && down === 2) return H1V2!;
  if (isFancy && across === 2 && down === 2 && width > 2) return H2V2!;
  return REPEATED!;
}
