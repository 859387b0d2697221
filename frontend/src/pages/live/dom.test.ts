import { beforeEach, describe, expect, it } from "vitest";
import { arrange, write } from "./dom.js";

let list: HTMLElement;
beforeEach(() => {
  list = document.createElement("ul");
});

const render = (...items: string[]): void =>
  arrange(
    list,
    "id",
    items,
    (item) => item,
    () => document.createElement("li"),
    (row, item) => write(row, item.toUpperCase()),
  );
const texts = (): (string | null)[] => [...list.children].map((child) => child.textContent);

describe("arrange", () => {
  it.each([
    [["a", "b"], ["c", "a", "b"]],
    [["a", "b", "c"], ["c", "a"]],
    [["a", "b", "c"], ["c", "b", "a"]],
    [["a"], []],
    [[], ["a", "b"]],
  ])("from %o to %o", (before, after) => {
    render(...before);
    render(...after);
    expect(texts()).toEqual(after.map((item) => item.toUpperCase()));
  });

  it("keeps the elements it knows: focus and open menus stay", () => {
    render("a", "b");
    const b = list.children[1];
    render("new", "b", "a");
    expect(list.children[1]).toBe(b);
  });
});

describe("write", () => {
  it("touches nothing that stays the same", () => {
    const target = document.createElement("b");
    write(target, "7", true);
    expect(target.classList.contains("changed")).toBe(true);
    target.classList.remove("changed");
    const text = target.firstChild;
    write(target, "7", true);
    expect(target.firstChild).toBe(text);
    expect(target.classList.contains("changed")).toBe(false);
  });
});
