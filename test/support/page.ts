// Runs in the browser: what the page of the browser's suite can do.
import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { TenantService } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { createClients, fieldViolations, reasonOf, watchTenants } from "@tenantplane/sdk/web";

export interface Given {
  readonly baseUrl: string;
  readonly apiKey: string;
}

const caught = (call: Promise<unknown>) => call.catch((error: unknown) => error);

const actions = {
  async read(given: Given) {
    const { tenants } = createClients(given);
    const { tenant } = await tenants.getTenant({ name: "tenants/acme" });
    return {
      shown: [tenant?.displayName, tenant?.labels, tenant?.legalHolds],
      refused: reasonOf(await caught(tenants.listTransitions({ parent: "tenants/acme" }))),
      bad: fieldViolations(await caught(tenants.getTenant({ name: "nonsense" }))).map(({ field }) => field),
    };
  },

  /** Tells in the title how many names it has seen. */
  async watch(given: Given) {
    const names: string[] = [];
    for await (const { events } of watchTenants(createClients(given).tenants, {})) {
      names.push(...events.flatMap(({ tenant }) => tenant?.displayName ?? []));
      document.title = `seen ${names.length}`;
      if (names.length >= 2) break;
    }
    return names;
  },

  async grpcWeb({ baseUrl, apiKey }: Given) {
    const client = createClient(TenantService, createGrpcWebTransport({ baseUrl }));
    const headers = { authorization: `Bearer ${apiKey}` };
    const { tenants } = await client.listTenants({}, { headers });
    const refused = await caught(client.listTenants({ filter: "nope = 1" }, { headers }));
    const first = await client.watchTenants({}, { headers })[Symbol.asyncIterator]().next();
    return [tenants.length, reasonOf(refused), first.value?.initialStateComplete];
  },

  async plain({ baseUrl, apiKey }: Given) {
    const headers = {
      authorization: `Bearer ${apiKey}`,
      "content-type": "application/json",
      "x-request-id": "from-the-page",
    };
    const url = `${baseUrl}/tenantplane.v1.TenantService/GetTenant`;
    return fetch(url, { method: "POST", headers, body: JSON.stringify({ name: "nonsense" }) }).then(
      (answer) => [answer.status, answer.headers.get("x-request-id")],
      () => "refused",
    );
  },
};

export type Actions = typeof actions;

Object.assign(globalThis, { actions });
