// A line over the last five minutes, drawn by uPlot; the same numbers as a table; and the small
// line in a row of a table.

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { now } from "../feed";
import { timeOfDay } from "../numbers";
import { isDark } from "../preference";
import { Icon } from "./icon";

export interface Series {
  title: string;
  values: (number | null)[];
  /** The first is the accent; the second is the same in grey. */
  isSecond?: boolean;
}

const SECONDS = 300;
const HEIGHT = 176;
/** Below this width every other label of the time axis is left out. */
const NARROW = 330;
/** The point under the pointer, shared by all charts: one moment, seen in each. */
const pointed = signal<number | null>(null);

/** A colour of the style sheet, as a canvas takes it. */
function colour(element: Element, name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  element.append(probe);
  const resolved = getComputedStyle(probe).color;
  probe.remove();
  return resolved;
}

function options(
  element: HTMLElement,
  series: Series[],
  step: number,
  format: (value: number) => string,
  least: number,
): uPlot.Options {
  const font = `11px ${getComputedStyle(element).fontFamily}`;
  const axis = { stroke: colour(element, "muted"), font, ticks: { show: false } };
  const grid = { stroke: colour(element, "grid"), width: 1 };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 12, 0, 0],
    cursor: {
      sync: { key: "overview", setSeries: false },
      drag: { x: false, y: false, setScale: false },
      y: false,
      points: { size: 6 },
    },
    scales: {
      x: { time: false, range: [-SECONDS, 0] },
      y: { range: (_, __, highest) => [0, Math.max(least, (highest ?? 0) * 1.12)] },
    },
    axes: [
      {
        ...axis,
        size: 24,
        gap: 6,
        grid: { show: false },
        splits: (plot) => (plot.width < NARROW ? [-240, -120, 0] : [-300, -240, -180, -120, -60, 0]),
        values: (_, splits) => splits.map((at) => (at === 0 ? "now" : `−${-at / 60} min`)),
      },
      {
        ...axis,
        size: 56,
        gap: 8,
        grid,
        space: 30,
        values: (_, splits) => splits.map((value) => format(value).replace(/\.0+(?=\D)|(\.\d*?[1-9])0+(?=\D)/, "$1")),
      },
    ],
    series: [
      {},
      ...series.map((one) => ({
        label: one.title,
        stroke: colour(element, one.isSecond ? "second" : "accent"),
        width: 1.5,
        points: { show: false },
        spanGaps: false,
        ...(series.length === 1 ? { fill: colour(element, "accent-wash") } : {}),
      })),
    ],
    hooks: {
      setCursor: [
        (plot) => {
          const at = plot.cursor.idx;
          const x = at === null || at === undefined ? undefined : plot.data[0][at];
          pointed.value = x === undefined ? null : Math.round(-x / step);
        },
      ],
    },
  };
}

function points(series: Series[], step: number): uPlot.AlignedData {
  const length = Math.max(1, ...series.map((one) => one.values.length));
  const x = Array.from({ length }, (_, at) => -(length - 1 - at) * step);
  return [x, ...series.map((one) => (one.values.length ? one.values : [null]))];
}

const last = (values: (number | null)[]) => values[values.length - 1] ?? null;

interface ChartProps {
  title: string;
  series: Series[];
  step: number;
  format: (value: number) => string;
  /** The least height of its axis: a quiet server is a low line, not noise in full height. */
  least: number;
}

export function Chart({ title, series, step, format, least }: ChartProps) {
  const [isTable, setTable] = useState(false);
  const shown = (value: number | null | undefined) => (value === null || value === undefined ? "–" : format(value));
  const back = pointed.value;
  const value = (one: Series) => shown(back === null ? last(one.values) : one.values[one.values.length - 1 - back]);
  return (
    <section class="card chart-card" aria-label={title}>
      <header class="card-head">
        <h2>{title}</h2>
        <button
          type="button"
          class="quiet small"
          aria-pressed={isTable}
          aria-label={`${title} as a table`}
          title={isTable ? "Show the chart" : "Show the table"}
          onClick={() => setTable(!isTable)}
        >
          <Icon name={isTable ? "chart" : "table"} />
        </button>
      </header>
      <p class="readings">
        {series.map((one) => (
          <span key={one.title} class={one.isSecond ? "reading second" : "reading"}>
            {series.length > 1 && <span class="reading-name">{one.title}</span>}
            <span class="reading-value">{value(one)}</span>
          </span>
        ))}
        {back !== null && back > 0 && (
          <span class="reading-when">at {timeOfDay(now.value - back * step * 1000)}</span>
        )}
      </p>
      {isTable ? (
        <ChartTable title={title} series={series} step={step} shown={shown} />
      ) : (
        <Plot title={title} series={series} step={step} format={format} least={least} />
      )}
    </section>
  );
}

function Plot({ title, series, step, format, least }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const dark = isDark();
  useEffect(() => {
    const element = place.current;
    if (!element) return undefined;
    const made = new uPlot(options(element, series, step, format, least), points(series, step), element);
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = null;
      pointed.value = null;
    };
  }, [dark]);
  useEffect(() => plot.current?.setData(points(series, step)));
  const text = series.map((one) => {
    const known = one.values.filter((value) => value !== null);
    if (known.length === 0) return `${one.title}: nothing yet`;
    return `${one.title}: now ${format(last(one.values) ?? 0)}, highest ${format(Math.max(...known))}`;
  });
  return <div class="plot" ref={place} role="img" aria-label={`${title} over five minutes. ${text.join(". ")}`} />;
}

/** A copy of one moment: rows that move every second cannot be read. */
function ChartTable(props: {
  title: string;
  series: Series[];
  step: number;
  shown: (value: number | null | undefined) => string;
}) {
  const copy = () => ({ at: now.peek(), series: props.series });
  const [{ at, series }, setCopy] = useState(copy);
  const length = Math.max(0, ...series.map((one) => one.values.length));
  return (
    <>
      <p class="chart-table-note">
        Until {timeOfDay(at)}.{" "}
        <button type="button" class="link" onClick={() => setCopy(copy())}>
          Update
        </button>
      </p>
      <div class="chart-table" tabIndex={0} role="region" aria-label={`${props.title}, each second`}>
        <table>
          <thead>
            <tr>
              <th scope="col">Time</th>
              {series.map((one) => (
                <th scope="col" class="number" key={one.title}>
                  {one.title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {Array.from({ length }, (_, back) => (
              <tr key={back}>
                <td>{timeOfDay(at - back * props.step * 1000)}</td>
                {series.map((one) => (
                  <td class="number" key={one.title}>
                    {props.shown(one.values[one.values.length - 1 - back])}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

const WIDTH = 88;
const TALL = 20;

/** `values` are already small numbers: differences, for drawing only. */
export function Sparkline({ values, text }: { values: number[]; text: string }) {
  if (values.length < 2) return <span class="none">–</span>;
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const x = (at: number) => 1 + (at / (values.length - 1)) * (WIDTH - 4);
  const y = (value: number) => TALL - 3 - ((value - low) / span) * (TALL - 6);
  const path = values.map((value, at) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const end = values.length - 1;
  return (
    <svg class="sparkline" width={WIDTH} height={TALL} role="img" aria-label={text}>
      <polyline points={path} />
      <circle cx={x(end)} cy={y(values[end] ?? low)} r="1.75" />
    </svg>
  );
}
