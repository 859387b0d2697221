import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Palette } from "../parts/Palette.js";
import { AlertToast } from "../parts/toastStore.js";
import { VirtualList } from "../parts/VirtualList.js";
import { Link, navigate, placeOf, usePlace } from "../router.js";
import { alert } from "../testing/events.js";

beforeEach(() => {
  HTMLDialogElement.prototype.showModal ??= function showModal() {
    this.open = true;
  };
  HTMLDialogElement.prototype.close ??= function close() {
    this.open = false;
  };
  globalThis.ResizeObserver ??= class {
    observe() {}
    unobserve() {}
    disconnect() {}
  };
  window.scrollTo = () => undefined;
});
afterEach(cleanup);

describe("the toast of new alerts", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("folds a storm into one, with a count", () => {
    const toast = new AlertToast();
    const told = vi.fn();
    toast.subscribe(told);
    for (let index = 0; index < 500; index += 1) toast.add(alert({ id: `a${index}`, severity: index === 7 ? "critical" : "low" }));
    vi.advanceTimersByTime(10);
    expect(told).toHaveBeenCalledTimes(1);
    expect(toast.getSnapshot()).toMatchObject({ title: "500 new alerts", severity: "critical" });
    vi.advanceTimersByTime(8000);
    expect(toast.getSnapshot()).toBeNull();
    toast.add(alert({ id: "next" }));
    vi.advanceTimersByTime(2000);
    expect(toast.getSnapshot()?.title).toContain("High alert");
  });

  it("stays while somebody reads it", () => {
    const toast = new AlertToast();
    toast.add(alert({ id: "a" }));
    vi.advanceTimersByTime(10);
    toast.hold();
    vi.advanceTimersByTime(60_000);
    expect(toast.getSnapshot()).not.toBeNull();
    toast.release();
    vi.advanceTimersByTime(8000);
    expect(toast.getSnapshot()).toBeNull();
  });
});

describe("the palette", () => {
  const options = [
    { id: "1", label: "Harbor Dental" },
    { id: "2", label: "Alder Legal" },
  ];

  it("finds by typing and chooses by Enter", () => {
    const [choose, close] = [vi.fn(), vi.fn()];
    render(<Palette title="Jump to" placeholder="" options={options} onChoose={choose} onClose={close} />);
    const input = screen.getByRole("combobox", { hidden: true });
    fireEvent.change(input, { target: { value: "leg" } });
    fireEvent.keyDown(input, { key: "Enter" });
    expect(choose).toHaveBeenCalledExactlyOnceWith(options[1]);
    expect(close).toHaveBeenCalledTimes(1);
  });

  it("moves by arrows, round the ends", () => {
    const choose = vi.fn();
    render(<Palette title="Jump to" placeholder="" options={options} onChoose={choose} onClose={() => undefined} />);
    const input = screen.getByRole("combobox", { hidden: true });
    fireEvent.keyDown(input, { key: "ArrowUp" });
    expect(screen.getByRole("option", { selected: true, hidden: true }).textContent).toBe("Alder Legal");
    fireEvent.keyDown(input, { key: "ArrowDown" });
    fireEvent.keyDown(input, { key: "Enter" });
    expect(choose).toHaveBeenCalledWith(options[0]);
  });

  it("offers words that nothing matches, where they may be meant", () => {
    const choose = vi.fn();
    render(<Palette title="Assign" placeholder="" options={options} another={(words) => ({ id: words, label: words })} onChoose={choose} onClose={() => undefined} />);
    const input = screen.getByRole("combobox", { hidden: true });
    fireEvent.change(input, { target: { value: "nora" } });
    fireEvent.keyDown(input, { key: "Enter" });
    expect(choose).toHaveBeenCalledWith({ id: "nora", label: "nora" });
  });
});

describe("the virtual list", () => {
  const items = Array.from({ length: 5000 }, (_, index) => `item ${index}`);
  const list = (shown: readonly string[], onEnd = () => undefined) => (
    <VirtualList
      items={shown}
      keyOf={(item) => item}
      rowHeight={50}
      label="Items"
      selected="item 1"
      render={(item) => <b>{item}</b>}
      onSelect={() => undefined}
      onOpen={() => undefined}
      onEnd={onEnd}
      total={6000}
    />
  );

  it("draws what is in sight, and says of how many", () => {
    render(list(items));
    const options = screen.getAllByRole("option");
    expect(options.length).toBeLessThan(40);
    expect(options[1]!.getAttribute("aria-selected")).toBe("true");
    expect(options[1]!.getAttribute("aria-setsize")).toBe("6000");
    expect(screen.getByRole("listbox").getAttribute("aria-activedescendant")).toBe(options[1]!.id);
  });

  it("asks for more only at the end", () => {
    const onEnd = vi.fn<() => undefined>();
    const { rerender } = render(list(items, onEnd));
    expect(onEnd).not.toHaveBeenCalled();
    rerender(list(items.slice(0, 5), onEnd));
    expect(onEnd).toHaveBeenCalled();
  });
});

describe("the router", () => {
  const Where = () => <p>{usePlace().parts.join(" / ") || "home"}</p>;

  it("reads parts and query below the base", () => {
    const { parts, query } = placeOf("/app/clients/a%20b/?status=any");
    expect([parts, query.get("status")]).toEqual([["clients", "a b"], "any"]);
  });

  it("goes without loading, and back", async () => {
    history.replaceState(null, "", "/app/");
    render(
      <>
        <Where />
        <Link to="/app/alerts/">Alerts</Link>
      </>,
    );
    fireEvent.click(screen.getByText("Alerts"));
    expect(screen.getByText("alerts")).toBeTruthy();
    act(() => navigate("/app/clients/x/"));
    expect(screen.getByText("clients / x")).toBeTruthy();
  });

  it("leaves modified clicks to the browser", () => {
    history.replaceState(null, "", "/app/");
    render(<Link to="/app/alerts/">Alerts</Link>);
    const isPrevented = !fireEvent.click(screen.getByText("Alerts"), { ctrlKey: true });
    expect(isPrevented).toBe(false);
    expect(location.pathname).toBe("/app/");
  });
});
