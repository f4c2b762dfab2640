import type { MembershipPatch } from "../evaluate/index.ts";

/** What a document is. Tenants and overrides belong to tenants, the others to the platform. */
export type DocumentKind = "flag" | "segment" | "group" | "override" | "tenant";

/** Names a document. Keys are unique in their kind; that of an override is "{tenant}/{flag}". */
export interface DocumentId {
  readonly kind: DocumentKind;
  readonly key: string;
}

/** A document, as the JSON that its checksum is of. */
export interface Document extends DocumentId {
  readonly json: string;
}

/** A piece of a transfer, as a message of the stream has it. */
export interface TransferPiece {
  readonly begin?: { readonly full: boolean } | undefined;
  readonly puts: readonly Document[];
  readonly deletes: readonly DocumentId[];
  readonly memberPatches: readonly MembershipPatch[];
  /** Empty checksums are not compared. */
  readonly commit?: { readonly platformChecksum: string; readonly tenantChecksum: string } | undefined;
  /** Set with a commit. */
  readonly resumeToken: string;
}
