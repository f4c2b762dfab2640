-- Feature flags: definitions as the evaluator takes them, and what only people and the server read.
-- Keys are the callers' own words: compared byte by byte.
create table flag (
  uid uuid primary key,
  flag_id text collate "C" not null unique,
  definition jsonb not null,
  description text not null,
  owner text collate "C" not null,
  labels jsonb not null,
  tenant_overridable boolean not null,
  expires_at timestamptz,
  -- What the definition refers to, so that references can be followed both ways.
  flag_refs text[] collate "C" not null,
  segment_refs text[] collate "C" not null,
  group_ref text collate "C",
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index flag_by_flag_ref on flag using gin (flag_refs);
create index flag_by_segment_ref on flag using gin (segment_refs);
create index flag_by_group_ref on flag (group_ref) where group_ref is not null;
create index flag_by_labels on flag using gin (labels jsonb_path_ops);
create index flag_by_created on flag (created_at, flag_id);
create index flag_by_updated on flag (updated_at, flag_id);

-- The flag as it was after each of its writes.
create table flag_revision (
  flag_uid uuid not null references flag on delete cascade,
  revision bigint not null,
  flag jsonb not null,
  verb text not null,
  actor text not null,
  reason text not null,
  at timestamptz not null,
  primary key (flag_uid, revision)
);

create table flag_segment (
  uid uuid primary key,
  segment_id text collate "C" not null unique,
  definition jsonb not null,
  description text not null,
  included_count int not null,
  excluded_count int not null,
  segment_refs text[] collate "C" not null,
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index flag_segment_by_segment_ref on flag_segment using gin (segment_refs);

create table flag_segment_member (
  segment_uid uuid not null references flag_segment on delete cascade,
  key text collate "C" not null,
  excluded boolean not null,
  primary key (segment_uid, key)
);
create index flag_segment_member_by_list on flag_segment_member (segment_uid, excluded, key);

create table flag_group (
  uid uuid primary key,
  group_id text collate "C" not null unique,
  definition jsonb not null,
  description text not null,
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create table flag_override (
  tenant_uid uuid not null references tenant on delete cascade,
  flag_uid uuid not null references flag,
  serve jsonb not null,
  -- What it refers to: variants of its flag, and segments.
  variant_refs text[] collate "C" not null,
  segment_refs text[] collate "C" not null,
  reason text not null,
  writer text not null,
  expires_at timestamptz,
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (tenant_uid, flag_uid)
);
create index flag_override_by_flag on flag_override (flag_uid);
create index flag_override_by_segment_ref on flag_override using gin (segment_refs);
create index flag_override_by_expiry on flag_override (expires_at) where expires_at is not null;

create table flag_schedule (
  uid uuid primary key,
  schedule_id text collate "C" not null unique,
  description text not null,
  apply_at timestamptz not null,
  changes jsonb not null,
  flag_refs text[] collate "C" not null,
  state text not null check (state in ('PENDING', 'APPLIED', 'FAILED')),
  failure text not null,
  finished_at timestamptz,
  creator text not null,
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  check ((state = 'PENDING') = (finished_at is null))
);
create index flag_schedule_due on flag_schedule (apply_at) where state = 'PENDING';
create index flag_schedule_by_flag_ref on flag_schedule using gin (flag_refs) where state = 'PENDING';

-- How often each variant was given on a day; the caller's default under the empty name.
create table flag_usage (
  flag_uid uuid not null references flag on delete cascade,
  variant text collate "C" not null,
  day date not null,
  count bigint not null,
  last_at timestamptz not null,
  primary key (flag_uid, day, variant)
);

grant select, insert, update, delete on flag, flag_revision, flag_segment, flag_segment_member, flag_group, flag_override,
  flag_schedule, flag_usage to tenantplane_app;

do $$ declare t text; begin
  foreach t in array array['flag', 'flag_revision', 'flag_segment', 'flag_segment_member', 'flag_group', 'flag_override',
                           'flag_schedule', 'flag_usage'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy platform on %I using ((select app_platform())) with check ((select app_platform()))', t);
  end loop;
end $$;

-- Those who may override a flag may see it; the server leaves its rules out.
create policy read_overridable on flag for select
  using (tenant_overridable and ((select app_tenants()) is not null or (select app_integrators()) is not null));
create policy own_tenant on flag_override using (tenant_uid = any ((select app_tenants())::uuid[]));
create policy own_integrator on flag_override using (tenant_uid in (select uid from tenant
  where integrator_uid = any ((select app_integrators())::uuid[])));
