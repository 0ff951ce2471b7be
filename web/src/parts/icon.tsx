// The page's icons: strokes on a grid of 16. Each stands beside a word, or on a button that has one.

const STROKES = {
  brand: "M3.5 1.5h5a2 2 0 0 1 2 2v5a2 2 0 0 1-2 2h-5a2 2 0 0 1-2-2v-5a2 2 0 0 1 2-2zM7.5 5.5h5a2 2 0 0 1 2 2v5a2 2 0 0 1-2 2h-5a2 2 0 0 1-2-2v-5a2 2 0 0 1 2-2z",
  overview: "M1.5 9h3l2-6 3 10 2-4h3",
  sessions: "M2 5h9M8.5 2.5 11 5 8.5 7.5M14 11H5M7.5 8.5 5 11l2.5 2.5",
  accounts: "M12 4V2.5H4L8.5 8 4 13.5h8V12",
  ledger: "M3 2.5h8.5a1.5 1.5 0 0 1 1.5 1.5v9.5H4.5A1.5 1.5 0 0 1 3 12zM3 12a1.5 1.5 0 0 1 1.5-1.5H13M6 5.5h4",
  security: "M8 1.5 13 3.5V8c0 3-2.2 5.3-5 6.5C5.2 13.3 3 11 3 8V3.5z",
  wire: "M3 2v12M13 2v12M3 5h7.5M8.5 3l2 2-2 2M13 11H5.5M7.5 9l-2 2 2 2",
  configuration: "M2 4.5h6M12 4.5h2M10 2.5v4M2 11.5h2M8 11.5h6M6 9.5v4",
  search: "M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9zM10.5 10.5 14 14",
  close: "M4 4l8 8M12 4l-8 8",
  up: "M8 13V3.5M4.5 7 8 3.5 11.5 7",
  down: "M8 3v9.5M4.5 9 8 12.5 11.5 9",
  left: "M10 3.5 5.5 8l4.5 4.5",
  right: "M6 3.5 10.5 8 6 12.5",
  warning: "M8 2 14.5 13.5h-13zM8 6.5v3M8 11.5v.01",
  locked: "M4 7.5h8v6H4zM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5",
  open: "M4 7.5h8v6H4zM5.5 7.5V5a2.5 2.5 0 0 1 4.8-1",
  eye: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8zM8 6.3a1.7 1.7 0 1 1 0 3.4 1.7 1.7 0 0 1 0-3.4z",
  pin: "M5.5 2h5l-.7 5 2.2 2.5H4L6.2 7zM8 9.5V14",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3l7.5 5L5 13z",
  download: "M8 2v8M4.5 6.5 8 10l3.5-3.5M2.5 13.5h11",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  table: "M2 3h12v10H2zM2 6.5h12M6.5 6.5V13",
  chart: "M2 2.5v11h12M4.5 10l3-4 2.5 2.5 3.5-5",
  moon: "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z",
  sun: "M8 5.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1.1 1.1M11.9 11.9 13 13M3 13l1.1-1.1M11.9 4.1 13 3",
  good: "M3 8.5 6.5 12 13 4.5",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
} as const;

export type IconName = keyof typeof STROKES;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path d={STROKES[name]} />
    </svg>
  );
}
