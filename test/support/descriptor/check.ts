import type { DescEnum, DescMessage, DescService } from "@bufbuild/protobuf";
import type { Finding } from "./finding.ts";
import { checkEnum, checkMessage } from "./message-rules.ts";
import { answered, checkMethod } from "./method-rules.ts";

/** Whatever breaks a rule in some services, and in the messages and enums of ours that their calls can hold. */
export function checkServices(
  services: readonly Pick<DescService, "methods">[],
  comments: ReadonlyMap<string, string>,
): Finding[] {
  const methods = services.flatMap((service) => service.methods);
  const resources = new Map<string, DescMessage>();
  for (const method of methods) {
    const resource = answered(method);
    if (resource) resources.set(resource.name, resource);
  }
  const messages = new Set<DescMessage>();
  const enums = new Set<DescEnum>();
  const visit = (message: DescMessage) => {
    if (messages.has(message) || !message.typeName.startsWith("tenantplane.")) return;
    messages.add(message);
    for (const field of message.fields) {
      if (field.message) visit(field.message);
      if (field.enum) enums.add(field.enum);
    }
  };
  for (const method of methods) {
    visit(method.input);
    visit(method.output);
  }
  return [
    ...methods.flatMap((method) => checkMethod(method, resources)),
    ...[...messages].flatMap((message) =>
      checkMessage(message, resources.get(message.name) === message, (field) => {
        return comments.get(`${message.typeName}.${field.name}`) ?? "";
      }),
    ),
    ...[...enums].flatMap(checkEnum),
  ];
}
