import "uplot/dist/uPlot.min.css";
import { useComputedColorScheme } from "@mantine/core";
import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import { STATUSES } from "../address/address";
import type { Statistics } from "../api/documents";
import { formatFullTime } from "../text/time";
import { STATUS_NAMES, StatusCircle } from "../usage/ExecutionStatusBadge";
import styles from "./StatisticsTab.module.css";

type Buckets = Statistics["histogram"];

const HEIGHT = 220;
const COLOURS = {
  PENDING: "--flowtrail-pending",
  FULFILLED: "--flowtrail-fulfilled",
  ERROR: "--flowtrail-error",
} as const;
/** From the bottom of a bar to its top: what went wrong stands on the ground. */
const STACK = ["ERROR", "FULFILLED", "PENDING"] as const;

/** How many executions started when, and how they ended. */
export function Histogram({ buckets }: { buckets: Buckets }): ReactNode {
  const [pointed, setPointed] = useState<number | null>(null);
  const bucket = pointed === null ? undefined : buckets[pointed];
  return (
    <section className={styles.section} aria-label="Executions over time">
      <h2 className={styles.title}>Executions over time</h2>
      <Chart buckets={buckets} onPoint={setPointed} />
      <p className={styles.legend}>
        {STATUSES.map((status) => (
          <span key={status}>
            <StatusCircle status={status} isStill />
            {STATUS_NAMES[status]}
            {bucket && ` ${countOf(bucket, status).toLocaleString()}`}
          </span>
        ))}
        {bucket && (
          <span>
            {formatFullTime(bucket.from)} – {formatFullTime(bucket.to)}
          </span>
        )}
      </p>
      <BucketTable buckets={buckets} />
    </section>
  );
}

interface ChartProps {
  buckets: Buckets;
  onPoint(index: number | null): void;
}

function Chart({ buckets, onPoint }: ChartProps): ReactNode {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  const data = useMemo(() => stacked(buckets), [buckets]);
  const latest = useRef({ data, buckets });

  // biome-ignore lint/correctness/useExhaustiveDependencies: a canvas takes its colours once, so a new scheme draws a new one
  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const drawn = new uPlot(
      optionsFor(element, () => rangeOf(latest.current.buckets), onPoint),
      latest.current.data,
      element,
    );
    plot.current = drawn;
    const observer = new ResizeObserver(() => drawn.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      drawn.destroy();
    };
  }, [scheme, onPoint]);

  useEffect(() => {
    latest.current = { data, buckets };
    plot.current?.setData(data);
  }, [data, buckets]);
  return <div ref={frame} className={styles.chart} aria-hidden="true" />;
}

/** The numbers behind the bars, for who can't see them. */
function BucketTable({ buckets }: { buckets: Buckets }): ReactNode {
  return (
    <div className="visuallyHidden">
      <table>
        <caption>Executions over time</caption>
        <thead>
          <tr>
            <th scope="col">From</th>
            {STATUSES.map((status) => (
              <th key={status} scope="col">
                {STATUS_NAMES[status]}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {buckets.map((bucket) => (
            <tr key={bucket.from}>
              <th scope="row">{formatFullTime(bucket.from)}</th>
              {STATUSES.map((status) => (
                <td key={status}>{countOf(bucket, status)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function countOf(bucket: Buckets[number], status: (typeof STATUSES)[number]): number {
  return bucket.byStatus.find((counted) => counted.status === status)?.count ?? 0;
}

/** The edges of the bars in seconds. The first and last bucket are cut to the range, their bars are drawn as wide as the others. */
function barsOf(buckets: Buckets): { from: number; to: number }[] {
  const spans = buckets.map(({ from, to }) => ({ from: Date.parse(from) / 1000, to: Date.parse(to) / 1000 }));
  const width = Math.max(...spans.map(({ from, to }) => to - from));
  return spans.map(({ from, to }, index) =>
    index === 0 && spans.length > 1 ? { from: to - width, to } : { from, to: from + width },
  );
}

/** The middles of the bars, and of each status the height its bars reach to; the highest first, for lower ones are drawn over it. */
function stacked(buckets: Buckets): uPlot.AlignedData {
  const times = barsOf(buckets).map(({ from, to }) => (from + to) / 2);
  const heights = STACK.map((_, index) =>
    buckets.map((bucket) => STACK.slice(0, index + 1).reduce((sum, status) => sum + countOf(bucket, status), 0)),
  );
  return [times, ...heights.reverse()];
}

function rangeOf(buckets: Buckets): uPlot.Range.MinMax {
  const bars = barsOf(buckets);
  return [bars[0]?.from ?? null, bars.at(-1)?.to ?? null];
}

function optionsFor(
  element: HTMLElement,
  range: () => uPlot.Range.MinMax,
  onPoint: (index: number | null) => void,
): uPlot.Options {
  const css = getComputedStyle(element);
  const stroke = css.getPropertyValue("--mantine-color-dimmed");
  const grid = { stroke: css.color, width: 0.1 };
  const bars = uPlot.paths.bars?.({ size: [0.9] });
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
    scales: { x: { range }, y: { range: (_plot, _min, max) => [0, Math.max(max, 1) * 1.05] } },
    axes: [
      {
        stroke,
        grid: { show: false },
        ticks: { show: false },
        size: 30,
        space: 90,
        values: (_plot, ticks) => ticks.map(tickName(ticks)),
      },
      {
        stroke,
        grid,
        ticks: { show: false },
        size: 48,
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 1e4, 1e5, 1e6],
      },
    ],
    series: [
      {},
      ...STACK.toReversed().map((status) => ({
        fill: resolved(element, COLOURS[status]),
        width: 0,
        points: { show: false },
        ...(bars && { paths: bars }),
      })),
    ],
    hooks: { setCursor: [({ cursor }) => onPoint(cursor.idx ?? null)] },
  };
}

/** Names a time on the axis by as much of it as tells it from its neighbours. */
function tickName(ticks: number[]): (seconds: number) => string {
  const step = (ticks[1] ?? Number.POSITIVE_INFINITY) - (ticks[0] ?? 0);
  const format = new Intl.DateTimeFormat(
    undefined,
    step >= 86_400
      ? { month: "short", day: "numeric" }
      : { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(step < 60 && { second: "2-digit" }) },
  );
  return (seconds) => format.format(seconds * 1000);
}

/** A canvas knows no custom properties and no light-dark(): let an element work the colour out. */
function resolved(element: HTMLElement, property: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${property})`;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
