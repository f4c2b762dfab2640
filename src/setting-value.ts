/** A typed setting; whole numbers as text, so that all 64 bits of them survive. */
export type SettingValue =
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "int"; readonly value: string }
  | { readonly type: "double"; readonly value: number }
  | { readonly type: "string"; readonly value: string };

/** Settings as bare values, for people to read. */
export function settingValues(settings: Readonly<Record<string, SettingValue>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(settings).map(([key, { value }]) => [key, value]));
}
