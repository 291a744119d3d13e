/** Icons: strokes on a grid of 24. */
const PATHS = {
  see: "M4 8V6a2 2 0 0 1 2-2h2M16 4h2a2 2 0 0 1 2 2v2M20 16v2a2 2 0 0 1-2 2h-2M8 20H6a2 2 0 0 1-2-2v-2M15 12a3 3 0 1 1-6 0 3 3 0 0 1 6 0",
  teach: "M4 5h7v7H4zM4 16h7M4 20h5M17.5 8v8M13.5 12h8",
  models: "m12 3 8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
  measure: "M4 18a9 9 0 1 1 16 0M12 14l4-5M12 14h.01",
  settings: "M4 7h8M18 7h2M15 5v4M4 17h2M12 17h8M9 15v4",
  photo: "M5 5h14a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1M8.5 10h.01M4 16l5-4 4 3 3-2 4 3",
  camera:
    "M5 8h3l1.5-2h5L16 8h3a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V9a1 1 0 0 1 1-1M15 13a3 3 0 1 1-6 0 3 3 0 0 1 6 0",
  flip: "M4 12a8 8 0 0 1 14-5l2 2M20 4v5h-5M20 12a8 8 0 0 1-14 5l-2-2M4 20v-5h5",
  similar: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM19 19l2 2M20 16.5a3 3 0 1 1-6 0 3 3 0 0 1 6 0",
  add: "M12 5v14M5 12h14",
  back: "M19 12H5M11 6l-6 6 6 6",
  close: "M6 6l12 12M18 6 6 18",
  remove: "M5 7h14M10 4h4M7 7l1 13h8l1-13M10 11v5M14 11v5",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  pause: "M9 5v14M15 5v14",
  play: "M8 5v14l11-7z",
  file: "M7 3h7l5 5v13H7zM14 3v5h5",
  check: "M5 12.5l4.5 4.5L19 7.5",
  safe: "M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6zM9 12l2 2 4-4",
  offline: "M4 4l16 16M5 12a10 10 0 0 1 4-2.4M8.5 15.5a5 5 0 0 1 5.5-1M12 19h.01M13 9.1a10 10 0 0 1 6 2.9",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
