import { Progress } from "@mantine/core";
import { Fragment, type ReactNode } from "react";
import type { Statistics } from "../api/documents";
import { formatDuration } from "../text/duration";
import styles from "./StatisticsTab.module.css";

/** How long executions took: half of them at most p50, and so on. */
export function Percentiles({ statistics }: { statistics: Statistics }): ReactNode {
  const percentiles = [
    ["p50", statistics.p50DurationMs],
    ["p95", statistics.p95DurationMs],
    ["p99", statistics.p99DurationMs],
  ] as const;
  const longest = Math.max(...percentiles.map(([, duration]) => duration ?? 0));
  return (
    <section className={styles.section} aria-label="Durations">
      <h2 className={styles.title}>Durations</h2>
      <dl className={styles.percentiles}>
        {percentiles.map(([name, duration]) => (
          <Fragment key={name}>
            <dt>{name}</dt>
            <dd aria-hidden="true">
              <Progress value={longest > 0 ? ((duration ?? 0) / longest) * 100 : 0} size="lg" aria-label={name} />
            </dd>
            <dd className={styles.duration}>{duration === null ? "–" : formatDuration(duration)}</dd>
          </Fragment>
        ))}
      </dl>
    </section>
  );
}
