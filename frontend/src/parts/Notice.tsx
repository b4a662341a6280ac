import type { ReactNode } from "react";
import styles from "./Notice.module.css";

interface NoticeProps {
  title: string;
  titleOrder?: 1 | 2 | 3;
  children?: ReactNode;
  role?: "status" | "alert";
}

/** What stands where there is nothing to show: why, and what to do next. */
export function Notice({ title, titleOrder = 2, children, role }: NoticeProps): ReactNode {
  const Heading = `h${titleOrder}` as const;
  return (
    <section className={styles.notice} role={role}>
      <Heading className={styles.title}>{title}</Heading>
      {children}
    </section>
  );
}
