import { describe, expect, test } from "vitest";
import { PRESETS } from "../src/preprocess.ts";
import { viewsOf } from "../src/views.ts";

const PHOTO = { width: 500, height: 400, data: new Uint8Array(4 * 500 * 400) };
const WAY = PRESETS["torchvision-v1"];

describe("views", () => {
  test("one: the centre crop", () => {
    expect(viewsOf(PHOTO, WAY, {})).toEqual([
      { resized: [320, 256], left: 48, top: 16, width: 224, height: 224, mirrored: false },
    ]);
  });
  test("ten: corners, centre, and their mirror images, all 224 of the one resized image", () => {
    const views = viewsOf(PHOTO, WAY, { crops: 10 });
    expect(views).toHaveLength(10);
    const corners = views.filter(({ mirrored }) => !mirrored).map(({ left, top }) => `${left} ${top}`);
    expect(corners.sort()).toEqual(["0 0", "0 32", "48 16", "96 0", "96 32"]);
    expect(views.filter(({ mirrored }) => mirrored)).toHaveLength(5);
    expect(views.every(({ width, height }) => width === 224 && height === 224)).toBe(true);
  });
  test("scales: the whole image, its shorter side so long", () => {
    const views = viewsOf(PHOTO, WAY, { scales: [224, 480] });
    expect(views.map(({ resized }) => resized)).toEqual([
      [280, 224],
      [600, 480],
    ]);
    expect(
      views.every(({ left, top, width, height, resized }) => {
        return left === 0 && top === 0 && width === resized[0] && height === resized[1];
      }),
    ).toBe(true);
    expect(viewsOf(PHOTO, WAY, { scales: [224], crops: 10 }).map(({ mirrored }) => mirrored)).toEqual([false, true]);
  });
  test.each([
    [{ crops: 5 as never }, /crops: expected 1, 2 or 10, got 5/],
    [{ scales: [0] }, /scales: expected whole numbers of pixels, got 0/],
    [{ scales: [224.5] }, /scales: expected whole numbers/],
  ])("%o are refused", (views, message) => {
    expect(() => viewsOf(PHOTO, WAY, views)).toThrow(message);
  });
});
