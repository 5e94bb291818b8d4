// @vitest-environment jsdom
import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it } from "vitest";
import { renderUi } from "../../testing/render";
import { useHeld } from "./held";
import { HeldRequests } from "./HeldRequests";

function List({ items }: { items: string[] }) {
  const held = useHeld(items, (item) => item);
  return (
    <HeldRequests held={held}>
      <ul>
        {held.items.map((item) => (
          <li key={item}>
            <button type="button">{item}</button>
          </li>
        ))}
      </ul>
    </HeldRequests>
  );
}

/** Renders a list; the function that is returned gives it other items. */
function renderList(first: string[]): (items: string[]) => void {
  const { update } = renderUi(<List items={first} />);
  return (items) => update(<List items={items} />);
}

const shown = () => screen.getAllByRole("listitem").map((item) => item.textContent);

it("holds the rows while the pointer is on them, and says how many are new", async () => {
  const user = userEvent.setup();
  const give = renderList(["b", "a"]);
  await user.hover(screen.getByText("a"));
  give(["d", "c", "b", "a"]);
  expect(shown()).toEqual(["b", "a"]);
  await user.click(screen.getByRole("button", { name: "2 new, show" }));
  expect(shown()).toEqual(["d", "c", "b", "a"]);
});

it("holds the rows while one has the focus, and lets go when the focus leaves", async () => {
  const user = userEvent.setup();
  const give = renderList(["a"]);
  await user.tab();
  give(["b", "a"]);
  expect(shown()).toEqual(["a"]);
  await user.tab({ shift: true });
  expect(shown()).toEqual(["b", "a"]);
});
