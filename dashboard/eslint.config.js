import js from "@eslint/js";
import jsxA11y from "eslint-plugin-jsx-a11y";
import reactHooks from "eslint-plugin-react-hooks";
import globals from "globals";
import tseslint from "typescript-eslint";

/**
 * Imports point one way: lib, api and components <- features <- app.
 *
 * Every folder may import api/types, which contains the types of the schema and no code.
 */
function mayNotImport(files, ...folders) {
  return refuseImports(files, [
    ...folders.flatMap((folder) => [`**/${folder}`, `**/${folder}/**`]),
    ...(folders.includes("api") ? ["!**/api", "**/api/*", "!**/api/types"] : []),
  ]);
}

function refuseImports(files, group) {
  const message = "Imports point one way: lib and components <- features <- app.";
  const patterns = [{ group, message }];
  return { files, rules: { "no-restricted-imports": ["error", { patterns }] } };
}

/** Selectors of strings and templates that name a path of the service. */
function refusePaths() {
  const path = String.raw`/(^|[^\w.])\u002f(api|v1|tokenize|detokenize)(\u002f|\b)/`;
  const message = "Only src/api/endpoints.ts names paths of the service.";
  return [
    { selector: `Literal[value=${path}]`, message },
    { selector: `TemplateElement[value.raw=${path}]`, message },
  ];
}

const FEATURES = ["overview", "requests", "engine", "keys", "alerts", "playground"];

export default tseslint.config(
  { ignores: ["dist", "playwright-report", "test-results", "src/api/schema.d.ts"] },
  js.configs.recommended,
  {
    files: ["**/*.{ts,tsx}"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // A number in a template is readable and safe.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
    },
  },
  {
    files: ["src/**/*.tsx"],
    extends: [reactHooks.configs.flat.recommended, jsxA11y.flatConfigs.strict],
    languageOptions: { globals: globals.browser },
  },
  { files: ["src/color-scheme.js"], languageOptions: { globals: globals.browser } },
  { files: ["{scripts,testing}/**", "*.js"], languageOptions: { globals: globals.node } },
  {
    // Requests go through the typed functions in src/api/endpoints.ts. Tests check what is sent.
    files: ["src/**/*.{ts,tsx}"],
    ignores: ["src/api/endpoints.ts", "src/**/*.test.{ts,tsx}"],
    rules: { "no-restricted-syntax": ["error", ...refusePaths()] },
  },
  mayNotImport(["src/lib/**"], "api", "components", "features", "app"),
  mayNotImport(["src/api/**"], "components", "features", "app"),
  mayNotImport(["src/components/**"], "api", "features", "app"),
  ...FEATURES.map((feature) => {
    const others = FEATURES.filter((other) => other !== feature);
    const group = [...others.map((other) => `../${other}/**`), "**/app", "**/pages"];
    return refuseImports([`src/features/${feature}/**`], group);
  }),
);
