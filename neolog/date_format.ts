/**
 * Dates in the format that the operator chose.
 *
 * @module
 */

import { InvalidValueError } from "../node/errors.ts";

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  ...["January", "February", "March", "April", "May", "June", "July", "August", "September"],
  ...["October", "November", "December"],
];

const two = (n: number) => String(n).padStart(2, "0");

/** `+hhmm`. */
function zone(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  const absolute = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(absolute / 60))}${two(absolute % 60)}`;
}

function dayOfYear(date: Date): number {
  const noon = (day: Date) => Date.UTC(day.getFullYear(), day.getMonth(), day.getDate());
  return 1 + Math.round((noon(date) - Date.UTC(date.getFullYear(), 0, 1)) / 86_400_000);
}

/** What follows `%`, as in the C function `strftime`. */
const FIELDS: Readonly<Record<string, (date: Date) => string>> = {
  Y: (date) => String(date.getFullYear()),
  y: (date) => two(date.getFullYear() % 100),
  m: (date) => two(date.getMonth() + 1),
  d: (date) => two(date.getDate()),
  e: (date) => String(date.getDate()).padStart(2),
  H: (date) => two(date.getHours()),
  I: (date) => two(date.getHours() % 12 || 12),
  M: (date) => two(date.getMinutes()),
  S: (date) => two(date.getSeconds()),
  p: (date) => date.getHours() < 12 ? "AM" : "PM",
  j: (date) => String(dayOfYear(date)).padStart(3, "0"),
  a: (date) => (DAYS[date.getDay()] ?? "").slice(0, 3),
  A: (date) => DAYS[date.getDay()] ?? "",
  b: (date) => (MONTHS[date.getMonth()] ?? "").slice(0, 3),
  h: (date) => (MONTHS[date.getMonth()] ?? "").slice(0, 3),
  B: (date) => MONTHS[date.getMonth()] ?? "",
  s: (date) => String(Math.floor(date.getTime() / 1000)),
  z: zone,
  F: (date) => formatDate("%Y-%m-%d", date),
  T: (date) => formatDate("%H:%M:%S", date),
  R: (date) => formatDate("%H:%M", date),
  D: (date) => formatDate("%m/%d/%y", date),
  n: () => "\n",
  t: () => "\t",
  "%": () => "%",
};

/** @throws {InvalidValueError} if the format has an unknown field. */
export function checkDateFormat(format: string): string {
  for (const [field] of format.matchAll(/%(.|$)/gs)) {
    if (FIELDS[field.slice(1)] === undefined) {
      throw new InvalidValueError(
        `'${field}' is no field of a date: known are ${
          Object.keys(FIELDS).map((name) => `%${name}`).join(" ")
        }`,
      );
    }
  }
  return format;
}

/** A moment in local time. */
export function formatDate(format: string, date: Date): string {
  return format.replace(/%(.)/gs, (field, name: string) => FIELDS[name]?.(date) ?? field);
}

/**
 * A moment in seconds since the Unix epoch: such a number, or one relative to now if it is negative, or
 * a date, in local time unless it names a zone.
 *
 * @throws {InvalidValueError} if it is none of these.
 */
export function parseMoment(text: string, now: number): number {
  if (/^[-+]?(\d+\.?\d*|\.\d+)$/.test(text)) {
    const number = Number(text);
    return text.startsWith("-") ? now + number : number;
  }
  // A date alone would be taken for one in UTC.
  const date = Date.parse(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00` : text);
  if (Number.isNaN(date)) {
    throw new InvalidValueError(
      `'${text}' is neither a number of seconds nor a date such as '2026-01-31 12:00'`,
    );
  }
  return date / 1000;
}
