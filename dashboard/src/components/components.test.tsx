// @vitest-environment jsdom
import { screen, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { Chart } from "../lib/chart";
import { renderUi } from "../testing/render";
import { ChartLegend } from "./ChartLegend";
import { ChartTable } from "./ChartTable";
import { QueryGate } from "./QueryGate";

const chart: Chart = {
  id: "ttft",
  title: "Time to first token",
  unitWords: "",
  unit: "s",
  times: [0, 2, 4],
  samples: [30, 5, 0],
  emptyWords: "no traffic",
  lines: [{ name: "p95", values: [0.2, 0.4, null], color: "series-1", kind: "line" }],
};

describe("ChartLegend", () => {
  it("shows the newest value, greyed with n when it rests on few samples", () => {
    renderUi(<ChartLegend chart={chart} cursor={null} />);
    expect(screen.getByText("400 ms")).toHaveAttribute("data-faint", "true");
    expect(screen.getByText("n = 5")).toBeInTheDocument();
  });

  it("shows the value under the crosshair, and a dash where there were no samples", () => {
    const { unmount } = renderUi(<ChartLegend chart={chart} cursor={0} />);
    expect(screen.getByText("200 ms")).toHaveAttribute("data-faint", "false");
    unmount();
    renderUi(<ChartLegend chart={chart} cursor={2} />);
    expect(screen.getByText("–")).toBeInTheDocument();
  });
});

describe("ChartTable", () => {
  it("lists the newest point first, without inventing values", () => {
    renderUi(<ChartTable chart={chart} />);
    const rows = screen.getAllByRole("row").slice(1);
    const cells = rows.map((row) =>
      within(row)
        .getAllByRole("cell")
        .map((cell) => cell.textContent),
    );
    expect(cells).toEqual([
      ["–", "0"],
      ["400 ms", "5"],
      ["200 ms", "30"],
    ]);
  });
});

describe("QueryGate", () => {
  const refusal = Object.assign(new Error("The key lacks the scope metrics."), { status: 403 });
  const gate = (data: string | undefined, error: Error | null) => (
    <QueryGate query={{ data, error }} placeholder="waiting">
      {(value) => <p>{value}</p>}
    </QueryGate>
  );

  it("shows the placeholder until an answer comes", () => {
    renderUi(gate(undefined, null));
    expect(screen.getByText("waiting")).toBeInTheDocument();
  });

  it("says which scope is missing", () => {
    renderUi(gate(undefined, refusal));
    expect(screen.getByText("The key lacks the scope metrics.")).toBeInTheDocument();
    expect(screen.getByText(/keys create/)).toBeInTheDocument();
  });

  it("keeps old numbers and says that they are old when the service refuses new ones", () => {
    renderUi(gate("numbers", refusal));
    expect(screen.getByText("numbers")).toBeInTheDocument();
    expect(screen.getByRole("alert")).toHaveTextContent("out of date. The key lacks the scope");
  });
});
