/** A picture as large as its place allows, with a heat map over it. */
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Heat } from "./protocol.ts";

export interface StageProps {
  /** Of the picture, in its pixels; it fills the stage before they are known. */
  readonly size: { readonly width: number; readonly height: number } | undefined;
  /** `cover` fills the stage and cuts, `contain` shows all. */
  readonly fit: "cover" | "contain";
  readonly heat: Heat | undefined;
  /** 0…1 */
  readonly strength: number;
  readonly children: ComponentChildren;
}

/** Colours of a map: nothing below 0, then amber to red. */
function draw(canvas: HTMLCanvasElement, { data, rows, columns }: Heat): void {
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(columns, rows);
  const largest = Math.max(...data, 1e-9);
  data.forEach((value, i) => {
    const share = Math.max(0, value / largest);
    image.data.set([255, 196 - 150 * share, 20, 255 * share ** 1.6], 4 * i);
  });
  context.putImageData(image, 0, 0);
}

export function Stage({ size, fit, heat, strength, children }: StageProps) {
  const stage = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [box, setBox] = useState({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setBox(entry!.contentRect));
    observer.observe(stage.current!);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (heat) draw(canvas.current!, heat);
  }, [heat]);
  const { width, height } = size ?? box;
  const scale = (fit === "cover" ? Math.max : Math.min)(box.width / width, box.height / height) || 0;
  const percent = (share: number): string => `${100 * share}%`;
  return (
    <div class="stage" ref={stage}>
      <div class="picture" style={{ inlineSize: `${width * scale}px`, blockSize: `${height * scale}px` }}>
        {children}
        {heat && (
          <canvas
            ref={canvas}
            class="heat"
            style={{
              insetInlineStart: percent(heat.left),
              insetBlockStart: percent(heat.top),
              inlineSize: percent(heat.width),
              blockSize: percent(heat.height),
              opacity: strength,
            }}
          />
        )}
      </div>
    </div>
  );
}
