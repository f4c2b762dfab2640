-- The control plane's ground: everything in it is guarded by row level security, which the owner obeys too.
-- The server works as the role tenantplane_app, which owns nothing.
do $$ begin
  if not exists (select from pg_roles where rolname = 'tenantplane_app') then
    create role tenantplane_app nologin;
  end if;
exception when duplicate_object or unique_violation then null; -- another database of the cluster was faster
end $$;
do $$ begin execute format('grant tenantplane_app to %I', current_user); end $$;
grant usage on schema public to tenantplane_app;

-- What the transaction may see. Unset settings give no rows.
create function app_platform() returns boolean language sql stable parallel safe
  as $$ select coalesce(current_setting('app.platform', true), '') = 'on' $$;
create function app_tenants() returns uuid[] language sql stable parallel safe
  as $$ select string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[] $$;
create function app_integrators() returns uuid[] language sql stable parallel safe
  as $$ select string_to_array(nullif(current_setting('app.integrators', true), ''), ',')::uuid[] $$;

-- Facts of this database: its id and the keys that all nodes share.
create table node_secret (
  name text primary key,
  value bytea not null
);

create table integrator (
  uid uuid primary key,
  integrator_id text collate "C" not null unique,
  display_name text collate "C" not null,
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create table plan (
  uid uuid primary key,
  plan_id text collate "C" not null unique,
  version int not null,
  revision bigint not null,
  created_at timestamptz not null
);

create table plan_version (
  plan_uid uuid not null references plan on delete cascade,
  version int not null,
  display_name text collate "C" not null,
  limits jsonb not null,
  entitlements jsonb not null,
  settings jsonb not null,
  created_at timestamptz not null,
  primary key (plan_uid, version)
);

create table tenant (
  uid uuid primary key,
  tenant_id text collate "C" not null unique,
  display_name text collate "C" not null,
  state text not null check (state in ('CREATED', 'ACTIVE', 'SUSPENDED', 'ARCHIVED', 'DELETED')),
  prior_state text check (prior_state in ('CREATED', 'ACTIVE', 'SUSPENDED', 'ARCHIVED')),
  -- ARCHIVED remembers the state before it even while the tenant is deleted.
  archived_from text check (archived_from in ('ACTIVE', 'SUSPENDED')),
  suspensions jsonb not null,
  legal_holds jsonb not null,
  integrator_uid uuid references integrator,
  integrator_id text,
  plan_uid uuid not null,
  plan_id text not null,
  plan_version int not null,
  labels jsonb not null,
  region text collate "C" not null,
  settings jsonb not null,
  time_zone text not null,
  epoch bigint not null,
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  deleted_at timestamptz,
  purge_at timestamptz,
  foreign key (plan_uid, plan_version) references plan_version (plan_uid, version),
  check ((state = 'DELETED') = (deleted_at is not null)),
  check ((state = 'DELETED') = (purge_at is not null))
);
create index tenant_by_integrator on tenant (integrator_uid, tenant_id);
create index tenant_by_plan on tenant (plan_uid, plan_version);
create index tenant_by_created on tenant (created_at, tenant_id);
create index tenant_by_updated on tenant (updated_at, tenant_id);
create index tenant_by_display_name on tenant (display_name, tenant_id);
create index tenant_by_labels on tenant using gin (labels jsonb_path_ops);
create index tenant_due_for_purge on tenant (purge_at) where state = 'DELETED';

create table transition (
  tenant_uid uuid not null references tenant on delete cascade,
  epoch bigint not null,
  uid uuid not null,
  verb text not null,
  from_state text,
  to_state text not null,
  reason text not null,
  actor text not null,
  at timestamptz not null,
  primary key (tenant_uid, epoch)
);

create table tenant_user (
  tenant_uid uuid not null references tenant on delete cascade,
  user_id text not null,
  email text not null,
  email_key text collate "C" not null,
  display_name text collate "C" not null,
  role text not null,
  disabled boolean not null,
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (tenant_uid, user_id),
  unique (tenant_uid, email_key)
);

create table api_key (
  key_id text primary key,
  display_name text collate "C" not null,
  role text not null,
  scope text not null,
  tenant_uid uuid references tenant on delete cascade,
  integrator_uid uuid references integrator on delete cascade,
  secret_hash bytea not null,
  previous_hash bytea,
  previous_expires_at timestamptz,
  expires_at timestamptz,
  created_at timestamptz not null,
  revoked_at timestamptz,
  last_used_at timestamptz,
  revision bigint not null
);
create index api_key_by_tenant on api_key (tenant_uid, key_id);
create index api_key_by_integrator on api_key (integrator_uid, key_id);

-- No foreign keys: the log outlives what it tells of.
create table audit_entry (
  id bigint generated always as identity primary key,
  xid xid8 not null default pg_current_xact_id(),
  tenant_uid uuid,
  integrator_uid uuid,
  at timestamptz not null,
  actor text not null,
  method text not null,
  resource text not null,
  request_id text not null,
  outcome text not null check (outcome in ('OK', 'DENIED')),
  changes jsonb not null,
  reason text not null,
  caller_address text not null
);
create index audit_entry_by_tenant on audit_entry (tenant_uid, id);
create index audit_entry_by_integrator on audit_entry (integrator_uid, id);

-- Read in commit order: by xid below the snapshot's xmin, so a late committer is never skipped.
create table change (
  xid xid8 not null default pg_current_xact_id(),
  seq bigint generated always as identity,
  noun text not null,
  resource text not null,
  tenant_uid uuid,
  integrator_uid uuid,
  before jsonb,
  after jsonb,
  at timestamptz not null,
  primary key (xid, seq)
);
create index change_by_time on change (at);

-- The newest transaction whose changes were forgotten.
create table change_floor (
  xid xid8 not null
);
insert into change_floor values ('0');

create table idempotency (
  actor text not null,
  method text not null,
  request_id text not null,
  request_hash text not null,
  response jsonb,
  at timestamptz not null,
  primary key (actor, method, request_id)
);
create index idempotency_by_time on idempotency (at);

create function refuse_rewrite() returns trigger language plpgsql as $$
begin raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege'; end $$;
create trigger audit_entry_append_only before update or delete or truncate on audit_entry
  for each statement execute function refuse_rewrite();

grant select on node_secret to tenantplane_app;
grant insert, select on audit_entry to tenantplane_app;
grant select, insert, update, delete
  on integrator, plan, plan_version, tenant, transition, tenant_user, api_key, change, change_floor, idempotency to tenantplane_app;

do $$ declare t text; begin
  foreach t in array array['node_secret', 'integrator', 'plan', 'plan_version', 'tenant', 'transition', 'tenant_user',
                           'api_key', 'audit_entry', 'change', 'change_floor', 'idempotency'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy platform on %I using ((select app_platform())) with check ((select app_platform()))', t);
  end loop;
end $$;

-- Plans are everybody's to read.
create policy read_all on plan for select
  using ((select app_tenants()) is not null or (select app_integrators()) is not null);
create policy read_all on plan_version for select
  using ((select app_tenants()) is not null or (select app_integrators()) is not null);
create policy own on integrator for all using (uid = any ((select app_integrators())::uuid[]));
create policy own_tenant on tenant using (uid = any ((select app_tenants())::uuid[]));
create policy own_integrator on tenant using (integrator_uid = any ((select app_integrators())::uuid[]));
do $$ declare t text; begin
  foreach t in array array['transition', 'tenant_user', 'api_key', 'audit_entry', 'change'] loop
    execute format('create policy own_tenant on %I using (tenant_uid = any ((select app_tenants())::uuid[]))', t);
  end loop;
  foreach t in array array['transition', 'tenant_user'] loop
    execute format('create policy own_integrator on %I using (tenant_uid in (select uid from tenant
      where integrator_uid = any ((select app_integrators())::uuid[])))', t);
  end loop;
  foreach t in array array['api_key', 'audit_entry', 'change'] loop
    execute format('create policy own_integrator on %I using (integrator_uid = any ((select app_integrators())::uuid[]))', t);
  end loop;
end $$;
-- A request id belongs to its caller.
create policy own_actor on idempotency using (actor = (select current_setting('app.actor', true)));
