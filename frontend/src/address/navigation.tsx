/** Moving through the page: the history's entries are addresses. */

import {
  type AnchorHTMLAttributes,
  type MouseEvent,
  type ReactNode,
  type Ref,
  useEffect,
  useSyncExternalStore,
} from "react";
import { type Address, formatAddress, parseAddress } from "./address";

const listeners = new Set<() => void>();
let current = read();

function read(): { url: string; address: Address } {
  const { pathname, search } = window.location;
  return { url: pathname + search, address: parseAddress(pathname, search) };
}

function changed(): void {
  current = read();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

window.addEventListener("popstate", changed);

/** Go to an address; `replace` leaves no entry in the history, as for each letter of a search. */
export function navigate(address: Address, { replace = false } = {}): void {
  const url = formatAddress(address);
  if (url === current.url) return;
  if (replace) window.history.replaceState(null, "", url);
  else window.history.pushState(null, "", url);
  changed();
}

/** The address the reader is at. */
export function useAddress(): Address {
  return useSyncExternalStore(subscribe, () => current).address;
}

/** Name the browser's tab after what is shown. */
export function useTitle(...parts: (string | undefined)[]): void {
  const title = [...parts.filter(Boolean), "Flowtrail"].join(" · ");
  useEffect(() => {
    document.title = title;
  }, [title]);
}

interface LinkProps extends Omit<AnchorHTMLAttributes<HTMLAnchorElement>, "href"> {
  to: Address;
  replace?: boolean;
  children?: ReactNode;
  ref?: Ref<HTMLAnchorElement>;
}

/** A link within the page; opens in a new tab where the reader asks for one, like any link. */
export function Link({ to, replace = false, onClick, ...rest }: LinkProps): ReactNode {
  function follow(event: MouseEvent<HTMLAnchorElement>): void {
    onClick?.(event);
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (event.defaultPrevented || !isPlain) return;
    event.preventDefault();
    navigate(to, { replace });
  }
  return <a href={formatAddress(to)} onClick={follow} {...rest} />;
}
