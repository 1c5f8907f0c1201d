-- The mesh's own tables. Enums are the numbers of proto/carillon/v1. Text that is compared or locked in order is
-- collated "C", so that every process and every query agrees on the order. Hot tables are partitioned by the time in
-- their UUIDv7 id (storage/partitions.ts makes the weeks) and have no foreign keys.

-- The identity of this store: a cursor of another one does not apply here.
create table mesh (
  one boolean primary key default true check (one),
  epoch text not null
);
insert into mesh (epoch) values (substr(md5(gen_random_uuid()::text), 1, 8));

create table idempotency_keys (
  tenant text collate "C" not null,
  key text collate "C" not null,
  request_hash bytea not null,
  notification_id uuid not null,
  created_at timestamptz not null default now(),
  primary key (tenant, key)
);
create index idempotency_keys_age on idempotency_keys using brin (created_at);

create table notifications (
  id uuid not null,
  tenant text collate "C" not null,
  lane smallint not null,
  category text not null,
  state smallint not null,
  -- carillon.v1.Notification
  payload bytea not null,
  recipients integer not null,
  -- Recipients whose rows are stored; EXPANDED when all are.
  expanded integer not null default 0,
  traceparent text,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  -- When it must be looked at again if nothing else did; null once EXPANDED, CANCELLED or EXPIRED.
  due_at timestamptz,
  primary key (id)
) partition by range (id);
create index notifications_due on notifications (due_at) where due_at is not null;

-- Records on their way to the event log. Written leased to the process that publishes them; `id` rises with the order
-- in which a process wrote them. A lane is swept by one process at a time, which marks what it has taken.
create table outbox (
  id uuid primary key,
  lane smallint not null,
  topic text not null,
  key text not null,
  value bytea not null,
  headers jsonb not null,
  created_at timestamptz not null default now(),
  lease_owner text not null,
  lease_until timestamptz not null,
  swept boolean not null default false
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
create index outbox_order on outbox (lane, id);
create index outbox_swept on outbox (lane) where swept;

-- One row per recipient for the step that is current; several only when `channels` asks for all at once.
create table deliveries (
  notification_id uuid not null,
  user_id text collate "C" not null,
  -- The first channel of the plan: the row's key, whatever step it has come to.
  channel smallint not null,
  tenant text collate "C" not null,
  lane smallint not null,
  state smallint not null,
  reason text not null default '',
  -- [{"channel": 1, "afterMs": 10000, "until": "ack"}, …]; `step` is the index of the current one.
  steps jsonb not null,
  step smallint not null default 0,
  step_channel smallint not null,
  -- The inbox item that belongs to this row, by the seq under which it was first delivered.
  seq integer,
  -- Provider calls in the current step, and over all.
  tries smallint not null default 0,
  attempts smallint not null default 0,
  -- When this row must be looked at again if nothing else happened; null at an end.
  due_at timestamptz,
  -- Rises with every claim: a compare-and-set of an older claim hits nothing.
  fence integer not null default 0,
  -- What the plan knew: {"online": true, "email": true, …}; why() reads it.
  inputs jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (notification_id, user_id, channel)
) partition by range (notification_id);
create index deliveries_due on deliveries (step_channel, lane, due_at) where due_at is not null;

-- One row per provider call and address, committed before the call.
create table delivery_attempts (
  -- Travels to the provider with the message.
  id uuid not null,
  notification_id uuid not null,
  user_id text collate "C" not null,
  channel smallint not null,
  tenant text collate "C" not null,
  step smallint not null,
  step_channel smallint not null,
  provider text not null,
  address text not null,
  -- sending, then sent | transient | permanent | ambiguous
  outcome text not null,
  provider_message_id text not null default '',
  error text not null default '',
  started_at timestamptz not null,
  ended_at timestamptz,
  primary key (id)
) partition by range (id);
create index delivery_attempts_of on delivery_attempts (notification_id, user_id);

-- The last seq of each user, and how many items are unseen and unread. Locked last, in key order.
create table inbox_heads (
  tenant text collate "C" not null,
  user_id text collate "C" not null,
  head integer not null,
  unseen integer not null default 0,
  unread integer not null default 0,
  primary key (tenant, user_id)
) with (fillfactor = 70);

create table inbox_items (
  tenant text collate "C" not null,
  user_id text collate "C" not null,
  -- Moves to the head when the item is marked, so that every device sees the change; `first_seq` stays.
  seq integer not null,
  first_seq integer not null,
  notification_id uuid not null,
  seen_at timestamptz,
  read_at timestamptz,
  archived_at timestamptz,
  created_at timestamptz not null,
  -- By `first_seq`: a device that is behind is given the item there, however often it moved since; so none is given twice.
  primary key (tenant, user_id, first_seq, notification_id)
) partition by range (notification_id);
-- What was marked; an item that never was costs nothing here.
create index inbox_items_moved on inbox_items (tenant, user_id, seq) where seq > first_seq;

create table users (
  tenant text collate "C" not null,
  id text collate "C" not null,
  email text not null default '',
  phone text not null default '',
  locale text not null default '',
  timezone text not null default '',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant, id)
);

create table devices (
  tenant text collate "C" not null,
  user_id text collate "C" not null,
  device_id text collate "C" not null,
  platform smallint not null,
  token text not null,
  registered_at timestamptz not null default now(),
  last_seen_at timestamptz not null default now(),
  primary key (tenant, user_id, device_id)
);

create table dead_letters (
  id uuid primary key,
  tenant text collate "C" not null,
  -- `provider`, or the topic of a record that could not be handled.
  source text not null,
  key text not null default '',
  lane smallint not null default 0,
  channel smallint not null default 0,
  notification_id uuid,
  user_id text collate "C" not null default '',
  value bytea not null default '',
  headers jsonb not null default '{}',
  error text not null,
  created_at timestamptz not null default now(),
  replayed_at timestamptz
);
create index dead_letters_open on dead_letters (tenant, id) where replayed_at is null;

-- What the sandbox providers took.
create table sandbox_messages (
  attempt_id uuid primary key,
  tenant text collate "C" not null,
  notification_id uuid not null,
  user_id text collate "C" not null,
  channel smallint not null,
  address text not null,
  title text not null,
  body text not null,
  at timestamptz not null default now()
);
create index sandbox_messages_at on sandbox_messages (tenant, at);

-- What each process says of its providers; read by `carillon providers list`.
create table provider_reports (
  node text not null,
  provider text not null,
  channel smallint not null,
  breaker smallint not null,
  reported_at timestamptz not null default now(),
  primary key (node, provider, channel)
);
