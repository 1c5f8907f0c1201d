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
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);

-- Who reads a partition for a group, and what it has finished. `fence` rises with every change of owner.
create table log_cursors (
  "group" text collate "C" not null,
  topic text collate "C" not null,
  partition smallint not null,
  -- The next offset to read.
  position bigint not null default 0,
  -- The member that reads it, as long as that member's row is there.
  owner text collate "C" not null default '',
  fence integer not null default 0,
  primary key ("group", topic, partition)
) with (fillfactor = 50);

-- The members of a group; partitions are shared out among those whose lease holds. A member whose lease ran out is
-- removed by whoever takes its partitions over, so that a renewal that hits no row says: you have lost them.
create table log_members (
  "group" text collate "C" not null,
  member text collate "C" not null,
  topics text[] not null,
  lease_until timestamptz not null,
  primary key ("group", member)
);
