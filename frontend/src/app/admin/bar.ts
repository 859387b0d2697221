/** The quiet bar above an admin page: whether it is live, and what happened since. */

export class Bar {
  readonly page: string;
  readonly alertId: string;
  /** Whether this user has a stream; a superuser without an MSP has none. */
  readonly hasStream: boolean;
  readonly #root: HTMLElement;
  readonly #state: HTMLElement;
  readonly #news: HTMLElement;
  readonly #show: HTMLButtonElement;
  #shown: () => void = () => undefined;

  constructor() {
    this.#root = need("live");
    this.#state = need("live-state");
    this.#news = need("live-news");
    this.#show = need("live-show") as HTMLButtonElement;
    this.page = this.#root.dataset["page"] ?? "";
    this.alertId = this.#root.dataset["alert"] ?? "";
    this.hasStream = this.#root.dataset["follows"] === "stream";
    this.#show.addEventListener("click", () => this.#shown());
  }

  say(mood: string, text: string): void {
    this.#root.dataset["state"] = mood;
    if (this.#state.textContent !== text) this.#state.textContent = text;
  }

  /** Tell what is new; with `show`, offer to show it. Nothing new: an empty text. */
  tell(text: string, show?: { label: string; action: () => void }): void {
    if (this.#news.textContent !== text) this.#news.textContent = text;
    this.#show.hidden = !show;
    if (!show) return;
    this.#show.textContent = show.label;
    this.#shown = show.action;
  }
}

function need(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no #${id}.`);
  return element;
}
