import { Skeleton } from "@mantine/core";
import type { ReactNode } from "react";
import styles from "./SkeletonRows.module.css";

/** The outline of rows that are on their way, as high as they will be. */
export function SkeletonRows({ count, height = 60 }: { count: number; height?: number }): ReactNode {
  return (
    <div role="status" aria-label="Loading">
      {Array.from({ length: count }, (_, index) => index).map((index) => (
        <div key={index} className={styles.row} style={{ height }}>
          <Skeleton height={12} width={`${30 + ((index * 17) % 25)}%`} radius="sm" />
          {height > 44 && <Skeleton height={10} width={`${50 + ((index * 29) % 40)}%`} radius="sm" />}
        </div>
      ))}
    </div>
  );
}
