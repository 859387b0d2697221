/** Small tools for the page's elements. Django renders them first; rows that come later are clones of a `<template>`. */

export function element<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no #${id}.`);
  return found as E;
}

/** The `[data-field=…]` of a row. */
export const field = <E extends HTMLElement = HTMLElement>(root: ParentNode, name: string): E | null =>
  root.querySelector<E>(`[data-field="${name}"]`);

/** Write `text`, if that is something new; `isFigure`: then let it be seen that it changed. */
export function write(target: Element | null, text: string, isFigure = false): void {
  if (!target || target.textContent === text) return;
  target.textContent = text;
  if (isFigure) flash(target);
}

/** Let an element glow for a moment; one that glows already goes on. The style sheet leaves it out for who wants no motion. */
export function flash(target: Element): void {
  if (target.classList.contains("changed")) return;
  target.classList.add("changed");
  setTimeout(() => target.classList.remove("changed"), 900);
}

export function cloneOf(template: HTMLTemplateElement): HTMLElement {
  const first = template.content.firstElementChild;
  if (!first) throw new Error("The template is empty.");
  return document.importNode(first, true) as HTMLElement;
}

/**
 * Make the children of `list` those of `items`, in order: known ones are kept and moved only if they must, new ones made, others removed.
 *
 * `key` is the data attribute that names a child.
 */
export function arrange<T>(
  list: Element,
  key: string,
  items: readonly T[],
  idOf: (item: T) => string,
  make: (item: T) => HTMLElement,
  fill: (row: HTMLElement, item: T) => void,
): void {
  const known = new Map<string, HTMLElement>();
  for (const child of list.children) known.set((child as HTMLElement).dataset[key] ?? "", child as HTMLElement);
  let next = list.firstElementChild;
  for (const item of items) {
    const id = idOf(item);
    let row = known.get(id);
    if (row) known.delete(id);
    else {
      row = make(item);
      row.dataset[key] = id;
    }
    fill(row, item);
    if (row === next) next = next.nextElementSibling;
    else list.insertBefore(row, next);
  }
  for (const left of known.values()) left.remove();
}
