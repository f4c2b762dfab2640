-- What quotas are made of: meters, the integrators' limits, overrides and grants of tenants, and the seats that are taken.
create table meter (
  meter_id text collate "C" primary key,
  uid uuid not null,
  display_name text collate "C" not null,
  kind text not null check (kind in ('RATE', 'PERIOD', 'GAUGE', 'CONCURRENCY')),
  unit text not null,
  description text not null,
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
insert into meter (meter_id, uid, display_name, kind, unit, description, revision, created_at, updated_at)
  values ('seats', gen_random_uuid(), 'Seats', 'GAUGE', 'user', 'Users of a tenant that are not disabled; kept by the server.',
    1, now(), now());

alter table integrator add column limits jsonb not null default '[]';

create table quota_override (
  tenant_uid uuid not null references tenant on delete cascade,
  override_id text collate "C" not null,
  uid uuid not null,
  limit_id text collate "C" not null,
  quota_limit jsonb not null,
  reason text not null,
  creator text not null,
  expires_at timestamptz,
  -- Set once its time has passed: nodes keep the others in memory.
  ended boolean not null,
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (tenant_uid, override_id)
);
create index quota_override_due on quota_override (expires_at) where not ended;

create table quota_grant (
  tenant_uid uuid not null references tenant on delete cascade,
  grant_id text collate "C" not null,
  uid uuid not null,
  limit_id text collate "C" not null,
  amount bigint not null check (amount > 0),
  -- What of it can be used in all: the amount, until the grant ends; then what the use has reached of it.
  usable_amount bigint not null check (usable_amount <= amount),
  used_amount bigint not null check (used_amount between 0 and usable_amount),
  priority int not null check (priority between 0 and 255),
  starts_at timestamptz not null,
  expires_at timestamptz,
  voided_at timestamptz,
  ended boolean not null,
  reason text not null,
  creator text not null,
  revision bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (tenant_uid, grant_id)
);
create index quota_grant_in_order on quota_grant
  (tenant_uid, priority, (coalesce(expires_at, 'infinity')), created_at, grant_id);
create index quota_grant_due on quota_grant (expires_at) where not ended;

-- The running period of a tenant's limit whose end has something to settle: a rollover, or grants that were used.
create table quota_period (
  tenant_uid uuid not null references tenant on delete cascade,
  limit_id text collate "C" not null,
  window_id text not null,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  -- The limit's own amount, in case its rule changes before the period's end.
  base_amount bigint not null,
  rollover_amount bigint not null,
  revision bigint not null,
  primary key (tenant_uid, limit_id)
);
create index quota_period_due on quota_period (ends_at);

-- The seats that a tenant's users take. It follows tenant_user by trigger, whoever writes that.
create table seat_count (
  tenant_uid uuid primary key references tenant on delete cascade,
  integrator_uid uuid,
  used_amount bigint not null check (used_amount >= 0)
);
create index seat_count_by_integrator on seat_count (integrator_uid);

create function count_seat() returns trigger language plpgsql as $$
declare taken int := 0;
begin
  if tg_op <> 'DELETE' and not new.disabled then taken := taken + 1; end if;
  if tg_op <> 'INSERT' and not old.disabled then taken := taken - 1; end if;
  if taken <> 0 then
    insert into seat_count (tenant_uid, integrator_uid, used_amount)
      select uid, integrator_uid, greatest(taken, 0) from tenant where uid = coalesce(new.tenant_uid, old.tenant_uid)
      on conflict (tenant_uid) do update set used_amount = seat_count.used_amount + taken;
  end if;
  return null;
end $$;

insert into seat_count (tenant_uid, integrator_uid, used_amount)
  select t.uid, t.integrator_uid, count(*) from tenant t join tenant_user u on u.tenant_uid = t.uid
  where not u.disabled group by t.uid;
create trigger tenant_user_seat after insert or update or delete on tenant_user for each row execute function count_seat();

grant select, insert, update, delete
  on meter, quota_override, quota_grant, quota_period, seat_count to tenantplane_app;

do $$ declare t text; begin
  foreach t in array array['meter', 'quota_override', 'quota_grant', 'quota_period', 'seat_count'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy platform on %I using ((select app_platform())) with check ((select app_platform()))', t);
  end loop;
  foreach t in array array['quota_override', 'quota_grant', 'quota_period', 'seat_count'] loop
    execute format('create policy own_integrator on %I using (tenant_uid in (select uid from tenant
      where integrator_uid = any ((select app_integrators())::uuid[])))', t);
  end loop;
  -- A tenant may see what it was given, and change nothing of it but the seats that its users take.
  foreach t in array array['quota_override', 'quota_grant', 'quota_period'] loop
    execute format('create policy own_tenant on %I for select using (tenant_uid = any ((select app_tenants())::uuid[]))', t);
  end loop;
end $$;
create policy own_tenant on seat_count using (tenant_uid = any ((select app_tenants())::uuid[]));
create policy read_all on meter for select
  using ((select app_tenants()) is not null or (select app_integrators()) is not null);

-- What a tenant's own transaction must know of its integrator, of which it may see no row: its limits, and its seats.
create function integrator_limits(integrator uuid)
  returns table (integrator_id text, limits jsonb, revision bigint, created_at timestamptz)
  language sql stable set app.platform = 'on'
  as $$ select i.integrator_id, i.limits, i.revision, i.created_at from integrator i where i.uid = integrator $$;
create function integrator_seats(integrator uuid) returns bigint language sql stable set app.platform = 'on'
  as $$ select coalesce(sum(used_amount), 0)::bigint from seat_count where integrator_uid = integrator $$;
