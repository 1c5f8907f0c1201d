-- Who may call. `changed` is the transaction that wrote the row last: whoever mirrors a table reads what changed since the
-- oldest transaction that was open at the last look, and so misses nothing that was committed late.

create table api_keys (
  id uuid primary key,
  tenant text collate "C" not null,
  name text not null,
  scopes text[] not null,
  -- SHA-256 of the whole key. 256 random bits need no salt and no slow hash.
  hash bytea not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  changed xid8 not null default pg_current_xact_id()
);
create index api_keys_changed on api_keys (changed, id);
create index api_keys_tenant on api_keys (tenant, created_at);

-- Tokens of a user, or of one of its devices, that were issued until `not_before` are refused.
create table revocations (
  tenant text collate "C" not null,
  user_id text collate "C" not null,
  -- Empty: all devices.
  device_id text collate "C" not null,
  not_before timestamptz not null,
  changed xid8 not null default pg_current_xact_id(),
  primary key (tenant, user_id, device_id)
);
create index revocations_changed on revocations (changed, tenant, user_id, device_id);
create index revocations_age on revocations (not_before);

-- What a mesh on loopback signs its users' tokens with when nothing is configured; shared by all its processes.
alter table mesh add column local_secret bytea;
