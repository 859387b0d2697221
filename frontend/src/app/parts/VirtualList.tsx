/** A list that draws only the rows in sight. All rows are equally high; who scrolled down stays where they are when rows come above. */

import { type KeyboardEvent, type ReactNode, useEffect, useLayoutEffect, useRef, useState } from "react";

/** Rows drawn beyond what is in sight, on either side. */
const MORE = 8;

interface Props<T> {
  items: readonly T[];
  keyOf: (item: T) => string;
  rowHeight: number;
  label: string;
  selected: string | null;
  render: (item: T) => ReactNode;
  onSelect: (item: T) => void;
  onOpen: (item: T) => void;
  onKeyDown?: (event: KeyboardEvent) => void;
  /** The end is in sight: asked after every change as long as it is. */
  onEnd: () => void;
  /** How many rows there are, drawn or loaded or not. */
  total: number;
}

export function VirtualList<T>(props: Props<T>): ReactNode {
  const { items, keyOf, rowHeight, label, selected, render, onSelect, onOpen, onKeyDown, onEnd, total } = props;
  const root = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 800 });
  const first = Math.max(Math.floor(view.top / rowHeight) - MORE, 0);
  const last = Math.min(Math.ceil((view.top + view.height) / rowHeight) + MORE, items.length);

  useLayoutEffect(() => {
    const element = root.current!;
    const look = (): void => setView({ top: element.scrollTop, height: element.clientHeight });
    look();
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, []);

  useAnchor(root, items, keyOf, rowHeight, selected);
  const isAtEnd = last >= items.length - MORE;
  useEffect(() => {
    if (isAtEnd) onEnd();
  });

  return (
    <div
      ref={root}
      className="virtual"
      role="listbox"
      tabIndex={0}
      aria-label={label}
      aria-activedescendant={selected !== null && items.slice(first, last).some((item) => keyOf(item) === selected) ? `row-${selected}` : undefined}
      onKeyDown={onKeyDown}
    >
      <div className="virtual-rows" role="presentation" style={{ height: items.length * rowHeight }}>
        {items.slice(first, last).map((item, index) => {
          const key = keyOf(item);
          return (
            <div
              key={key}
              id={`row-${key}`}
              className="virtual-row"
              role="option"
              aria-selected={key === selected}
              aria-setsize={total}
              aria-posinset={first + index + 1}
              style={{ transform: `translateY(${(first + index) * rowHeight}px)`, height: rowHeight }}
              onClick={() => {
                onSelect(item);
                onOpen(item);
              }}
            >
              {render(item)}
            </div>
          );
        })}
      </div>
    </div>
  );
}

/** Keep the first row in sight where it is when rows come or go above it, and bring a newly selected row into sight. */
function useAnchor<T>(
  root: { current: HTMLDivElement | null },
  items: readonly T[],
  keyOf: (item: T) => string,
  rowHeight: number,
  selected: string | null,
): void {
  const anchor = useRef<{ items: readonly T[]; selected: string | null }>({ items, selected });
  useLayoutEffect(() => {
    const element = root.current!;
    const before = anchor.current;
    anchor.current = { items, selected };
    if (before.items !== items && element.scrollTop > rowHeight / 2) {
      const at = Math.floor(element.scrollTop / rowHeight);
      const key = before.items[at] === undefined ? null : keyOf(before.items[at]);
      const now = key === null ? -1 : items.findIndex((item) => keyOf(item) === key);
      if (now >= 0 && now !== at) element.scrollBy(0, (now - at) * rowHeight);
    }
    if (before.selected !== selected && selected !== null) {
      const index = items.findIndex((item) => keyOf(item) === selected);
      if (index < 0) return;
      const top = index * rowHeight;
      if (top < element.scrollTop) element.scrollTo(0, top);
      else if (top + rowHeight > element.scrollTop + element.clientHeight) element.scrollTo(0, top + rowHeight - element.clientHeight);
    }
  }, [root, items, keyOf, rowHeight, selected]);
}
