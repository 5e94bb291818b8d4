import { defineConfig } from "@playwright/test";

/**
 * The project `service` needs running services: DASHBOARD_URL and DASHBOARD_KEY name one,
 * DASHBOARD_OPEN_URL another that requires no key.
 * Files of the project `mock` start the mock server themselves and need only a build in dist/.
 */
export default defineConfig({
  testDir: "e2e",
  outputDir: "test-results",
  // On two busy cores a second of work can take ten.
  timeout: 180_000,
  expect: { timeout: 30_000 },
  // Files run in parallel, each with its own mock; the tests of a file run one after the other.
  workers: 2,
  projects: [
    { name: "service", testMatch: "service.spec.ts" },
    { name: "mock", testIgnore: "service.spec.ts" },
  ],
  forbidOnly: true,
  reporter: [["list"]],
  use: {
    viewport: { width: 1280, height: 900 },
    launchOptions: {
      executablePath: process.env.CHROMIUM_PATH ?? "/usr/bin/chromium",
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
  },
});
