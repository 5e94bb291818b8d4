import "./setup";
import { MantineProvider } from "@mantine/core";
import { render } from "@testing-library/react";
import type { ReactNode } from "react";

/** Renders with the providers that components rely on. */
export function renderUi(ui: ReactNode) {
  const within = (content: ReactNode) => <MantineProvider env="test">{content}</MantineProvider>;
  const rendered = render(within(ui));
  return { ...rendered, update: (content: ReactNode) => rendered.rerender(within(content)) };
}
