import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const OUTPUT = "../src/flowtrail/static";
const SERVICE = process.env.FLOWTRAIL_URL ?? "http://127.0.0.1:8000";

/** Writes `<file>.gz` beside every text file of the build, so that the service compresses nothing while it serves. */
function gzipped(): Plugin {
  return {
    name: "gzipped",
    apply: "build",
    closeBundle() {
      for (const entry of readdirSync(OUTPUT, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(js|css|svg)$/.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: constants.Z_BEST_COMPRESSION }));
      }
    },
  };
}

/** GraphiQL is built by itself, `--mode graphiql`: it shares no file with the page, and its icons are named after its functions. */
export default defineConfig(({ mode }) => ({
  plugins: [react(), gzipped()],
  // The service puts a fresh nonce in its place with every page it sends.
  html: { cspNonce: "__CSP_NONCE__" },
  build: {
    outDir: OUTPUT,
    emptyOutDir: mode !== "graphiql",
    // The service's Content-Security-Policy allows no data: scripts or styles, so nothing is inlined.
    assetsInlineLimit: 0,
    // light-dark(), without which a stylesheet would be written twice.
    target: ["chrome123", "firefox120", "safari17.5"],
    chunkSizeWarningLimit: 5000,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: mode === "graphiql" ? "graphiql.html" : "index.html",
      output: { keepNames: mode === "graphiql" },
      onLog(level, log, report) {
        // Directives of React's compiler, which are of no use once it has run.
        if (log.code !== "MODULE_LEVEL_DIRECTIVE") report(level, log);
      },
    },
  },
  server: {
    proxy: {
      "/graphql": { target: SERVICE, ws: true },
      "/session": { target: SERVICE },
    },
  },
  // Property tests take as long as the machine lets them.
  test: { include: ["src/**/*.test.ts", "src/**/*.test.tsx"], testTimeout: 60_000 },
}));
