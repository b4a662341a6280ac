/** graphql-ws: resumes by changing the variables it sends again after a reconnect. */

import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { after, fail, pause, print, query, report, url } from "./changes.mjs";

const request = { query, variables: { after } };

const client = createClient({
  url: url.replace(/^http/, "ws"),
  webSocketImpl: WebSocket,
  retryAttempts: Infinity,
  shouldRetry: () => true,
  retryWait: pause,
  on: { closed: ({ code }) => print({ closed: code }) },
});

client.subscribe(request, {
  next(response) {
    request.variables.after = report(response);
  },
  error: fail,
  complete: () => fail("completed"),
});
