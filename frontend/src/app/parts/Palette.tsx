/** A dialog to choose one of many by typing: a client to go to, a person to assign. */

import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";

export interface Option {
  id: string;
  label: string;
  hint?: string | undefined;
}

interface Props {
  title: string;
  placeholder: string;
  options: readonly Option[];
  /** What to offer for words that no option has. */
  another?: (words: string) => Option | null;
  onChoose: (option: Option) => void;
  onClose: () => void;
}

export function Palette({ title, placeholder, options, another, onChoose, onClose }: Props): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const [words, setWords] = useState("");
  const [active, setActive] = useState(0);
  const id = useId();

  useEffect(() => {
    const element = dialog.current!;
    const before = document.activeElement;
    element.showModal();
    return () => {
      element.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);

  const wanted = words.trim().toLowerCase();
  const found = options.filter(({ label, hint }) => `${label} ${hint ?? ""}`.toLowerCase().includes(wanted));
  const isExact = found.some(({ id: other }) => other.toLowerCase() === wanted);
  const further = wanted && !isExact ? another?.(words.trim()) : null;
  const offered = further ? [...found, further] : found;
  const at = Math.min(active, offered.length - 1);

  const choose = (option: Option | undefined): void => {
    if (!option) return;
    onClose();
    onChoose(option);
  };
  const press = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setActive((at + step + offered.length) % Math.max(offered.length, 1));
    else if (event.key === "Enter") choose(offered[at]);
    else return;
    event.preventDefault();
  };
  return (
    <dialog ref={dialog} className="palette" aria-label={title} onCancel={onClose} onClick={(click) => click.target === dialog.current && onClose()}>
      <div className="palette-inner" onKeyDown={press}>
        <input
          type="text"
          role="combobox"
          aria-expanded="true"
          aria-controls={`${id}-list`}
          aria-activedescendant={offered[at] && `${id}-${at}`}
          aria-label={title}
          placeholder={placeholder}
          autoComplete="off"
          spellCheck={false}
          value={words}
          onChange={(change) => {
            setWords(change.target.value);
            setActive(0);
          }}
        />
        <ul role="listbox" id={`${id}-list`} aria-label={title}>
          {offered.map((option, index) => (
            <li
              key={option.id}
              id={`${id}-${index}`}
              role="option"
              aria-selected={index === at}
              ref={(element) => {
                if (index === at) element?.scrollIntoView?.({ block: "nearest" });
              }}
              onPointerMove={() => setActive(index)}
              onClick={() => choose(option)}
            >
              <span>{option.label}</span>
              {option.hint && <span className="palette-hint">{option.hint}</span>}
            </li>
          ))}
        </ul>
        {offered.length === 0 && <p className="palette-none">Nothing matches.</p>}
      </div>
    </dialog>
  );
}
