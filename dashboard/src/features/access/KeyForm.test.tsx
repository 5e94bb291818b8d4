// @vitest-environment jsdom
import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { SessionProvider, useSession } from "../../api/session";
import { renderUi } from "../../testing/render";
import { KeyForm } from "./KeyForm";

function Probe() {
  const { key } = useSession();
  return <output>{key ?? "none"}</output>;
}

function storedIn(storage: Storage): (string | null)[] {
  return Array.from({ length: storage.length }, (_, i) => storage.getItem(storage.key(i) ?? ""));
}

async function submitKey(answer: Response, isKept: boolean, key = "sk-secret"): Promise<void> {
  vi.stubGlobal("fetch", vi.fn().mockResolvedValue(answer));
  renderUi(
    <SessionProvider>
      <KeyForm refusal={null} />
      <Probe />
    </SessionProvider>,
  );
  const user = userEvent.setup();
  await user.type(screen.getByLabelText("API key"), ` ${key} `);
  if (isKept) await user.click(screen.getByLabelText("Keep for this tab"));
  await user.click(screen.getByRole("button", { name: "Open the dashboard" }));
}

function renderForm(isKeyRequired: boolean) {
  const fetched = vi.fn().mockResolvedValue(Response.json({ key: { name: "anonymous" } }));
  vi.stubGlobal("fetch", fetched);
  renderUi(
    <SessionProvider>
      <KeyForm refusal={null} isKeyRequired={isKeyRequired} />
      <Probe />
    </SessionProvider>,
  );
  return fetched;
}

describe("KeyForm", () => {
  beforeEach(() => sessionStorage.clear());

  it("takes a key that the service accepts, and keeps it in memory only", async () => {
    await submitKey(Response.json({ key: { name: "admin" } }), false);
    await waitFor(() => expect(screen.getByRole("status")).toHaveTextContent("sk-secret"));
    expect([...storedIn(sessionStorage), ...storedIn(localStorage)]).not.toContain("sk-secret");
  });

  it("keeps it for the tab when asked to", async () => {
    await submitKey(Response.json({ key: { name: "admin" } }), true);
    await waitFor(() => expect(storedIn(sessionStorage)).toEqual(["sk-secret"]));
    expect(storedIn(localStorage)).not.toContain("sk-secret");
  });

  it.each(["", "   "])("asks for a key instead of sending none: '%s'", async (blank) => {
    const fetched = renderForm(true);
    const field = screen.getByLabelText("API key");
    expect(field).toHaveFocus();
    await userEvent.type(field, `${blank}{Enter}`);
    expect(field).toHaveAccessibleDescription(/^Enter an API key\./);
    expect(field).toHaveFocus();
    expect(fetched).not.toHaveBeenCalled();
  });

  it("accepts no key if the service requires none", async () => {
    renderForm(false);
    await userEvent.click(screen.getByRole("button", { name: "Open the dashboard" }));
    await waitFor(() => expect(screen.getByRole("status")).toBeEmptyDOMElement());
  });

  it("refuses a key that no header can carry, and sends nothing", async () => {
    await submitKey(Response.json({}), false, "sk-ключ");
    expect(await screen.findByText(/only ASCII characters/)).toBeInTheDocument();
    expect(fetch).not.toHaveBeenCalled();
    expect(screen.getByRole("status")).toHaveTextContent("none");
  });

  it("shows the service's words for a wrong key, and takes nothing", async () => {
    const words = "This key is not one of ours.";
    await submitKey(Response.json({ error: { message: words } }, { status: 401 }), true);
    expect(await screen.findByText(words)).toBeInTheDocument();
    expect(screen.getByRole("status")).toHaveTextContent("none");
    expect(storedIn(sessionStorage)).toEqual([]);
  });
});
