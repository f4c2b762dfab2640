-- Webhooks: endpoints, their deliveries, and up to where the change log was turned into deliveries.
create table webhook_endpoint (
  uid uuid primary key,
  endpoint_id text collate "C" not null unique,
  url text not null,
  scope text not null,
  tenant_uid uuid references tenant on delete cascade,
  integrator_uid uuid references integrator on delete cascade,
  event_types text[] not null,
  description text not null,
  disable_reason text check (disable_reason in ('REQUESTED', 'GONE', 'FAILING')),
  signing text not null check (signing in ('HMAC_SHA256', 'ED25519')),
  public_key text not null,
  -- Sealed by a key of the server's.
  secret text not null,
  previous_secret text,
  previous_expires_at timestamptz,
  last_success_at timestamptz,
  failing_since_at timestamptz,
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index webhook_endpoint_by_tenant on webhook_endpoint (tenant_uid, endpoint_id);
create index webhook_endpoint_by_integrator on webhook_endpoint (integrator_uid, endpoint_id);

create table webhook_delivery (
  endpoint_uid uuid not null references webhook_endpoint on delete cascade,
  event_id text collate "C" not null,
  tenant_uid uuid,
  integrator_uid uuid,
  event_type text not null,
  resource text not null,
  payload text not null,
  state text not null check (state in ('PENDING', 'DELIVERED', 'FAILED')),
  attempt_count int not null,
  attempts jsonb not null,
  next_attempt_at timestamptz,
  event_at timestamptz not null,
  created_at timestamptz not null,
  delivered_at timestamptz,
  primary key (endpoint_uid, event_id),
  check ((state = 'PENDING') = (next_attempt_at is not null))
);
create index webhook_delivery_due on webhook_delivery (next_attempt_at) where state = 'PENDING';
create index webhook_delivery_newest on webhook_delivery (endpoint_uid, created_at desc, event_id desc);
create index webhook_delivery_ended on webhook_delivery (created_at) where state <> 'PENDING';

-- One row: changes up to it have become deliveries.
create table webhook_cursor (
  xid xid8 not null,
  seq bigint not null
);
insert into webhook_cursor select pg_snapshot_xmin(pg_current_snapshot()), 0;

grant select, insert, update, delete on webhook_endpoint, webhook_delivery, webhook_cursor to tenantplane_app;
do $$ declare t text; begin
  foreach t in array array['webhook_endpoint', 'webhook_delivery', 'webhook_cursor'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy platform on %I using ((select app_platform())) with check ((select app_platform()))', t);
  end loop;
  foreach t in array array['webhook_endpoint', 'webhook_delivery'] loop
    execute format('create policy own_tenant on %I using (tenant_uid = any ((select app_tenants())::uuid[]))', t);
    execute format('create policy own_integrator on %I using (integrator_uid = any ((select app_integrators())::uuid[]))', t);
  end loop;
end $$;
