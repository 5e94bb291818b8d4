import { describe, expect, it } from "vitest";
import type { RequestRecord } from "../api/types";
import type { Chart } from "./chart";
import { chartCsv, requestsCsv, toCsv } from "./csv";

describe("CSV", () => {
  it("quotes what needs it and disarms formulas", () => {
    expect(toCsv([['a"b', "c,d", "=1+1", 'x\n"', null, -3, true]])).toBe(
      '"a""b","c,d",\'=1+1,"x\n""",,-3,true\r\n',
    );
  });

  it("of a chart has a row per point, in base units", () => {
    const chart: Chart = {
      id: "ttft",
      title: "TTFT",
      unitWords: "",
      unit: "s",
      times: [0, 2],
      samples: [30, 0],
      emptyWords: "",
      lines: [{ name: "p95", values: [0.25, null], color: "series-1", kind: "line" }],
    };
    expect(chartCsv(chart)).toBe(
      "time,p95 (seconds),n\r\n1970-01-01T00:00:00.000Z,0.25,30\r\n1970-01-01T00:00:02.000Z,,0\r\n",
    );
  });

  it("of requests has every number of each", () => {
    const request = { request_id: "-id", started_at: 1.5, outcome: "stop", output_tokens: 3 };
    const [head, row] = requestsCsv([request as RequestRecord]).split("\r\n");
    expect(head).toMatch(/^started_at,request_id,key_name,.*,duration_seconds$/);
    expect(row).toBe("1970-01-01T00:00:01.500Z,'-id,,,,,stop,,,,,3,,,,,");
  });
});
