/** A value that is there already, or is promised: the hot path makes no promises for what it knows. */
export type NowOrLater<T> = T | Promise<T>;

/** Goes on with a value: at once when it is there, else when its promise is kept. */
export function andThen<T, U>(value: NowOrLater<T>, next: (value: T) => NowOrLater<U>): NowOrLater<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** Goes on with several values, as `andThen`. */
export function allThen<T, U>(values: readonly NowOrLater<T>[], next: (values: T[]) => NowOrLater<U>): NowOrLater<U> {
  return values.some((value) => value instanceof Promise) ? Promise.all(values).then(next) : next(values as T[]);
}
