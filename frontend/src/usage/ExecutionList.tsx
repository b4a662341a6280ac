import { type KeyboardEvent, type ReactNode, useRef, useState } from "react";
import type { Address } from "../address/address";
import type { ExecutionRow } from "../api/documents";
import styles from "./ExecutionList.module.css";
import { ExecutionListItem } from "./ExecutionListItem";

interface ExecutionListProps {
  rows: ExecutionRow[];
  /** The uuid of the execution whose detail is on show. */
  selected: string | null;
  addressOf(uuid: string): Address;
  showsFlow: boolean;
  isOutdated: boolean;
}

/** The executions of one page, newest first. One stop for the tab key; arrows, j and k, Home and End move within. */
export function ExecutionList({ rows, selected, addressOf, showsFlow, isOutdated }: ExecutionListProps): ReactNode {
  const list = useRef<HTMLUListElement>(null);
  const [visited, setVisited] = useState(selected);
  if (selected !== null && selected !== visited) setVisited(selected);
  const reachable = rows.some(({ uuid }) => uuid === visited) ? visited : rows[0]?.uuid;

  function onKeyDown(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const links = [...(list.current?.querySelectorAll<HTMLAnchorElement>("a[data-row]") ?? [])];
    const item = document.activeElement?.closest("li");
    const next = moved(
      event.key,
      links.findIndex((link) => link.closest("li") === item),
      links.length,
    );
    if (next === null) return;
    event.preventDefault();
    links[next]?.focus();
  }

  return (
    <ul ref={list} className={styles.list} aria-label="Executions" aria-busy={isOutdated} onKeyDown={onKeyDown}>
      {rows.map((execution) => (
        <ExecutionListItem
          key={execution.uuid}
          execution={execution}
          to={addressOf(execution.uuid)}
          isSelected={execution.uuid === selected}
          isReachable={execution.uuid === reachable}
          showsFlow={showsFlow}
        />
      ))}
    </ul>
  );
}

/** Where a key leads from the row at `index`; null when it is not one of the list's. */
function moved(key: string, index: number, count: number): number | null {
  switch (key) {
    case "ArrowDown":
    case "j":
      return Math.min(index + 1, count - 1);
    case "ArrowUp":
    case "k":
      return Math.max(index - 1, 0);
    case "Home":
      return 0;
    case "End":
      return count - 1;
    default:
      return null;
  }
}
