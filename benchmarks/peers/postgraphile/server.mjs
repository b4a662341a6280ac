// PostGraphile 5 on DATABASE_URL: the Amber preset in production mode, prepared statements (its default), no settings for each request
// (which would cost a transaction), and the pool and planner settings that Flowtrail has.
import { createServer } from "node:http";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";

const instance = postgraphile({
  extends: [PostGraphileAmberPreset],
  // Nothing is written here.
  disablePlugins: ["PgMutationCreatePlugin", "PgMutationUpdateDeletePlugin"],
  pgServices: [
    makePgService({
      connectionString: process.env.DATABASE_URL,
      schemas: ["public"],
      poolConfig: { max: 10, options: "-c timezone=UTC -c plan_cache_mode=force_generic_plan -c default_transaction_read_only=on" },
    }),
  ],
  grafserv: { graphiql: false, watch: false, outputDataAsString: true },
  grafast: { explain: false },
});
const server = createServer();
await instance.createServ(grafserv).addTo(server);
await instance.getSchema();
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
