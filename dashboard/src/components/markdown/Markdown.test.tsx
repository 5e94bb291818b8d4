// @vitest-environment jsdom
import { screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { renderUi } from "../../testing/render";
import "./highlight";
import { loadMarkdown, Markdown } from "./Markdown";
import { MarkdownBody } from "./MarkdownBody";

function draw(text: string) {
  return renderUi(<MarkdownBody text={text} isGrowing={false} />).container;
}

describe("Markdown", () => {
  it("shows plain text until the renderer has come, then the elements", async () => {
    renderUi(<Markdown text="It is **12**." />);
    expect(screen.getByText("It is **12**.")).toBeInTheDocument();
    await loadMarkdown();
    expect(await screen.findByText("12")).toHaveProperty("tagName", "STRONG");
  });

  it("shows raw HTML as the text it is, and runs none of it", () => {
    const container = draw(
      'a <b>c</b> <img src=x onerror="alert(1)">\n\n<script>alert(1)</script>',
    );
    expect(container.querySelector("b, img, script")).toBeNull();
    expect(container).toHaveTextContent("<b>c</b>");
    expect(container).toHaveTextContent("<script>alert(1)</script>");
  });

  it("gives no link to an address that could run a script or read a file", () => {
    const addresses = [
      "javascript:alert(1)",
      "JaVaScRiPt:alert(1)",
      "data:text/html,x",
      "file:///x",
    ];
    const container = draw(addresses.map((address) => `[x](${address})`).join("\n\n"));
    for (const link of container.querySelectorAll("a"))
      expect(link).not.toHaveAttribute("href", /./);
    expect(container.innerHTML).not.toMatch(/javascript|data:|file:/i);
  });

  it("opens links apart and tells them nothing of us", () => {
    draw("[docs](https://example.com/a)");
    const link = screen.getByRole("link", { name: "docs" });
    expect(link).toHaveAttribute("href", "https://example.com/a");
    expect(link).toHaveAttribute("rel", expect.stringContaining("noopener noreferrer"));
    expect(link).toHaveAttribute("target", "_blank");
  });

  it("loads no picture", () => {
    const container = draw("![a fox](https://example.com/fox.png)");
    expect(container.querySelector("img")).toBeNull();
    expect(container).toHaveTextContent("[picture: a fox]");
  });

  it("draws tables, task lists and headings below the page's own", () => {
    const container = draw("# Big\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n- [x] done\n- [ ] open");
    expect(screen.getByRole("heading", { name: "Big", level: 2 })).toBeInTheDocument();
    expect(within(screen.getByRole("table")).getAllByRole("cell")).toHaveLength(2);
    expect(container.querySelector("input")).toBeNull();
    expect(container).toHaveTextContent("☑ done");
  });

  it("colours code in a known language and leaves the text as it was", async () => {
    const container = draw("```python\ndef f():\n    return 1\n```");
    expect(container.querySelector("figcaption")).toHaveTextContent("python");
    await waitFor(() => expect(container.querySelector(".hljs-keyword")).toHaveTextContent("def"));
    expect(container.querySelector("pre")?.textContent).toBe("def f():\n    return 1");
  });

  it("draws formulas as MathML without styles, and shows what is not one as it is", async () => {
    const container = draw(
      "Mass $e = mc^2$ costs $5 and $6.\n\n$$\n\\frac{1}{2} \\fbox{x}\n$$\n\nNot $\\frac{1}$ this.",
    );
    await waitFor(() => expect(container.querySelectorAll("math")).toHaveLength(2), {
      timeout: 20_000,
    });
    expect(container.querySelector("math[display=block] mfrac")).not.toBeNull();
    expect(container.querySelector("[style]")).toBeNull();
    expect(container).toHaveTextContent("costs $5 and $6.");
    expect(container.querySelector("code")).toHaveTextContent("\\frac{1}");
    expect(container.querySelector("math a, math [href]")).toBeNull();
  });

  it("leaves code in a language it does not know plain", () => {
    const container = draw("```brainfuck\n+<b>+\n```");
    expect(container.querySelector("pre")?.textContent).toBe("+<b>+");
  });
});
