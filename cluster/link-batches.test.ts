// Credits, bounds and times of the batches of one link, with time and the edge in the test's hand.
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { type DeliverRequest, DeliverResponseSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import { limits } from '../runtime/limits.ts';
import { LinkBatches } from './link-batches.ts';

function setting() {
  const clock = new ManualClock();
  const written: number[] = [];
  const untaken: (() => void)[] = [];
  let late = 0;
  const batches = new LinkBatches({
    clock,
    write(request: DeliverRequest, taken) {
      written.push(request.batch);
      untaken.push(taken);
    },
    onLate: () => late++,
  });
  const answers: string[] = [];
  const ask = (name: string, bytes = 1) => {
    void batches.ask({}, bytes).then((answer) => answers.push(answer ? name : `${name}: nobody`));
  };
  const answer = (batch: number) => batches.answered(create(DeliverResponseSchema, { batch }));
  const told = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    return answers.splice(0);
  };
  return { batches, clock, written, ask, answer, told, late: () => late, taken: () => untaken.splice(0) };
}

test('as many are sent as there is credit for, the others in their order as credit comes back', async () => {
  const { batches, written, ask, answer, told } = setting();
  for (const name of 'abcde') ask(name);
  expect(written).toEqual([]);
  batches.opened(2);
  expect(written).toEqual([1, 2]);
  answer(2);
  answer(2);
  expect(written).toEqual([1, 2, 3]);
  answer(1);
  answer(3);
  expect(written).toEqual([1, 2, 3, 4, 5]);
  expect(await told()).toEqual(['b', 'a', 'c']);
});

test('a batch without answer in time keeps its credit, and holds nobody up', async () => {
  const { batches, clock, written, ask, answer, told, late } = setting();
  batches.opened(1);
  ask('a');
  clock.advance(limits.linkAnswerMs);
  expect(await told()).toEqual(['a: nobody']);
  expect(late()).toBe(1);
  // One may ask whether it is back; the next is refused meanwhile.
  ask('b');
  ask('c');
  expect(await told()).toEqual(['c: nobody']);
  expect(written).toEqual([1]);
  answer(1);
  expect(written).toEqual([1, 2]);
  answer(2);
  ask('d');
  batches.heard();
  ask('e');
  expect(written).toEqual([1, 2, 3]);
  answer(3);
  answer(4);
  expect(await told()).toEqual(['b', 'd', 'e']);
});

test('past its bounds a link refuses at once; bytes count until the socket has them', async () => {
  const { batches, ask, answer, told, taken } = setting();
  batches.opened(limits.linkCreditsCount);
  ask('large', limits.linkBufferBytes);
  ask('more');
  answer(1);
  ask('more');
  expect(await told()).toEqual(['more: nobody', 'large', 'more: nobody']);
  for (const each of taken()) each();
  for (let n = 0; n < limits.linkPendingCount; n++) ask(`${n}`);
  ask('too many');
  expect(await told()).toEqual(['too many: nobody']);
});

test('when the stream ends everything is answered; what comes then waits, or is refused while the link is down', async () => {
  const { batches, written, ask, answer, told, taken } = setting();
  batches.opened(1);
  ask('sent');
  ask('queued');
  batches.closed('opening');
  expect(await told()).toEqual(['sent: nobody', 'queued: nobody']);
  ask('waits', limits.linkBufferBytes);
  // What the old stream still says is about nothing that is known.
  for (const each of taken()) each();
  answer(1);
  expect(await told()).toEqual([]);
  batches.opened(5);
  expect(written).toEqual([1, 1]);
  ask('more');
  answer(1);
  expect(await told()).toEqual(['more: nobody', 'waits']);
  batches.closed('down');
  ask('refused');
  expect(await told()).toEqual(['refused: nobody']);
});
