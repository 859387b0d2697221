/**
 * Checking what came over the wire: predicates that are also types. `parse.ts` puts them together.
 *
 * Fields nobody named are let through, so that a newer server can add some.
 */

export type Check<T> = (value: unknown) => value is T;
export type Checked<C> = C extends Check<infer T> ? T : never;
export type Shape = Readonly<Record<string, Check<unknown>>>;

type Flat<T> = { [K in keyof T]: T[K] };
type OptionalKey<S> = { [K in keyof S]: undefined extends Checked<S[K]> ? K : never }[keyof S];

/** The object type that `S` describes; fields that may be undefined may be absent. */
export type Described<S> = Flat<
  { [K in Exclude<keyof S, OptionalKey<S>>]: Checked<S[K]> } & { [K in OptionalKey<S>]?: Checked<S[K]> }
>;

export const string: Check<string> = (value) => typeof value === "string";
export const boolean: Check<boolean> = (value) => typeof value === "boolean";
export const number: Check<number> = (value) => typeof value === "number";
export const integer: Check<number> = (value): value is number => Number.isSafeInteger(value);

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const oneOf =
  <const T extends string>(...allowed: readonly T[]): Check<T> =>
  (value): value is T =>
    allowed.includes(value as T);

export const either =
  <A, B>(first: Check<A>, second: Check<B>): Check<A | B> =>
  (value): value is A | B =>
    first(value) || second(value);

export const optional =
  <T>(check: Check<T>): Check<T | undefined> =>
  (value): value is T | undefined =>
    value === undefined || check(value);

export const nullable =
  <T>(check: Check<T>): Check<T | null> =>
  (value): value is T | null =>
    value === null || check(value);

export const list =
  <T>(check: Check<T>): Check<T[]> =>
  (value): value is T[] =>
    Array.isArray(value) && value.every(check);

export const record =
  <T>(check: Check<T>): Check<Record<string, T>> =>
  (value): value is Record<string, T> =>
    isObject(value) && Object.values(value).every(check);

/** The first field of `value` that is not as `shape` says, or undefined. */
export const mismatch = (shape: Shape, value: Record<string, unknown>): string | undefined =>
  Object.keys(shape).find((key) => !shape[key]!(value[key]));

export const object =
  <S extends Shape>(shape: S): Check<Described<S>> =>
  (value): value is Described<S> =>
    isObject(value) && mismatch(shape, value) === undefined;

/** Check the fields that code relies on, and take the portal's word for the others of `T`. */
export const trusting = <T>(check: Check<unknown>): Check<T> => check as Check<T>;
