/** A semantic version; build metadata has no part in the order and is not kept. */
export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** What follows the "-"; empty for a release. */
  readonly prerelease: string;
}

/**
 * Reads a version as flagd does: a "v" in front is skipped, "1" and "1.2" stand for 1.0.0 and 1.2.0, and numbers are read in
 * their JSON form. Anything else that semver.org doesn't allow gives undefined.
 */
export function parseVersion(value: unknown): Version | undefined {
  if (typeof value === "number") return scan(String(value));
  return typeof value === "string" && value.length <= VERSION_MAX_CHARS ? scan(value) : undefined;
}

/** Orders two versions as semver.org's rule 11 does: negative when `a` comes first. */
export function compareVersions(a: Version, b: Version): number {
  if (a.major !== b.major) return a.major - b.major;
  if (a.minor !== b.minor) return a.minor - b.minor;
  if (a.patch !== b.patch) return a.patch - b.patch;
  if (a.prerelease === b.prerelease) return 0;
  if (a.prerelease === "") return 1;
  if (b.prerelease === "") return -1;
  return comparePrereleases(a.prerelease.split("."), b.prerelease.split("."));
}

/** No version is longer; node-semver, which flagd's JavaScript uses, has the same limit. */
const VERSION_MAX_CHARS = 256;
const DOT = 46;
const ZERO = 48;
const NINE = 57;

const FULL_REST =
  /^(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*))*))?(?:\+[\dA-Za-z-]+(?:\.[\dA-Za-z-]+)*)?$/;

/** Where the last number that `scanNumber` read ended. */
let scannedTo = 0;

function scan(text: string): Version | undefined {
  const first = text.charCodeAt(0) | 0x20;
  const major = scanNumber(text, first === 0x76 ? 1 : 0);
  if (major < 0) return undefined;
  if (scannedTo === text.length) return { major, minor: 0, patch: 0, prerelease: "" };
  if (text.charCodeAt(scannedTo) !== DOT) return undefined;
  const minor = scanNumber(text, scannedTo + 1);
  if (minor < 0) return undefined;
  if (scannedTo === text.length) return { major, minor, patch: 0, prerelease: "" };
  if (text.charCodeAt(scannedTo) !== DOT) return undefined;
  const patch = scanNumber(text, scannedTo + 1);
  if (patch < 0) return undefined;
  if (scannedTo === text.length) return { major, minor, patch, prerelease: "" };
  const rest = FULL_REST.exec(text.slice(scannedTo));
  return rest === null ? undefined : { major, minor, patch, prerelease: rest[1] ?? "" };
}

/** The number that starts at `from`, without leading zeros; -1 when there is none. */
function scanNumber(text: string, from: number): number {
  let value = 0;
  let index = from;
  for (; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code < ZERO || code > NINE) break;
    value = value * 10 + (code - ZERO);
  }
  scannedTo = index;
  const digits = index - from;
  if (digits === 0 || (digits > 1 && text.charCodeAt(from) === ZERO) || value > Number.MAX_SAFE_INTEGER) return -1;
  return value;
}

function comparePrereleases(a: readonly string[], b: readonly string[]): number {
  for (let index = 0; index < a.length && index < b.length; index += 1) {
    const order = compareIdentifiers(a[index] ?? "", b[index] ?? "");
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** Numbers come before words; numbers without leading zeros are in order of length, then of digits, however long they are. */
function compareIdentifiers(a: string, b: string): number {
  if (a === b) return 0;
  const isNumber = /^\d+$/;
  const aIsNumber = isNumber.test(a);
  if (aIsNumber !== isNumber.test(b)) return aIsNumber ? -1 : 1;
  if (aIsNumber && a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : 1;
}
