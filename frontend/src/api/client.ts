import { type CombinedError, cacheExchange, createClient, fetchExchange, mapExchange } from "urql";
import { noteRefusal } from "../session/session";

/** Make a client of the service this page came from. A new one remembers nothing. */
export function makeClient() {
  return createClient({
    url: "/graphql",
    preferGetMethod: false,
    requestPolicy: "cache-and-network",
    exchanges: [
      mapExchange({
        onError(error) {
          if (isUnauthenticated(error)) noteRefusal();
        },
      }),
      cacheExchange,
      fetchExchange,
    ],
  });
}

function isUnauthenticated(error: CombinedError): boolean {
  return error.graphQLErrors.some(({ extensions }) => extensions.code === "UNAUTHENTICATED");
}

/** What went wrong, for a person: the service's own words where it had any. */
export function explain(error: CombinedError): string {
  if (error.networkError && !error.response) return "The service can't be reached.";
  const [first] = error.graphQLErrors;
  return first ? first.message : `The service answered with status ${error.response?.status ?? "unknown"}.`;
}
