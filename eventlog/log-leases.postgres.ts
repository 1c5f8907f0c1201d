// The statements by which members of a group share its partitions on PostgreSQL: join, renew, claim, commit, release, leave.

import { limits } from '../runtime/limits.ts';
import type { Database, Queryable } from '../storage/database.ts';

export interface PartitionKey {
  group: string;
  topic: string;
  partition: number;
}

export interface Claimed {
  topic: string;
  partition: number;
  position: bigint;
  fence: number;
}

export interface Finished extends PartitionKey {
  fence: number;
  position: bigint;
}

export interface Member {
  group: string;
  member: string;
  topics: readonly string[];
  alive: boolean;
}

export interface Head {
  topic: string;
  partition: number;
  next: bigint;
}

export interface Survey {
  /** Of the members that were asked about, those that still are. */
  renewed: ReadonlySet<string>;
  members: readonly Member[];
  heads: readonly Head[];
}

/** Makes the group's cursors and announces the member. */
export async function join(
  db: Queryable,
  { group, member, topics }: { group: string; member: string; topics: readonly string[] },
): Promise<void> {
  await db.query({
    name: 'log-join',
    text: `with cursors as (
      insert into log_cursors ("group", topic, partition)
      select $1, topic, partition from log_heads where topic = any($3) order by topic, partition
      on conflict do nothing
    )
    insert into log_members ("group", member, topics, lease_until)
    values ($1, $2, $3, now() + $4 * interval '1 ms')
    on conflict ("group", member) do update set lease_until = excluded.lease_until, topics = excluded.topics`,
    values: [group, member, topics, limits.logLeaseMs],
  });
}

// One statement does what has to be done each second: so much, and no more, costs an idle process.
const SURVEY = `
with mine as (
  select "group", member from log_members where member = any($1) order by "group", member for update
), renewed as (
  update log_members m set lease_until = now() + $2 * interval '1 ms'
  from mine where m."group" = mine."group" and m.member = mine.member
  returning m.member
)
select
  (select coalesce(json_agg(member), '[]') from renewed) as renewed,
  (select coalesce(json_agg(json_build_object('group', "group", 'member', member, 'topics', topics,
      'alive', lease_until > now())), '[]') from log_members) as members,
  (select coalesce(json_agg(json_build_array(topic, partition, next_offset::text)), '[]')
    from log_heads where topic = any($3)) as heads`;

interface SurveyRow {
  renewed: string[];
  members: Member[];
  heads: [topic: string, partition: number, next: string][];
}

/** Renews the leases of `members`, and tells who else there is and how far the topics have grown. */
export async function survey(
  db: Queryable,
  members: readonly string[],
  topics: readonly string[],
): Promise<Survey> {
  const { rows } = await db.query<SurveyRow>({
    name: 'log-survey',
    text: SURVEY,
    values: [members, limits.logLeaseMs, topics],
  });
  const [row] = rows;
  return {
    renewed: new Set(row?.renewed),
    members: row?.members ?? [],
    heads: (row?.heads ?? []).map(([topic, partition, next]) => ({ topic, partition, next: BigInt(next) })),
  };
}

const CLAIM = `
with free as (
  select c."group", c.topic, c.partition from log_cursors c
  join unnest($3::text[], $4::smallint[]) as w(topic, partition)
    on c.topic = w.topic collate "C" and c.partition = w.partition
  where c."group" = $1 and (c.owner = $2
    or not exists (select 1 from log_members m where m."group" = c."group" and m.member = c.owner))
  order by c."group", c.topic, c.partition for update of c
)
update log_cursors c set owner = $2, fence = c.fence + 1
from free where c."group" = free."group" and c.topic = free.topic and c.partition = free.partition
returning c.topic, c.partition, c.position, c.fence`;

/**
 * Takes those of `wanted` that nobody holds. Members whose lease ran out are removed first: their renewal either came
 * before, and they stay, or waits for us, and hits nothing.
 */
export async function claim(
  db: Database,
  group: string,
  member: string,
  wanted: readonly { topic: string; partition: number }[],
): Promise<Claimed[]> {
  return await db.transaction(async (tx) => {
    await tx.query({
      name: 'log-claim-lock',
      text: 'select pg_advisory_xact_lock(hashtextextended($1, 0))',
      values: [`carillon log ${group}`],
    });
    await tx.query({
      name: 'log-expel',
      text: `with dead as (select "group", member from log_members
          where "group" = $1 and lease_until <= now() order by "group", member for update)
        delete from log_members m using dead where m."group" = dead."group" and m.member = dead.member`,
      values: [group],
    });
    const { rows } = await tx.query<{ topic: string; partition: number; position: string; fence: number }>({
      name: 'log-claim',
      text: CLAIM,
      values: [group, member, wanted.map((each) => each.topic), wanted.map((each) => each.partition)],
    });
    return rows.map((row) => ({ ...row, position: BigInt(row.position) }));
  });
}

const COMMIT = `
with done as (
  select c."group", c.topic, c.partition, v.position
  from unnest($1::text[], $2::text[], $3::smallint[], $4::integer[], $5::bigint[])
    as v("group", topic, partition, fence, position)
  join log_cursors c on c."group" = v."group" collate "C" and c.topic = v.topic collate "C"
    and c.partition = v.partition and c.fence = v.fence
  order by c."group", c.topic, c.partition for update of c
)
update log_cursors c set position = greatest(c.position, done.position), owner = case when $6 then '' else c.owner end
from done where c."group" = done."group" and c.topic = done.topic and c.partition = done.partition
returning c."group", c.topic, c.partition`;

/** Stores how far partitions are finished. Returns those whose fence still held; the others belong to somebody else. */
export async function commit(
  db: Queryable,
  finished: readonly Finished[],
  release = false,
): Promise<PartitionKey[]> {
  const { rows } = await db.query<{ group: string; topic: string; partition: number }>({
    name: 'log-commit',
    text: COMMIT,
    values: [
      finished.map((each) => each.group),
      finished.map((each) => each.topic),
      finished.map((each) => each.partition),
      finished.map((each) => each.fence),
      finished.map((each) => each.position),
      release,
    ],
  });
  return rows;
}

export async function leave(db: Queryable, group: string, member: string): Promise<void> {
  await db.query({
    name: 'log-leave',
    text: 'delete from log_members where "group" = $1 and member = $2',
    values: [group, member],
  });
}

/** Who should read what: a topic's partitions go round its members, each topic beginning with another one. */
export function shareOut(
  members: readonly Member[],
  group: string,
  topics: readonly string[],
  member: string,
): { topic: string; partition: number }[] {
  const alive = members.filter((each) => each.alive && each.group === group);
  return topics.flatMap((topic) => {
    const readers = alive.filter((each) => each.topics.includes(topic)).map((each) => each.member);
    readers.sort();
    const own = readers.indexOf(member);
    if (own < 0) return [];
    const shift = [...topic].reduce((sum, letter) => sum + (letter.codePointAt(0) ?? 0), 0);
    return Array.from({ length: limits.logPartitionsCount }, (_, partition) => partition)
      .filter((partition) => (partition + shift) % readers.length === own)
      .map((partition) => ({ topic, partition }));
  });
}
