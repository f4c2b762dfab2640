import { execFileSync } from "node:child_process";
import { fromBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type FileDescriptorProto,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";

/** The descriptors of a folder's protos with their comments, which generated code leaves out. */
export function buildImage(folder = "."): FileDescriptorSet {
  const buf = `${process.cwd()}/node_modules/.bin/buf`;
  const bytes = execFileSync(buf, ["build", "-o", "-"], { cwd: folder, maxBuffer: 64 * 1024 * 1024 });
  return fromBinary(FileDescriptorSetSchema, bytes);
}

/** The leading comments of all fields of the public API, by "tenantplane.v1.Tenant.name". */
export function commentsOf(image: FileDescriptorSet): ReadonlyMap<string, string> {
  const comments = new Map<string, string>();
  for (const file of image.file) if (file.package.startsWith("tenantplane.")) readFile(file, comments);
  return comments;
}

function readFile(file: FileDescriptorProto, comments: Map<string, string>): void {
  const found = new Map(file.sourceCodeInfo?.location.map((place) => [place.path.join("."), place.leadingComments]));
  const visit = (message: DescriptorProto, name: string, path: string) => {
    for (const [index, field] of message.field.entries()) {
      comments.set(`${name}.${field.name}`, (found.get(`${path}.2.${index}`) ?? "").trim());
    }
    for (const [index, nested] of message.nestedType.entries()) {
      visit(nested, `${name}.${nested.name}`, `${path}.3.${index}`);
    }
  };
  // The numbers are those of the descriptors' own fields: message_type = 4, field = 2, nested_type = 3.
  for (const [index, message] of file.messageType.entries())
    visit(message, `${file.package}.${message.name}`, `4.${index}`);
}
