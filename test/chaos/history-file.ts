// A history as a file, to be searched afterwards: one JSON object a line, times in milliseconds since the run began.
import { open } from 'node:fs/promises';
import type { History } from './history.ts';

const LINES_AT_ONCE = 5_000;

function* linesOf(history: History): Generator<object> {
  const since = (atMs: number | undefined) => atMs && Math.round(atMs - history.startedMs);
  for (const { what, beganMs, healedMs } of history.faults)
    yield { fault: what, from: since(beganMs), healed: since(healedMs) };
  for (const device of history.devices) yield { device: device.id, ...device };
  for (const { notificationId, kind, userId, key, calledMs, answeredMs } of history.accepted)
    yield {
      accepted: notificationId,
      kind,
      userId,
      key,
      called: since(calledMs),
      answered: since(answeredMs),
    };
  for (const { notificationId, device, seq, atMs, ackedMs } of history.seen)
    yield { seen: notificationId, device, seq, at: since(atMs), acked: since(ackedMs) };
  for (const mail of history.mails) yield { mail: mail.notificationId, attempt: mail.attemptId, to: mail.to };
  for (const { device, edge, atMs, answeredMs } of history.arrivals)
    yield { arrival: edge, device, at: since(atMs), answered: since(answeredMs) };
  for (const { atMs, why } of history.refusals) yield { refused: why, at: since(atMs) };
  for (const surprise of history.surprises) yield { surprise };
}

/** Writes or replaces `path`. */
export async function writeHistory(history: History, path: string): Promise<void> {
  await using file = await open(path, 'w');
  let lines: string[] = [];
  for (const line of linesOf(history)) {
    lines.push(`${JSON.stringify(line)}\n`);
    if (lines.length < LINES_AT_ONCE) continue;
    await file.write(lines.join(''));
    lines = [];
  }
  await file.write(lines.join(''));
}
