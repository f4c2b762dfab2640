-- What Postgres has given away to the hot state, and what became of it. A count is named by its holder, its field (a limit
-- and its rule) and the start of its period (0: a gauge). Its mark is that start, or the time of a gauge's newest observation:
-- what was counted before a mark does not count after it. Marks are epoch milliseconds, as the hot state has them.

-- A holder of counts: a tenant or an integrator. Its hot state belongs to an epoch; a lost one is followed by the next.
create table quota_holder (
  holder_uid uuid primary key,
  tenant_uid uuid references tenant on delete cascade,
  integrator_uid uuid references integrator on delete cascade,
  epoch bigint not null,
  opened_at timestamptz not null,
  check (holder_uid = coalesce(tenant_uid, integrator_uid) and (tenant_uid is null or integrator_uid is null))
);
create index quota_holder_by_tenant on quota_holder (tenant_uid) where tenant_uid is not null;
create index quota_holder_by_integrator on quota_holder (integrator_uid) where integrator_uid is not null;

-- One row a count and period, and one a gauge. All that was ever given is `base + given`: what earlier epochs count for, and
-- what the current one was given.
create table allotment (
  holder_uid uuid not null references quota_holder on delete cascade,
  field text collate "C" not null,
  start_mark bigint not null,
  limit_id text collate "C" not null,
  window_id text collate "C" not null,
  ends_at timestamptz,
  mark bigint not null,
  epoch bigint not null,
  opened_at timestamptz not null,
  grant_number bigint not null,
  base bigint not null,
  given bigint not null check (given >= 0),
  -- What the hot state had spent of the current epoch when the next period took its place.
  ended_spent bigint,
  primary key (holder_uid, field, start_mark)
);
create index allotment_by_window on allotment (holder_uid, limit_id, window_id);
create index allotment_by_end on allotment (ends_at);

-- Epochs that are over, until all that was spent in them is known: until then they count for all they were given.
create table allotment_epoch (
  holder_uid uuid not null,
  field text collate "C" not null,
  start_mark bigint not null,
  mark bigint not null,
  epoch bigint not null,
  counted bigint not null,
  opened_at timestamptz not null,
  ended_at timestamptz not null,
  primary key (holder_uid, field, start_mark, mark, epoch),
  foreign key (holder_uid, field, start_mark) references allotment on delete cascade
);
create index allotment_epoch_by_end on allotment_epoch (ended_at);

-- The ledger: what the nodes were told is spent, by count and epoch, and what came of reservations and leases.
create table admission (
  holder_uid uuid not null references quota_holder on delete cascade,
  field text collate "C" not null,
  mark bigint not null,
  epoch bigint not null,
  spent bigint not null,
  updated_at timestamptz not null,
  primary key (holder_uid, field, mark, epoch)
);

-- What open reservations and leases may still come to.
create table allotment_hold (
  owner_uid uuid not null,
  holder_uid uuid not null references quota_holder on delete cascade,
  field text collate "C" not null,
  mark bigint not null,
  epoch bigint not null,
  amount bigint not null,
  primary key (owner_uid, holder_uid, field)
);
create index allotment_hold_by_count on allotment_hold (holder_uid, field, mark, epoch);

-- Nodes that admit, and up to when the ledger has all that each was told. Writes are numbered: one that may have been
-- carried out is not carried out twice.
create table quota_node (
  node_uid uuid primary key,
  started_at timestamptz not null,
  flushed_at timestamptz not null,
  flush_number bigint not null,
  stopped_at timestamptz
);

create table reservation (
  tenant_uid uuid not null references tenant on delete cascade,
  reservation_uid uuid not null,
  state text not null check (state in ('HELD', 'COMMITTED', 'CANCELLED', 'EXPIRED')),
  entries jsonb not null,
  -- What it holds of each limit, with the epoch and the mark of the count; of a committed one also what was spent.
  parts jsonb not null,
  late boolean not null,
  expires_at timestamptz not null,
  request_id text,
  request_hash text,
  resolution_id text,
  resolution_hash text,
  -- The hot state has what became of it.
  applied boolean not null,
  updated_at timestamptz not null,
  primary key (tenant_uid, reservation_uid),
  unique (tenant_uid, request_id)
);
create index reservation_due on reservation (expires_at) where state = 'HELD';
create index reservation_unapplied on reservation (updated_at) where not applied;
create index reservation_by_end on reservation (updated_at) where state <> 'HELD';

create table quota_lease (
  tenant_uid uuid not null references tenant on delete cascade,
  lease_uid uuid not null,
  state text not null check (state in ('ACTIVE', 'RETURNED', 'LAPSED', 'RECLAIMED')),
  meter text not null,
  parts jsonb not null,
  amount bigint not null,
  spent bigint not null check (spent between 0 and amount),
  ttl_ms bigint not null,
  version text not null,
  expires_at timestamptz not null,
  request_id text,
  request_hash text,
  revision bigint not null,
  updated_at timestamptz not null,
  primary key (tenant_uid, lease_uid),
  unique (tenant_uid, request_id)
);
create index quota_lease_due on quota_lease (expires_at) where state = 'ACTIVE';
create index quota_lease_by_end on quota_lease (updated_at) where state <> 'ACTIVE';

grant select, insert, update, delete on quota_holder, allotment, allotment_epoch, admission, allotment_hold, quota_node,
  reservation, quota_lease to tenantplane_app;

do $$ declare t text; begin
  foreach t in array array['quota_holder', 'allotment', 'allotment_epoch', 'admission', 'allotment_hold', 'quota_node',
                           'reservation', 'quota_lease'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy platform on %I using ((select app_platform())) with check ((select app_platform()))', t);
  end loop;
  -- Counts are the server's own to write; their holders may see them.
  foreach t in array array['allotment', 'admission', 'allotment_hold'] loop
    execute format('create policy own_tenant on %I for select using (holder_uid = any ((select app_tenants())::uuid[]))', t);
    execute format('create policy own_integrator on %I for select using (holder_uid = any ((select app_integrators())::uuid[])
      or holder_uid in (select uid from tenant where integrator_uid = any ((select app_integrators())::uuid[])))', t);
  end loop;
end $$;
