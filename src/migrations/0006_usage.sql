-- Usage: events as they came, how far they are folded, and the roll-ups.
alter table meter add column event_source jsonb;

create sequence usage_event_seq;
grant usage on sequence usage_event_seq to tenantplane_app;

-- Partitioned by era: 32 days of receipt. An event's key is looked for in the era of now and the one before.
create table usage_event (
  era int not null,
  tenant_uid uuid not null,
  -- Of source and id.
  event_key uuid not null,
  source text not null,
  event_id text not null,
  event_type text not null,
  at timestamptz not null,
  received_at timestamptz not null,
  data jsonb not null,
  shard smallint not null,
  xid xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('usage_event_seq'),
  voided_at timestamptz,
  primary key (tenant_uid, event_key, era)
) partition by list (era);
create index usage_event_to_fold on usage_event (shard, xid, seq);
create index usage_event_by_time on usage_event (tenant_uid, at);

-- Eras are begun by the server, which owns no table: through this function alone.
create function begin_usage_era(wanted int) returns void language plpgsql security definer set search_path = public, pg_temp
as $$ begin
  if to_regclass('usage_event_' || wanted) is not null then return; end if;
  perform pg_advisory_xact_lock(7315004);
  if to_regclass('usage_event_' || wanted) is not null then return; end if;
  execute format('create table usage_event_%s (like usage_event including defaults including constraints)', wanted);
  execute format('alter table usage_event_%s enable row level security', wanted);
  execute format('alter table usage_event_%s force row level security', wanted);
  execute format('alter table usage_event attach partition usage_event_%s for values in (%s)', wanted, wanted);
end $$;
-- Ends eras that are over: the partitions go as a whole.
create function end_usage_eras(kept_from int) returns int language plpgsql security definer set search_path = public, pg_temp
as $$ declare name text; ended int := 0; begin
  for name in select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'usage_event'::regclass and substring(c.relname from '\d+$')::int < kept_from
  loop
    execute format('alter table usage_event detach partition %I', name);
    execute format('drop table %I', name);
    ended := ended + 1;
  end loop;
  return ended;
end $$;

-- How far the events of a shard are folded.
create table usage_cursor (
  shard smallint primary key,
  xid xid8 not null,
  seq bigint not null
);
insert into usage_cursor select shard, '0', 0 from generate_series(0, 7) shard;

create table usage_bucket (
  tenant_uid uuid not null references tenant on delete cascade,
  meter_id text collate "C" not null,
  grain text not null check (grain in ('minute', 'hour', 'day')),
  start_at timestamptz not null,
  -- The dimensions as JSON, keys in order.
  group_key text collate "C" not null,
  sum numeric not null,
  count bigint not null,
  max numeric,
  latest numeric,
  latest_at timestamptz not null,
  primary key (tenant_uid, meter_id, grain, start_at, group_key)
);
create index usage_bucket_by_meter on usage_bucket (meter_id, grain, start_at);

-- The different values of meters that count them.
create table usage_unique (
  tenant_uid uuid not null references tenant on delete cascade,
  meter_id text collate "C" not null,
  hour_at timestamptz not null,
  group_key text collate "C" not null,
  value_key uuid not null,
  primary key (tenant_uid, meter_id, hour_at, group_key, value_key)
);

-- The groups of a tenant's meter; past their bound, new ones are "(other)".
create table usage_group (
  tenant_uid uuid not null references tenant on delete cascade,
  meter_id text collate "C" not null,
  group_key text collate "C" not null,
  primary key (tenant_uid, meter_id, group_key)
);

-- Minutes whose roll-ups must be made anew from the events.
create table usage_dirty (
  tenant_uid uuid not null references tenant on delete cascade,
  minute_at timestamptz not null,
  primary key (tenant_uid, minute_at)
);

grant select, insert, update, delete
  on usage_event, usage_cursor, usage_bucket, usage_unique, usage_group, usage_dirty to tenantplane_app;
revoke execute on function begin_usage_era(int), end_usage_eras(int) from public;
grant execute on function begin_usage_era(int), end_usage_eras(int) to tenantplane_app;

do $$ declare t text; begin
  foreach t in array array['usage_event', 'usage_cursor', 'usage_bucket', 'usage_unique', 'usage_group', 'usage_dirty'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy platform on %I using ((select app_platform())) with check ((select app_platform()))', t);
  end loop;
  foreach t in array array['usage_event', 'usage_bucket', 'usage_unique', 'usage_group'] loop
    execute format('create policy own_tenant on %I using (tenant_uid = any ((select app_tenants())::uuid[]))', t);
    execute format('create policy own_integrator on %I using (tenant_uid in (select uid from tenant
      where integrator_uid = any ((select app_integrators())::uuid[])))', t);
  end loop;
end $$;
-- How far events are folded tells nothing of anybody's.
create policy read_all on usage_cursor for select
  using ((select app_tenants()) is not null or (select app_integrators()) is not null);

select begin_usage_era((extract(epoch from now()) / 86400 / 32)::int), begin_usage_era((extract(epoch from now()) / 86400 / 32)::int + 1);
