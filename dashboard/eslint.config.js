import js from "@eslint/js";
import jsxA11y from "eslint-plugin-jsx-a11y";
import reactHooks from "eslint-plugin-react-hooks";
import globals from "globals";
import tseslint from "typescript-eslint";

/** Imports point one way: lib, api and components <- features <- app. */
function mayNotImport(files, ...folders) {
  const patterns = folders.map((folder) => ({
    group: [`**/${folder}`, `**/${folder}/**`],
    message: "Imports point one way: lib and components <- features <- app.",
  }));
  return { files, rules: { "no-restricted-imports": ["error", { patterns }] } };
}

export default tseslint.config(
  { ignores: ["dist", "playwright-report", "test-results"] },
  js.configs.recommended,
  {
    files: ["**/*.{ts,tsx}"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // A number in a template is plain to read and cannot go wrong.
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
  mayNotImport(["src/lib/**"], "api", "components", "features", "app"),
  mayNotImport(["src/api/**"], "components", "features", "app"),
  mayNotImport(["src/components/**"], "api", "features", "app"),
  mayNotImport(["src/features/overview/**"], "playground", "app"),
  mayNotImport(["src/features/playground/**"], "overview", "app"),
);
