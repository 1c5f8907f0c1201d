// What the sandbox providers took: kept once per attempt id, the newest few thousand per tenant.
import type { Channel } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Queryable } from './database.ts';

export interface KeptMessage {
  attemptId: string;
  tenant: string;
  notificationId: string;
  userId: string;
  channel: Channel;
  address: string;
  title: string;
  body: string;
}

export interface SandboxEntry extends KeptMessage {
  /** When it was taken, milliseconds since the epoch. */
  atMs: number;
  /** When it was taken back; undefined: it was not. */
  clearedAtMs: number | undefined;
}

/** Keeps a message; the same attempt id again changes nothing. */
export async function keepSandboxMessage(db: Queryable, message: KeptMessage): Promise<void> {
  await db.query({
    name: 'sandbox-keep',
    text: `insert into sandbox_messages (attempt_id, tenant, notification_id, user_id, channel, address, title, body)
           values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (attempt_id) do nothing`,
    values: [
      message.attemptId,
      message.tenant,
      message.notificationId,
      message.userId,
      message.channel,
      message.address,
      message.title,
      message.body,
    ],
  });
}

/** Notes that a message was taken back; the first time counts. */
export async function clearSandboxMessage(db: Queryable, attemptId: string): Promise<void> {
  await db.query({
    name: 'sandbox-clear',
    text: 'update sandbox_messages set cleared_at = now() where attempt_id = $1 and cleared_at is null',
    values: [attemptId],
  });
}

/** Removes what is older than the newest `limits.sandboxKeptCount` messages of the tenant. */
export async function trimSandboxMessages(db: Queryable, tenant: string): Promise<void> {
  await db.query({
    name: 'sandbox-trim',
    text: `delete from sandbox_messages where tenant = $1 and at <
             (select at from sandbox_messages where tenant = $1 order by at desc offset $2 limit 1)`,
    values: [tenant, limits.sandboxKeptCount],
  });
}

interface StoredMessage {
  attempt_id: string;
  tenant: string;
  notification_id: string;
  user_id: string;
  channel: number;
  address: string;
  title: string;
  body: string;
  at: Date;
  cleared_at: Date | null;
}

export interface SandboxFilter {
  tenant: string;
  channel?: Channel;
  userId?: string;
  /** At most so many; 1 to 1,000. */
  count: number;
}

/** Newest first. */
export async function listSandboxMessages(
  db: Queryable,
  { tenant, channel, userId, count }: SandboxFilter,
): Promise<SandboxEntry[]> {
  const { rows } = await db.query<StoredMessage>({
    name: 'sandbox-list',
    text: `select * from sandbox_messages
           where tenant = $1 and ($2::smallint is null or channel = $2) and ($3::text is null or user_id = $3)
           order by at desc, attempt_id desc limit $4`,
    values: [tenant, channel ?? null, userId ?? null, count],
  });
  return rows.map((row) => ({
    attemptId: row.attempt_id,
    tenant: row.tenant,
    notificationId: row.notification_id,
    userId: row.user_id,
    channel: row.channel as Channel,
    address: row.address,
    title: row.title,
    body: row.body,
    atMs: row.at.getTime(),
    clearedAtMs: row.cleared_at?.getTime(),
  }));
}
