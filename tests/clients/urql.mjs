/**
 * urql: asks ordinary queries, takes the cursor from one of them, and subscribes over server-sent events with its own fetch exchange.
 * It does not reconnect by itself: whoever subscribes does, after the last cursor.
 */

import { Client, fetchExchange } from "@urql/core";
import { fail, pause, print, query, report, url } from "./changes.mjs";

const client = new Client({ url, exchanges: [fetchExchange], fetchSubscriptions: true, preferGetMethod: false });

async function ask(document) {
  const { data, error } = await client.query(document, {}, { requestPolicy: "network-only" }).toPromise();
  if (error?.graphQLErrors.length) fail(error);
  return data;
}

/** Subscribe until the stream ends, whatever ends it, and return the last cursor. */
function follow(after) {
  return new Promise((resolve) => {
    let cursor = after;
    const { unsubscribe } = client.subscription(query, { after }).subscribe(({ data, error, hasNext }) => {
      if (error?.graphQLErrors.length) fail(error);
      if (!error && hasNext !== false) cursor = report({ data });
      if (error || hasNext === false) {
        unsubscribe();
        resolve(cursor);
      }
    });
  });
}

let cursor = (await ask("{ executions(first: 1) { changeCursor edges { node { status } } } }")).executions.changeCursor;
print({ subscribed: true });
for (;;) {
  cursor = await follow(cursor);
  print({ ended: true });
  while (!(await ask("{ __typename }"))) await pause();
}
