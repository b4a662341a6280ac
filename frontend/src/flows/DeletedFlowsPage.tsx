import type { ReactNode } from "react";
import { ALL_FLOWS, type UsagePlace } from "../address/address";
import { Link, useTitle } from "../address/navigation";
import { UsageTab } from "../usage/UsageTab";
import styles from "./FlowPage.module.css";

/** The executions that have no flow any more (spec 1.10, 5.7). */
export function DeletedFlowsPage({ place }: { place: UsagePlace }): ReactNode {
  useTitle("Deleted flows");
  return (
    <main className={styles.page}>
      <div className={`${styles.heading} ${styles.untabbed}`}>
        <nav aria-label="Breadcrumb" className={styles.trail}>
          <Link to={ALL_FLOWS}>Flows</Link> / deleted
        </nav>
        <h1 className={styles.name}>Executions of deleted flows</h1>
        <p className={styles.description}>The record of an execution outlives its flow.</p>
      </div>
      <UsageTab scope={null} place={place} />
    </main>
  );
}
