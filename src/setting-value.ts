/** A typed setting; whole numbers as text, so that all 64 bits of them survive. */
export type SettingValue =
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "int"; readonly value: string }
  | { readonly type: "double"; readonly value: number }
  | { readonly type: "string"; readonly value: string };
