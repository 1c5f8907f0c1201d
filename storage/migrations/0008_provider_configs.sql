-- Providers that tenants configured: which service, its settings, and its place in the pool of tenant and channel.
create table provider_configs (
  tenant text collate "C" not null,
  channel smallint not null,
  name text collate "C" not null,
  kind text not null,
  position smallint not null,
  weight smallint not null,
  draining boolean not null,
  -- Without secrets.
  settings jsonb not null,
  secret_names text[] not null,
  -- A JSON object, sealed with the tenant's key for this tenant, channel, name and version; null: no secrets.
  secrets bytea,
  -- mesh.providers_version of the change that wrote the settings: what was sealed for another one does not open here.
  version bigint not null,
  updated_at timestamptz not null default now(),
  primary key (tenant, channel, name)
);

-- One data key per tenant, sealed by a master key.
create table tenant_keys (
  tenant text collate "C" primary key,
  -- Which one, as the master key's keeper calls it.
  master_key text not null,
  sealed bytea not null,
  created_at timestamptz not null default now()
);

-- Counts changes of provider_configs, so that a look every second or two reads one number.
alter table mesh add column providers_version bigint not null default 0;

-- Empty tenant: a provider of the process's own configuration, which all tenants share that have none. Rate: calls a second, 0: no bound.
alter table provider_reports
  add column tenant text collate "C" not null default '',
  add column rate float8 not null default 0,
  add column problem text not null default '',
  drop constraint provider_reports_pkey,
  add primary key (node, tenant, channel, provider);
