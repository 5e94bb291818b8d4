/// <reference types="vitest/config" />
import { readFileSync } from "node:fs";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/**
 * Puts src/color-scheme.js first into <head>, as a hashed file of its own: it must run before the
 * first paint, and the content policy allows no inline script.
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
    // The release notes are CHANGELOG.md, in the folder above.
    fs: { allow: [".."] },
    proxy: {
      "/api": service,
      "/v1": service,
      "/tokenize": service,
      // Browsers get the page, everything else the facts of the service.
      "^/$": {
        target: service,
        bypass: ({ url, headers }) => (headers.accept?.includes("text/html") ? url : undefined),
      },
    },
  },
  css: {
    // It resolves `composes` in CSS modules; PostCSS does so with a warning.
    transformer: "lightningcss",
    // Only class and animation names are local: modules share grid areas and containers.
    lightningcss: { cssModules: { grid: false, container: false, customIdents: false } },
  },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 800,
  },
  test: {
    include: ["src/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    // On two busy cores a second of work can take ten.
    testTimeout: 30_000,
  },
});
