import { Button } from "@mantine/core";
import { Component, type ReactNode } from "react";
import { Notice } from "../../components/Notice";

interface PageBoundaryState {
  error: Error | null;
}

/** Keeps the shell when a page cannot be rendered or its script cannot be loaded. */
export class PageBoundary extends Component<{ children: ReactNode }, PageBoundaryState> {
  override state: PageBoundaryState = { error: null };

  static getDerivedStateFromError(error: unknown): PageBoundaryState {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    const isMissing = /dynamically imported module|Importing a module script/i.test(error.message);
    return (
      <Notice tone="bad" title={isMissing ? "This page could not be loaded" : "This page failed"}>
        <p>
          {isMissing
            ? "The service does not answer, or it now serves a newer dashboard."
            : error.message}
        </p>
        <p>
          <Button variant="default" size="xs" onClick={() => window.location.reload()}>
            Reload
          </Button>
        </p>
      </Notice>
    );
  }
}
