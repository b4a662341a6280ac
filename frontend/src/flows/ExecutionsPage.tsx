import type { ReactNode } from "react";
import { ALL_FLOWS, NO_PLACE, type UsagePlace } from "../address/address";
import { Link, useTitle } from "../address/navigation";
import { UsageTab } from "../usage/UsageTab";
import styles from "./FlowPage.module.css";

interface ExecutionsPageProps {
  /** Of all flows, also where none is left or none ever was; or of deleted flows only. */
  scope: "all" | "deleted";
  place: UsagePlace;
}

const HEADINGS = {
  all: {
    title: "Executions of all flows",
    description: "Also those of deleted flows, and calls of tools that no server offers.",
    other: { to: { page: "deleted", place: NO_PLACE }, label: "Of deleted flows only" },
  },
  deleted: {
    title: "Executions of deleted flows",
    description: "The record of an execution outlives its flow.",
    other: { to: { page: "executions", place: NO_PLACE }, label: "Executions of all flows" },
  },
} as const;

/** Executions wherever they belong: the record outlives flows, and knows calls that had none (spec 1.10, 4.8, 5.7). */
export function ExecutionsPage({ scope, place }: ExecutionsPageProps): ReactNode {
  const { title, description, other } = HEADINGS[scope];
  useTitle(title);
  return (
    <main className={styles.page}>
      <div className={`${styles.heading} ${styles.untabbed}`}>
        <nav aria-label="Breadcrumb" className={styles.trail}>
          <Link to={ALL_FLOWS}>Flows</Link> / {scope === "all" ? "executions" : "deleted"}
        </nav>
        <h1 className={styles.name}>{title}</h1>
        <div className={styles.line}>
          <p className={styles.description}>{description}</p>
          <Link to={other.to}>{other.label}</Link>
        </div>
      </div>
      <UsageTab key={scope} scope={scope} place={place} />
    </main>
  );
}
