/** Numbers, changes and ages, written as the portal's pages write them. */

import { type ReactNode, useEffect, useRef } from "react";
import { change, count, direction, exactTime, since } from "@/pages/live/format.js";
import { useNow } from "./useNow.js";

/** A number that shows when it changes. */
export function Figure({ value, format = count }: { value: number | null; format?: (value: number) => string }): ReactNode {
  const text = value === null ? "–" : format(value);
  const element = useRef<HTMLSpanElement>(null);
  const shown = useRef(text);
  useEffect(() => {
    if (shown.current === text) return;
    shown.current = text;
    const { classList } = element.current!;
    if (element.current!.getAnimations?.().length) return; // still showing the last one
    classList.remove("changed");
    requestAnimationFrame(() => classList.add("changed"));
  }, [text]);
  return (
    <span ref={element} className="number">
      {text}
    </span>
  );
}

export function Change({ percent, note }: { percent: number | null; note?: string }): ReactNode {
  return (
    <>
      <span className="change" data-direction={direction(percent)}>
        {change(percent)}
      </span>
      {note && ` ${note}`}
    </>
  );
}

export function Ago({ iso, className }: { iso: string | null; className?: string }): ReactNode {
  const now = useNow();
  const then = iso === null ? Number.NaN : Date.parse(iso);
  if (iso === null || Number.isNaN(then)) return <span className={className}>–</span>;
  const exact = `${new Date(then).toLocaleDateString("en-CA")} ${exactTime(then)}`;
  return (
    <time className={className} dateTime={iso} title={exact}>
      {since(Math.max(now - then, 0) / 1000)}
    </time>
  );
}
