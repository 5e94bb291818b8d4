import "./setup";
import { MantineProvider } from "@mantine/core";
import { render } from "@testing-library/react";
import type { ReactNode } from "react";

/** Renders with the providers that components rely on. */
export function renderUi(ui: ReactNode) {
  return render(<MantineProvider env="test">{ui}</MantineProvider>);
}
