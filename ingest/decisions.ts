// Says in sentences what was decided about one recipient and why, oldest first: pure, from what is stored.
import { create } from '@bufbuild/protobuf';
import { timestampDate, timestampFromDate } from '@bufbuild/protobuf/wkt';
import { channelName, laneName } from '../eventlog/topics.ts';
import { type Decision, DecisionSchema } from '../gen/carillon/v1/ingest_pb.ts';
import {
  type Channel,
  DeliveryState,
  type Lane,
  NotificationState,
} from '../gen/carillon/v1/notification_pb.ts';
import type { Step } from '../storage/delivery-row.ts';
import type {
  ExplainedAttempt,
  ExplainedDelivery,
  ExplainedItem,
  Explanation,
  MovedStep,
} from '../storage/explanation.ts';

/** What a reason that the router or a provider worker wrote means. */
const meanings: Readonly<Record<string, string>> = {
  ONLINE: 'the user was connected, and the client is given time to acknowledge',
  OFFLINE: 'the user was not connected',
  LINGER: 'the user had vanished a moment before, which may be a change of network',
  BACKGROUND: 'the user was connected but did not look at the app',
  UNKNOWN:
    'where the user was was not known, so the edges were asked and the client is given time to acknowledge',
  UNREAD: 'the next step waits for the item to be read',
  STORED: 'it is in the inbox and nothing further is planned',
  PLANNED: 'it waits for a provider',
  NO_ACK: 'no client acknowledged it in time',
  NOT_READ: 'nobody read it in time',
  NO_ADDRESS: 'the user has no address for it',
  NO_SESSION: 'the user was no longer connected',
  IN_APP: 'the person had it in the app',
  ACKED: 'a client acknowledged it, and the step waits for it to be read',
  TAKEN: 'a provider took it, and the step waits for the client',
  REPLAYED: 'it was replayed from the dead letters',
  EXPIRED: 'its time had passed',
  CANCELLED: 'the sender cancelled it',
};

const shortName = (value: number, names: Readonly<Record<string, string | number>>): string =>
  Object.entries(names).find(([, number]) => number === value)?.[0] ?? String(value);

const stateName = (state: number): string => shortName(state, DeliveryState);

const because = (reason: string): string => (reason === '' ? '' : `: ${meanings[reason] ?? reason}`);

const seconds = (ms: number): string => (ms % 1_000 === 0 ? `${ms / 1_000} s` : `${ms} ms`);

function decision(
  at: Date,
  rule: string,
  text: string,
  inputs: Readonly<Record<string, string>> = {},
): Decision {
  return create(DecisionSchema, { at: timestampFromDate(at), rule, text, inputs });
}

function planText(steps: readonly Step[]): string {
  if (steps.length === 0) return 'Planned nothing: no channel reaches this user.';
  const parts = steps.map(({ channel }, index) => {
    const before = steps[index - 1];
    if (!before) return channelName(channel);
    const missing = before.until === 'read' ? 'not read' : 'not acknowledged';
    return `then ${channelName(channel)} if ${missing} within ${seconds(before.afterMs)}`;
  });
  return `Planned ${parts.join(', ')}.`;
}

const PRESENCE = [
  'online',
  'foreground',
  'known',
  'vanished_ms',
  'linger_ms',
  'linger_from',
  'background',
  'background_from',
];

/** What the plan leaves out of its inputs. */
const UNSAID = { plan_from: 'default', foreground: 'false', known: 'true' };

const whose: Readonly<Record<string, string>> = {
  category: 'its category',
  lane: 'its lane',
  default: 'the mesh',
};

/** Which rule decided where the plan begins, and by whose policy; undefined: nobody had to be here for that. */
function presenceText(inputs: Readonly<Record<string, string>>): string | undefined {
  const { decided, foreground, vanished_ms: vanishedMs, linger_ms: lingerMs } = inputs;
  const background = whose[inputs.background_from ?? ''];
  const linger = `the linger of ${lingerMs} ms that ${whose[inputs.linger_from ?? '']} gives`;
  switch (decided) {
    case 'ONLINE':
      return foreground === 'false' && background
        ? `The user was connected but did not look at the app; ${background} leaves that to the stream.`
        : 'The user was connected.';
    case 'BACKGROUND':
      return `The user was connected but did not look at the app; ${background} asks for the push at once.`;
    case 'UNKNOWN':
      return 'Where the user was was not known: the edges were asked, and the ack deadline decides.';
    case 'LINGER':
      return `The user's last connection had vanished ${vanishedMs} ms before, within ${linger}.`;
    case 'OFFLINE':
      return vanishedMs === undefined
        ? 'The user was not connected.'
        : `The user's last connection had vanished ${vanishedMs} ms before, longer than ${linger}.`;
    default:
      return undefined;
  }
}

function ofPlan(row: ExplainedDelivery): Decision[] {
  const { moved: _moved, ...known } = row.inputs;
  const said = Object.entries(known).map(([name, value]) => [name, String(value)] as const);
  const inputs: Record<string, string> = { ...UNSAID, ...Object.fromEntries(said) };
  const from = inputs.plan_from === 'category' ? ' Its category says so.' : '';
  const decisions = [decision(row.created_at, 'plan', planText(row.steps) + from, inputs)];
  if (inputs.left_out)
    decisions.push(
      decision(row.created_at, 'plan.left_out', `Left out for want of an address: ${inputs.left_out}.`),
    );
  const presence = presenceText(inputs);
  const about = Object.entries(inputs).filter(([name]) => PRESENCE.includes(name));
  if (presence)
    decisions.push(decision(row.created_at, 'plan.presence', presence, Object.fromEntries(about)));
  return decisions;
}

const movedSteps = ({ inputs: { moved } }: ExplainedDelivery): readonly MovedStep[] =>
  Array.isArray(moved) ? moved : [];

const ofMoves = (row: ExplainedDelivery): Decision[] =>
  movedSteps(row).map(({ at, from, to, reason }) =>
    decision(
      new Date(at),
      'step.next',
      `Went on from ${channelName(from as Channel)} to ${channelName(to as Channel)}${because(reason)}.`,
      { from: channelName(from as Channel), to: channelName(to as Channel), reason },
    ),
  );

function stateOf(row: ExplainedDelivery): Decision {
  const channel = channelName(row.step_channel as Channel);
  const next = row.due_at ? ` Looked at again at ${row.due_at.toISOString()} at the latest.` : '';
  const name = stateName(row.state);
  return decision(
    row.updated_at,
    `state.${name.toLowerCase()}`,
    `${name} on ${channel}${because(row.reason)}.${next}`,
    { reason: row.reason, attempts: String(row.attempts) },
  );
}

const outcomes: Readonly<Record<string, string>> = {
  sending: 'is being called',
  sent: 'took it',
  transient: 'could not take it now',
  permanent: 'refused it for good',
  ambiguous: 'was called, and whether it took it is not known',
};

/** An attempt that ended so shortly after a move is what moved the row. */
const SAME_MS = 1_000;

/** When the rows moved; what an attempt came to is written down a moment after the row has moved on because of it. */
function movesMs(deliveries: readonly ExplainedDelivery[]): number[] {
  return deliveries.flatMap((row) => [
    ...movedSteps(row).map(({ at }) => Date.parse(at)),
    row.updated_at.getTime(),
  ]);
}

function ofAttempt(attempt: ExplainedAttempt, moves: readonly number[]): Decision {
  const { started_at, ended_at } = attempt;
  const endMs = (ended_at ?? started_at).getTime();
  const movedMs = moves.filter((ms) => ms >= Math.max(started_at.getTime(), endMs - SAME_MS) && ms < endMs);
  const at = new Date(Math.min(endMs, ...movedMs));
  const { provider, outcome, error, address } = attempt;
  const text = `${provider} ${outcomes[outcome] ?? outcome}${error === '' ? '' : `: ${error}`}.`;
  return decision(at, `attempt.${outcome}`, text, {
    provider,
    address,
    channel: channelName(attempt.step_channel as Channel),
    ...(attempt.provider_message_id && { provider_message_id: attempt.provider_message_id }),
  });
}

const clears: Readonly<Record<string, string>> = {
  cleared: 'took it back from the device, since a client has it',
  refused: 'refused to take it back',
  gone: 'cannot take it back: the device is no longer registered',
  unsupported: 'cannot take back what it has sent',
  failed: 'did not take it back, and is not asked again',
};

function ofClear({
  provider,
  address,
  clear_outcome,
  clear_error,
  cleared_at,
}: ExplainedAttempt): Decision[] {
  if (!cleared_at) return [];
  const text = `${provider} ${clears[clear_outcome] ?? clear_outcome}${clear_error && `: ${clear_error}`}.`;
  return [decision(cleared_at, `clear.${clear_outcome}`, text, { provider, address })];
}

/** What is pushed and acknowledged, and has not been taken back yet. */
function ofClearing({ clear_due_at, clear_tries, updated_at }: ExplainedDelivery): Decision[] {
  if (!clear_due_at) return [];
  const text = `What was pushed is to be taken back, since a client has it; the next try is at ${clear_due_at.toISOString()}.`;
  return [decision(updated_at, 'clear.waiting', text, { tries: String(clear_tries) })];
}

function ofItem({ first_seq, created_at, seen_at, read_at, archived_at }: ExplainedItem): Decision[] {
  const decisions = [
    decision(created_at, 'inbox.stored', `Stored in the inbox as item ${first_seq}.`, {
      seq: String(first_seq),
    }),
  ];
  if (seen_at) decisions.push(decision(seen_at, 'inbox.seen', 'Marked seen.'));
  if (read_at) decisions.push(decision(read_at, 'inbox.read', 'Marked read.'));
  if (archived_at) decisions.push(decision(archived_at, 'inbox.archived', 'Marked archived.'));
  return decisions;
}

function ofNotification({ notification, sent, deliveries }: Explanation): Decision[] {
  const { lane, category, created_at, expires_at, state } = notification;
  const decisions = [
    decision(
      created_at,
      'accepted',
      `Accepted into the ${laneName(lane as Lane)} lane; given up at ${expires_at.toISOString()}.`,
      {
        lane: laneName(lane as Lane),
        category,
        recipients: String(notification.recipients),
      },
    ),
  ];
  if (sent.sendAt && timestampDate(sent.sendAt) > created_at)
    decisions.push(
      decision(created_at, 'scheduled', `Held until ${timestampDate(sent.sendAt).toISOString()}, as asked.`),
    );
  if (deliveries.length === 0)
    decisions.push(
      decision(
        created_at,
        'undecided',
        state === NotificationState.CANCELLED || state === NotificationState.EXPIRED
          ? `Nothing was decided for this user before it was ${shortName(state, NotificationState)}.`
          : 'Nothing has been decided for this user yet.',
      ),
    );
  return decisions;
}

/** Oldest first. */
export function decisionsOf(explanation: Explanation): Decision[] {
  const moves = movesMs(explanation.deliveries);
  const decisions = [
    ...ofNotification(explanation),
    ...explanation.deliveries.flatMap(ofPlan),
    ...explanation.items.flatMap(ofItem),
    ...explanation.attempts.map((attempt) => ofAttempt(attempt, moves)),
    ...explanation.deliveries.flatMap(ofMoves),
    ...explanation.deliveries.map(stateOf),
    ...explanation.attempts.flatMap(ofClear),
    ...explanation.deliveries.flatMap(ofClearing),
  ];
  const atMs = ({ at }: Decision) => (at ? timestampDate(at).getTime() : 0);
  return decisions
    .map((each, index) => ({ each, index }))
    .sort((a, b) => atMs(a.each) - atMs(b.each) || a.index - b.index)
    .map(({ each }) => each);
}
