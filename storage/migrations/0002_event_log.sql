-- The event log on PostgreSQL. A partition's offsets are given out under the lock of its head row, in the transaction
-- that appends: they rise in commit order and have no gaps, so that reading `offset > committed` misses nothing.

create table log_heads (
  topic text collate "C" not null,
  partition smallint not null,
  next_offset bigint not null default 0,
  primary key (topic, partition)
) with (fillfactor = 50);

create table log_records (
  topic text collate "C" not null,
  partition smallint not null,
  "offset" bigint not null,
  key text not null,
  value bytea not null,
  headers jsonb not null,
  appended_at timestamptz not null default now(),
  primary key (topic, partition, "offset")
);

-- Who reads a partition for a group, until when, and what it has finished. `fence` rises with every change of owner.
create table log_cursors (
  "group" text collate "C" not null,
  topic text collate "C" not null,
  partition smallint not null,
  -- The next offset to read.
  position bigint not null default 0,
  owner text not null default '',
  fence integer not null default 0,
  lease_until timestamptz not null default '-infinity',
  primary key ("group", topic, partition)
) with (fillfactor = 50);

-- The members of a group; partitions are shared out among those whose lease holds.
create table log_members (
  "group" text collate "C" not null,
  member text collate "C" not null,
  topics text[] not null,
  lease_until timestamptz not null,
  primary key ("group", member)
);
