/** Who may not read is led from GraphiQL to the page's sign-in, which leads back. GraphiQL keeps what was typed. */

const SIGN_IN = "/sign-in?to=/graphql";

/** As `fetch`, for GraphQL over HTTP; an answer that asks who is there leads to the sign-in. */
export async function fetchOrSignIn(...request: Parameters<typeof fetch>): Promise<Response> {
  const response = await fetch(...request);
  if (await isRefused(response.clone())) window.location.assign(SIGN_IN);
  return response;
}

/** Whether this browser may read; if not, it is on its way to the sign-in. Introspection would not say why it is refused. */
export async function mayRead(url: string): Promise<boolean> {
  const body = JSON.stringify({ query: "{ executions(first: 0) { changeCursor } }" });
  try {
    const response = await fetchOrSignIn(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    return !(await isRefused(response));
  } catch {
    return true; // The service can't be reached: GraphiQL says so itself.
  }
}

async function isRefused(response: Response): Promise<boolean> {
  try {
    const { errors } = (await response.json()) as { errors?: { extensions?: { code?: string } }[] };
    return errors?.some(({ extensions }) => extensions?.code === "UNAUTHENTICATED") ?? false;
  } catch {
    return false;
  }
}
