/// <reference types="vitest/config" />
import { readFileSync } from "node:fs";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/**
 * Puts src/color-scheme.js before everything else in <head>, as a hashed file of its own:
 * it must run before the first paint, and a strict policy allows no inline script.
 */
function colorSchemeScript(): Plugin {
  const source = readFileSync(new URL("src/color-scheme.js", import.meta.url), "utf8");
  let reference = "";
  return {
    name: "color-scheme-script",
    apply: "build",
    buildStart() {
      reference = this.emitFile({ type: "asset", name: "color-scheme.js", source });
    },
    transformIndexHtml: {
      order: "post",
      handler(_html, context) {
        const file = Object.values(context.bundle ?? {}).find(
          (output) => output.type === "asset" && output.names.includes("color-scheme.js"),
        );
        if (!file) throw new Error(`color-scheme.js (${reference}) is missing from the bundle`);
        return [{ tag: "script", attrs: { src: `/${file.fileName}` }, injectTo: "head-prepend" }];
      },
    },
  };
}

const service = process.env.DASHBOARD_URL ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react(), colorSchemeScript()],
  server: {
    proxy: {
      "/api": service,
      "/v1": service,
      "/tokenize": service,
      // The page to a browser, the service's facts to everything else.
      "^/$": {
        target: service,
        bypass: ({ url, headers }) => (headers.accept?.includes("text/html") ? url : undefined),
      },
    },
  },
  // Resolves `composes` in CSS modules; PostCSS does so with a warning.
  css: { transformer: "lightningcss" },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 800,
  },
  test: {
    include: ["src/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    // Two busy cores can make a second of work last ten.
    testTimeout: 30_000,
  },
});
