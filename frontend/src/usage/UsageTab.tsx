import { Button } from "@mantine/core";
import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { type Address, isFiltered, NO_FILTER, type UsageFilter, type UsagePlace } from "../address/address";
import { Link, navigate } from "../address/navigation";
import { Failure } from "../parts/Failure";
import { LiveSign } from "../parts/LiveSign";
import { Notice } from "../parts/Notice";
import { SkeletonRows } from "../parts/SkeletonRows";
import { Stale } from "../parts/Stale";
import { ExecutionDetail } from "./ExecutionDetail";
import { ExecutionDetailPlaceholder } from "./ExecutionDetailPlaceholder";
import { ExecutionEmptyState } from "./ExecutionEmptyState";
import { ExecutionFilterBar } from "./ExecutionFilterBar";
import { ExecutionList } from "./ExecutionList";
import { PageBar } from "./PageBar";
import { Signals } from "./signals";
import styles from "./UsageTab.module.css";
import { type Scope, type Usage, useUsage } from "./useUsage";

interface UsageTabProps {
  scope: Scope;
  place: UsagePlace;
}

/** The list of executions left, the detail of the selected one right, as in a mail reader (spec 5.1). */
export function UsageTab({ scope, place }: UsageTabProps): ReactNode {
  const [signals] = useState(() => new Signals());
  const usage = useUsage(scope, place, signals);
  const detail = useRef<HTMLElement>(null);
  const list = useRef<HTMLElement>(null);
  const { execution } = place;

  const addressOf = useAddressOf(scope);
  const close = useCallback(() => {
    navigate(addressOf({ ...place, execution: null }));
    // Where there is room for one column only, the list is back with the next frame.
    requestAnimationFrame(() => list.current?.querySelector<HTMLElement>('a[data-row][tabindex="0"]')?.focus());
  }, [addressOf, place]);

  useEffect(() => {
    if (execution !== null) detail.current?.scrollTo(0, 0);
  }, [execution]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another page is the reason
  useEffect(() => {
    list.current?.scrollTo(0, 0);
    list.current?.querySelector("[data-rows]")?.scrollTo(0, 0);
  }, [place.after]);
  useEscape(execution === null ? null : close);

  return (
    <div className={styles.columns} data-detail={execution !== null || undefined}>
      <section ref={list} className={styles.list} aria-label="List of executions">
        <ExecutionFilterBar
          filter={place.filter}
          onChange={(filter, isTyping) => navigate(addressOf({ ...place, filter, after: null }), { replace: isTyping })}
        />
        <Summary usage={usage} place={place} addressOf={addressOf} />
        <ListContent usage={usage} scope={scope} place={place} addressOf={addressOf} />
      </section>
      <section ref={detail} className={styles.detail} aria-label="Execution">
        {execution === null ? (
          <ExecutionDetailPlaceholder />
        ) : (
          <ExecutionDetail key={execution} uuid={execution} scope={scope} signals={signals} onClose={close} />
        )}
      </section>
    </div>
  );
}

interface SummaryProps {
  usage: Usage;
  place: UsagePlace;
  addressOf(place: UsagePlace): Address;
}

/** One line of fixed height: how many, how to see all, what is new, and how fresh it is. */
function Summary({ usage: { page, newcomers, feed, isPolling }, place, addressOf }: SummaryProps): ReactNode {
  return (
    <div className={styles.summary}>
      {page && <span>{counted(page.totalCount, page.totalCountIsExact)}</span>}
      {isFiltered(place.filter) && (
        <Button
          variant="subtle"
          size="compact-xs"
          onClick={() => navigate(addressOf({ ...place, filter: NO_FILTER, after: null }))}
        >
          Clear filters
        </Button>
      )}
      <span className={styles.fresh}>
        {newcomers > 0 && (
          <Button component={Link} to={addressOf({ ...place, after: null })} size="compact-xs" variant="light">
            {newcomers} new
          </Button>
        )}
        <LiveSign feed={feed} isPolling={isPolling} />
      </span>
    </div>
  );
}

interface ListContentProps extends UsageTabProps {
  usage: Usage;
  addressOf(place: UsagePlace): Address;
}

function ListContent({ usage, scope, place, addressOf }: ListContentProps): ReactNode {
  const { page, rows, error } = usage;
  const { filter, after, execution } = place;
  if (page === undefined) {
    return error ? <Failure what="The executions" error={error} retry={usage.refresh} /> : <SkeletonRows count={12} />;
  }
  if (page === null) return <Notice title="There is no such flow" />;
  return (
    <>
      {error && <Stale what="The list" error={error} retry={usage.refresh} />}
      <div className={styles.rows} data-rows="">
        {rows.length > 0 ? (
          <ExecutionList
            rows={rows}
            selected={execution}
            addressOf={(uuid) => addressOf({ ...place, execution: uuid })}
            showsFlow={typeof scope === "string"}
            isOutdated={usage.isOutdated}
          />
        ) : (
          <Nothing
            scope={scope}
            filter={filter}
            after={after}
            further={page.pageCursors?.next?.cursor ?? null}
            addressOf={addressOf}
          />
        )}
      </div>
      {page.pageCursors && (
        <PageBar cursors={page.pageCursors} addressOf={(cursor) => addressOf({ ...place, after: cursor })} />
      )}
    </>
  );
}

interface NothingProps {
  scope: Scope;
  filter: UsageFilter;
  after: string | null;
  /** Where to go on: of what is rare, a page looks through so many executions only. */
  further: string | null;
  addressOf(place: UsagePlace): Address;
}

function Nothing({ scope, filter, after, further, addressOf }: NothingProps): ReactNode {
  if (further !== null) {
    return (
      <Notice title="Nothing found so far">
        <p>There are more executions to look through.</p>
        <Button component={Link} to={addressOf({ filter, after: further, execution: null })} variant="default">
          Search on
        </Button>
      </Notice>
    );
  }
  if (after === null && !isFiltered(filter)) return <ExecutionEmptyState scope={scope} />;
  const to = after === null ? { filter: NO_FILTER, after, execution: null } : { filter, after: null, execution: null };
  return (
    <Notice title={after === null ? "No execution matches" : "This page has no executions any more"}>
      <p>{after === null ? "Widen the filters, or show all executions." : "They may have been purged since."}</p>
      <Button component={Link} to={addressOf(to)} variant="default">
        {after === null ? "Clear filters" : "Go to the first page"}
      </Button>
    </Notice>
  );
}

function counted(total: number | null, isExact: boolean | null): string {
  if (total === null || (total === 0 && isExact === false)) return "";
  const number = total.toLocaleString();
  return `${isExact === false ? `More than ${number}` : number} ${total === 1 ? "execution" : "executions"}`;
}

/** Return how a place in the list of `scope` is written as an address. */
function useAddressOf(scope: Scope): (place: UsagePlace) => Address {
  const page = typeof scope === "string" ? (scope === "all" ? "executions" : "deleted") : "usage";
  const { server, toolName } = typeof scope === "string" ? { server: "", toolName: "" } : scope;
  return useCallback(
    (place) => (page === "usage" ? { page, server, toolName, place } : { page, place }),
    [page, server, toolName],
  );
}

/** Call `leave` on Escape, unless something in front of the page took it. */
function useEscape(leave: (() => void) | null): void {
  useEffect(() => {
    if (leave === null) return;
    function onKeyDown(event: KeyboardEvent): void {
      if (event.key === "Escape" && !event.defaultPrevented) leave?.();
    }
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, [leave]);
}
