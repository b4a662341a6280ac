import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import "./graphiql.css";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";
import { examples } from "./examples";
import { fetchOrSignIn, mayRead } from "./signIn";

const url = `${window.location.origin}/graphql`;
const fetcher = createGraphiQLFetcher({
  url,
  subscriptionUrl: url.replace(/^http/, "ws"),
  enableIncrementalDelivery: false,
  fetch: fetchOrSignIn,
});

const root = document.getElementById("root");
if (root === null) throw new Error("graphiql.html has no #root");
if (await mayRead(url)) {
  createRoot(root).render(
    <GraphiQL fetcher={fetcher} defaultTabs={examples.map((query) => ({ query }))}>
      <GraphiQL.Logo>
        <a href="/">Flowtrail</a>
      </GraphiQL.Logo>
    </GraphiQL>,
  );
}
