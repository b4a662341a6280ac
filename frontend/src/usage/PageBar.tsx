import type { ReactNode } from "react";
import type { Address } from "../address/address";
import { Link } from "../address/navigation";
import type { PageCursors, PageLink } from "../api/documents";
import { ChevronIcon } from "../parts/icons";
import styles from "./PageBar.module.css";
import { withGaps } from "./withGaps";

interface PageBarProps {
  cursors: PageCursors;
  addressOf(cursor: string | null): Address;
}

/** Page numbers with previous and next; nothing when there is one page (spec 5.3). */
export function PageBar({ cursors, addressOf }: PageBarProps): ReactNode {
  const { first, around, last, previous, next } = cursors;
  if (previous === null && next === null) return null;
  const numbers = withGaps([first, ...around, ...(last ? [last] : [])]);
  return (
    <nav className={styles.bar} aria-label="Pages">
      <Step link={previous} label="Previous page" addressOf={addressOf}>
        <ChevronIcon direction="left" />
      </Step>
      {numbers.map((link) =>
        typeof link === "string" ? (
          <span key={link} className={styles.gap} aria-hidden="true">
            …
          </span>
        ) : (
          <Link
            key={link.page}
            to={addressOf(link.cursor)}
            className={styles.page}
            aria-label={`Page ${link.page}`}
            aria-current={link.isCurrent ? "page" : undefined}
          >
            {link.page}
          </Link>
        ),
      )}
      <Step link={next} label="Next page" addressOf={addressOf}>
        <ChevronIcon direction="right" />
      </Step>
    </nav>
  );
}

interface StepProps {
  link: PageLink | null;
  label: string;
  addressOf(cursor: string | null): Address;
  children: ReactNode;
}

function Step({ link, label, addressOf, children }: StepProps): ReactNode {
  if (link === null) {
    return (
      <span className={styles.page} data-disabled="" aria-hidden="true">
        {children}
      </span>
    );
  }
  return (
    <Link to={addressOf(link.cursor)} className={styles.page} aria-label={label}>
      {children}
    </Link>
  );
}
