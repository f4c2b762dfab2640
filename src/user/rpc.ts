import type { MessageInitShape } from "@bufbuild/protobuf";
import { type User as ProtoUser, type UserSchema, UserService } from "@tenantplane/sdk/gen/tenantplane/v1/user_pb";
import { checkedFields, maskedFields } from "../aip/field-mask.ts";
import { checkEmail, checkText, etagOf, parseId, parseName } from "../aip/name.ts";
import { isRoleFor, type Role } from "../auth/permission.ts";
import { invalidField, Problems } from "../errors.ts";
import { toTimestamp } from "../server/convert.ts";
import { type Mount, mount } from "../server/handlers.ts";
import {
  createUser,
  deleteUser,
  getUser,
  listUsers,
  type NewUser,
  type UserDeps,
  type UserPatch,
  updateUser,
} from "./service.ts";
import { type User, userName } from "./user.ts";

/** The handlers of UserService. */
export function userRpc(deps: UserDeps): Mount {
  const ids = (name: string, field = "name") => {
    const [tenantId = "", userId = ""] = parseName(name, ["tenants", "users"], field);
    return { tenantId, userId };
  };
  return mount(UserService, {
    createUser: async ({ parent, user }, ctx) => {
      const problems = new Problems();
      if (!user) throw invalidField("user", "must be set");
      checkEmail(problems, "user.email", user.email);
      const input = { email: user.email, ...parseUser(problems, user) };
      problems.throwIfAny();
      return { user: toUser(await createUser(deps, ctx, parseId(parent, "tenants", "parent"), input)) };
    },
    getUser: async ({ name }, ctx) => {
      const { tenantId, userId } = ids(name);
      return { user: toUser(await getUser(deps, ctx, tenantId, userId)) };
    },
    listUsers: async ({ parent, pageSize, pageToken }, ctx) => {
      const tenantId = parseId(parent, "tenants", "parent");
      const { items, token } = await listUsers(deps, ctx, { tenantId, pageSize, pageToken });
      return { users: items.map(toUser), nextPageToken: token };
    },
    updateUser: async ({ user, updateMask }, ctx) => {
      if (!user) throw invalidField("user", "must be set");
      const { etag } = user;
      const patch = patchOf(user, updateMask?.paths);
      return { user: toUser(await updateUser(deps, ctx, { ...ids(user.name, "user.name"), etag, patch })) };
    },
    deleteUser: async ({ name, etag, allowMissing }, ctx) => {
      await deleteUser(deps, ctx, { ...ids(name), etag, allowMissing });
      return {};
    },
  });
}

const FIELDS = {
  display_name: "writable",
  role: "writable",
  disabled: "writable",
  email: "immutable",
  name: "output",
  etag: "output",
  create_time: "output",
  update_time: "output",
} as const;

function patchOf(user: ProtoUser, mask: readonly string[] | undefined): UserPatch {
  const populated = [
    ...(user.displayName ? ["display_name"] : []),
    ...(user.role ? ["role"] : []),
    ...(user.disabled ? ["disabled"] : []),
  ];
  const problems = new Problems();
  const { displayName, role, disabled } = parseUser(problems, user);
  const fields = checkedFields(maskedFields(mask, populated, FIELDS), problems);
  return {
    ...(fields.has("display_name") ? { displayName } : {}),
    ...(fields.has("role") ? { role } : {}),
    ...(fields.has("disabled") ? { disabled } : {}),
  };
}

function parseUser(problems: Problems, user: ProtoUser): Omit<NewUser, "email"> {
  const { displayName, role, disabled } = user;
  checkText(problems, "user.display_name", displayName, 0, 63);
  if (!isRoleFor(role, "tenant") || role === "client") {
    problems.add("user.role", "must be tenant.admin, tenant.editor or tenant.viewer");
  }
  return { displayName, role: role as Role, disabled };
}

function toUser(user: User): MessageInitShape<typeof UserSchema> {
  return {
    name: userName(user),
    email: user.email,
    displayName: user.displayName,
    role: user.role,
    disabled: user.disabled,
    etag: etagOf(user.userId, user.revision),
    createTime: toTimestamp(user.createdAt),
    updateTime: toTimestamp(user.updatedAt),
  };
}
