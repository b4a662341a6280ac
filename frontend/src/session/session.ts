/** Whether the service lets this browser read (spec 5.10). The token itself lives in a cookie that no script can see. */

import { useSyncExternalStore } from "react";

/** "open": nothing was refused yet; "refused": the service asks who is there; "entered": signed in since this page was opened. */
export type Session = "open" | "refused" | "entered";

const listeners = new Set<() => void>();
let session: Session = "open";

function become(next: Session): void {
  if (session === next) return;
  session = next;
  for (const listener of listeners) listener();
}

/** Note that the service answered UNAUTHENTICATED. */
export function noteRefusal(): void {
  become("refused");
}

export function useSession(): Session {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => session,
  );
}

/** Trade a token for the cookie. Returns why not, or null when it worked. */
export async function signIn(token: string): Promise<string | null> {
  const response = await send("POST", JSON.stringify({ token }));
  if (response === null) return "The service can't be reached. Try again in a moment.";
  if (response.status === 401) return "This token is not valid, or no longer.";
  if (!response.ok) return refusalOf(response);
  become("entered");
  return null;
}

async function refusalOf(response: Response): Promise<string> {
  try {
    return ((await response.json()) as { message: string }).message;
  } catch {
    return `The service answered with status ${response.status}.`;
  }
}

/** Give the cookie back. The page is loaded anew, so that nothing read with it stays in memory. */
export async function signOut(): Promise<void> {
  await send("DELETE");
  window.location.reload();
}

export interface SessionInfo {
  /** Whether this browser holds the cookie of a session. */
  isSignedIn: boolean;
  /** Where signing in with the reader's organisation begins; null where only tokens are taken. */
  signInUrl: string | null;
}

/** Ask the service how this browser may come in. Where it can't be asked, nothing is known of either. */
export async function readSession(): Promise<SessionInfo> {
  const response = await send("GET");
  const info = response?.ok ? ((await response.json()) as Partial<SessionInfo>) : {};
  return { isSignedIn: info.isSignedIn ?? false, signInUrl: info.signInUrl ?? null };
}

/** The address that signs in with the reader's organisation and comes back to `path`. */
export function organisationSignIn(signInUrl: string, path: string): string {
  const url = new URL(signInUrl, window.location.origin);
  url.searchParams.set("to", path);
  return url.href;
}

async function send(method: string, body?: string): Promise<Response | null> {
  try {
    return await fetch("/session", {
      method,
      ...(body ? { body, headers: { "content-type": "application/json" } } : {}),
    });
  } catch {
    return null;
  }
}
