/** From a decoded value to a frame that is what its type says. */

import { isObject, mismatch, type Shape } from "./check.js";
import { type ServerFrame, serverShapes } from "./protocol.js";

/** Something came that is not of the protocol this version speaks. It was left out; the connection goes on. */
export class FrameError extends Error {
  override name = "FrameError";
  /** What came. */
  readonly frame: unknown;

  constructor(message: string, frame: unknown) {
    super(message);
    this.frame = frame;
  }
}

/** Return `value` as a frame, or throw `FrameError` naming the field that is wrong. */
export function parseFrame(value: unknown): ServerFrame {
  if (!isObject(value)) throw new FrameError("The frame is not an object.", value);
  const { type } = value;
  if (typeof type !== "string" || !Object.hasOwn(serverShapes, type)) {
    throw new FrameError(`Frames of type ${JSON.stringify(type)} are not known here.`, value);
  }
  const field = mismatch(serverShapes[type as keyof typeof serverShapes] as Shape, value);
  if (field !== undefined) throw new FrameError(`"${field}" of the ${type} frame is not as the protocol says.`, value);
  return value as unknown as ServerFrame;
}
