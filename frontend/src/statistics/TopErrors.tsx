import type { ReactNode } from "react";
import { NO_PLACE } from "../address/address";
import { Link } from "../address/navigation";
import type { Statistics } from "../api/documents";
import { formatTime, formatUtc } from "../text/time";
import { ERROR_KINDS } from "../usage/ExecutionError";
import styles from "./StatisticsTab.module.css";

interface TopErrorsProps {
  errors: Statistics["topErrors"];
  server: string;
  toolName: string;
}

/** The errors that came up most, each with its newest execution to look into. */
export function TopErrors({ errors, server, toolName }: TopErrorsProps): ReactNode {
  return (
    <section className={styles.section} aria-label="Top errors">
      <h2 className={styles.title}>Top errors</h2>
      {errors.length === 0 ? (
        <p className={styles.none}>None in this time.</p>
      ) : (
        <table className={styles.errors}>
          <thead>
            <tr>
              <th scope="col" className={styles.count}>
                Count
              </th>
              <th scope="col">Error</th>
              <th scope="col" className={styles.wide}>
                Node
              </th>
              <th scope="col">Last</th>
            </tr>
          </thead>
          <tbody>
            {errors.map(({ kind, nodeId, message, count, lastSeenAt, sample }) => (
              <tr key={`${kind} ${nodeId} ${message}`}>
                <td className={styles.count}>{count.toLocaleString()}</td>
                <td>
                  {ERROR_KINDS[kind]}
                  <div className={styles.message}>{message}</div>
                </td>
                <td className={styles.wide}>{nodeId && <code>{nodeId}</code>}</td>
                <td title={formatUtc(lastSeenAt)}>
                  {sample ? (
                    <Link to={{ page: "usage", server, toolName, place: { ...NO_PLACE, execution: sample.uuid } }}>
                      {formatTime(lastSeenAt, new Date())}
                    </Link>
                  ) : (
                    formatTime(lastSeenAt, new Date())
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
