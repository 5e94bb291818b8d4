import { describe, expect, it } from "vitest";
import { parseWindow, searchOfPage, windowParams } from "./location";

describe("the address", () => {
  it("keeps the time on another page, and no filter", () => {
    const search = "?page=requests&range=1h&from=10&to=20&q=ada&outcome=error&key_name=ada";
    expect(searchOfPage(search, "engine")).toBe("?page=engine&range=1h&from=10&to=20");
    expect(searchOfPage(search, "overview", { key_name: "ada" })).toContain("key_name=ada");
    expect(searchOfPage(search, "requests")).toBe(search);
  });

  it("names a window in whole seconds that include it", () => {
    expect(windowParams([10.6, 20.2])).toEqual({ from: "10", to: "21" });
    expect(parseWindow("?from=10&to=21")).toEqual([10, 21]);
  });

  it("ignores what is no window", () => {
    for (const search of ["", "?from=10", "?from=20&to=10", "?from=1e3&to=x", "?from=-5&to=9"]) {
      expect(parseWindow(search)).toBeNull();
    }
  });
});
