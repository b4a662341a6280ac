/** graphql-sse: resumes by changing the variables it sends again after a reconnect. */

import { createClient } from "graphql-sse";
import { after, fail, pause, print, query, report, url } from "./changes.mjs";

const request = { query, variables: { after } };

const client = createClient({
  url,
  retryAttempts: Infinity,
  retry: pause,
  on: { connecting: (isRetry) => isRetry && print({ retrying: true }) },
});

client.subscribe(request, {
  next(response) {
    request.variables.after = report(response);
  },
  error: fail,
  complete: () => fail("completed"),
});
