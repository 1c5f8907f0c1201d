// The flow that is followed goes on in each frame; the others cost nothing.
import { expect, test } from 'vitest';
import { noSpan, type SpanOptions, type Tracing, tracingOff } from '../runtime/tracing.ts';
import { send, settled, testHub } from './hub.fixture.ts';

const parent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
const recording = () => {
  const spans: { name: string; parent: string | undefined; ended: boolean }[] = [];
  const tracing: Tracing = {
    ...tracingOff,
    span(name: string, options: SpanOptions) {
      const span = { name, parent: options.parent, ended: false };
      spans.push(span);
      const id = String(spans.length).padStart(16, '0');
      return {
        ...noSpan(`00-${'a'.repeat(32)}-${id}-01`),
        set: () => {},
        fail: () => {},
        end: () => {
          span.ended = true;
        },
      };
    },
  };
  return { spans, tracing };
};

test('of a sampled flow go on in a frame of its own for each stream', async () => {
  const { spans, tracing } = recording();
  const setting = testHub({ tracing });
  const { stream } = setting.open();
  await settled();
  await send(setting, { traceparent: parent });
  expect(spans).toEqual([
    { name: 'link', parent, ended: true },
    { name: 'frame', parent: `00-${'a'.repeat(32)}-${'1'.padStart(16, '0')}-01`, ended: true },
  ]);
  expect(stream.of('deliver')).toMatchObject([
    { traceparent: `00-${'a'.repeat(32)}-${'2'.padStart(16, '0')}-01`, item: { notificationId: 'n1' } },
  ]);
});

test('of another flow travel in the shared bytes and cost nothing', async () => {
  const { spans, tracing } = recording();
  const setting = testHub({ tracing });
  const { stream } = setting.open();
  await settled();
  const unsampled = `${parent.slice(0, -2)}00`;
  await send(setting, { traceparent: unsampled });
  expect(spans).toEqual([]);
  expect(stream.of('deliver')).toMatchObject([{ traceparent: unsampled }]);
});
