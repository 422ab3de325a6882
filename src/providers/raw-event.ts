/** A vendor's event as it came, and a look into it. */

/** A raw event, untouched. */
export type RawEvent = Readonly<Record<string, unknown>>;

/** The members of what may be anything: of what is no object, none. */
export function members(value: unknown): RawEvent {
  return typeof value === 'object' && value !== null ? (value as RawEvent) : {};
}
