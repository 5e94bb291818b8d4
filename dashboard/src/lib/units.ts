/** Formats numbers for people. All values are in base units. */

/** Three significant digits, without an exponent or trailing zeros. */
export function formatNumber(value: number): string {
  const size = Math.abs(value);
  if (size >= 100_000) return `${formatNumber(value / 1000)}k`;
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return String(Number(value.toFixed(digits)));
}

/** Milliseconds below one second, seconds below 60, else m:ss or h:mm:ss. */
export function formatSeconds(seconds: number): string {
  if (seconds === 0) return "0 ms";
  if (seconds < 0.9995) return `${formatNumber(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${formatNumber(seconds)} s`;
  const whole = Math.round(seconds);
  const rest = String(whole % 60).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}:${rest}`;
  const minutes = String(Math.floor(whole / 60) % 60).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${minutes}:${rest}`;
}

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function formatBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(4, Math.floor(Math.log2(bytes) / 10));
  return `${formatNumber(bytes / 1024 ** power)} ${BYTE_UNITS[power] ?? "B"}`;
}

export function formatPercent(ratio: number): string {
  const percent = ratio * 100;
  return `${percent > 0 && percent < 0.1 ? "< 0.1" : formatNumber(Number(percent.toFixed(1)))} %`;
}

/** A rounded duration: "12 s", "5 min", "3 h", "3 days". */
export function formatDuration(seconds: number): string {
  // Switches half a unit early, so that it never says "60 min".
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  if (seconds < 59.5 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 23.5 * 3600) return `${Math.round(seconds / 3600)} h`;
  const days = Math.round(seconds / 86_400);
  return days === 1 ? "1 day" : `${days} days`;
}

/** How long ago: "just now", "12 s ago", "3 h ago". A negative value reads "just now". */
export function formatAgo(seconds: number): string {
  return seconds < 2 ? "just now" : `${formatDuration(seconds)} ago`;
}

/** A whole number with thousands separators; shortened from 100,000 on. */
export function formatCount(value: number): string {
  if (value >= 1_000_000) return `${formatNumber(value / 1_000_000)} M`;
  if (value >= 100_000) return `${formatNumber(value / 1000)} k`;
  return value.toLocaleString("en");
}

/** "21 Nov 2026" */
export function formatDate(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toLocaleDateString("en-GB", {
    day: "numeric",
    month: "short",
    year: "numeric",
  });
}

// Created once: creating a formatter takes longer than drawing the axis of a chart.
const HOURS_MINUTES = { hour: "2-digit", minute: "2-digit" } as const;
const CLOCK = new Intl.DateTimeFormat("en-GB", HOURS_MINUTES);
const CLOCK_WITH_SECONDS = new Intl.DateTimeFormat("en-GB", {
  ...HOURS_MINUTES,
  second: "2-digit",
});

export function formatClock(unixSeconds: number, withSeconds = true): string {
  return (withSeconds ? CLOCK_WITH_SECONDS : CLOCK).format(unixSeconds * 1000);
}

const DAY = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric" });

/** "Sat 21" */
export function formatDay(unixSeconds: number): string {
  return DAY.format(unixSeconds * 1000);
}

/** "Sat 21, 14:05" */
export function formatDayAndClock(unixSeconds: number): string {
  return `${formatDay(unixSeconds)}, ${formatClock(unixSeconds, false)}`;
}

/** "Sat 21, 14:05:09" */
export function formatDayAndSeconds(unixSeconds: number): string {
  return `${formatDay(unixSeconds)}, ${formatClock(unixSeconds)}`;
}

/** "14:05:09 to 14:06:00", with days if they differ or are not today. */
export function formatSpan([from, to]: [number, number]): string {
  const days = [formatDate(from), formatDate(to), formatDate(Date.now() / 1000)];
  if (days[0] === days[1] && days[0] === days[2])
    return `${formatClock(from)} to ${formatClock(to)}`;
  const end = days[0] === days[1] ? formatClock(to) : formatDayAndSeconds(to);
  return `${formatDayAndSeconds(from)} to ${end}`;
}

export type Unit = "s" | "bytes" | "ratio" | "per-second" | "count" | "cores";

/** A value with its unit, as shown in a legend, a tile or a table. */
export function formatValue(unit: Unit, value: number): string {
  switch (unit) {
    case "s":
      return formatSeconds(value);
    case "bytes":
      return formatBytes(value);
    case "ratio":
      return formatPercent(value);
    case "per-second":
      return `${formatNumber(value)}/s`;
    case "cores":
    case "count":
      return formatNumber(value);
  }
}

/** A tick on an axis: like `formatValue`, but without a unit that the axis names. */
export function formatTick(unit: Unit, value: number): string {
  return unit === "per-second" ? formatNumber(value) : formatValue(unit, value);
}
