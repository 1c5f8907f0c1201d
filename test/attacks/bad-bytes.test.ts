// Bytes that are no request, to every method of every port, over every protocol: a status with a reason, and nobody is harmed.
import { gzipSync } from 'node:zlib';
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { AdminService } from '../../gen/carillon/v1/admin_pb.ts';
import { EdgeService } from '../../gen/carillon/v1/edge_pb.ts';
import { IngestService } from '../../gen/carillon/v1/ingest_pb.ts';
import { RouterService } from '../../gen/carillon/v1/router_pb.ts';
import { Health } from '../../gen/grpc/health/v1/health_pb.ts';
import { ServerReflection } from '../../gen/grpc/reflection/v1/reflection_pb.ts';
import { CarillonError, type ReasonName } from '../../runtime/errors.ts';
import { limits } from '../../runtime/limits.ts';
import { type AttackedMesh, attacker, startAttackedMesh } from './attacked-mesh.ts';
import { allWires, callOver, http2Wires, unaryWires, type Wire, type WireCall } from './wires.ts';

let mesh: AttackedMesh;
let memoryMiB: number;
beforeAll(async () => {
  mesh = await startAttackedMesh();
  memoryMiB = await mesh.memoryMiB();
});
afterAll(async () => {
  // Caches, compiled code and pools of connections included; each bomb would be 16 MiB.
  expect((await mesh.memoryMiB()) - memoryMiB).toBeLessThan(192);
  await mesh[Symbol.asyncDispose]();
});
afterEach(() => mesh.unharmed());

interface Surface {
  name: string;
  port: string;
  method: DescMethod;
  maxBytes: number;
  wires: readonly Wire[];
}

function wiresOf(method: DescMethod): readonly Wire[] {
  if (method.methodKind === 'bidi_streaming') return http2Wires;
  return method === EdgeService.method.subscribe ? allWires : unaryWires;
}

const served = (port: string, maxBytes: number, ...services: DescService[]): Surface[] =>
  services.flatMap(({ methods }) =>
    methods.map((method) => ({
      name: `${port}: ${method.parent.name}.${method.name}`,
      port,
      method,
      maxBytes,
      wires: wiresOf(method),
    })),
  );

const surfaces = [
  ...served('edge', limits.edgeMessageBytes, EdgeService, Health, ServerReflection),
  ...served('ingest', limits.ingestMessageBytes, AdminService, IngestService, Health, ServerReflection),
  ...served('router', limits.ingestMessageBytes, RouterService, Health, ServerReflection),
];

const BOMB = gzipSync(Buffer.alloc(16 << 20));
const hasEnvelope = ({ family }: Wire, { method }: Surface) =>
  family !== 'connect' || method.methodKind !== 'unary';

interface Row {
  name: string;
  reason: ReasonName;
  call(surface: Surface): Partial<WireCall>;
  only?(wire: Wire, surface: Surface): boolean;
}

/** A text that is not UTF-8 in the first field that is a text. */
function badText({ input }: DescMethod): Uint8Array | undefined {
  const field = input.fields.find(({ scalar }) => scalar === 9);
  return field && Uint8Array.from([(field.number << 3) | 2, 2, 0xc3, 0x28]);
}

const rows: Row[] = [
  {
    name: 'one byte more than permitted',
    reason: 'MESSAGE_TOO_LARGE',
    call: ({ maxBytes }) => ({ message: new Uint8Array(maxBytes + 1) }),
  },
  {
    name: 'four times as much as permitted',
    reason: 'MESSAGE_TOO_LARGE',
    call: ({ maxBytes }) => ({ message: new Uint8Array(4 * maxBytes) }),
  },
  { name: 'a gzip bomb', reason: 'MESSAGE_TOO_LARGE', call: () => ({ message: BOMB, encoding: 'gzip' }) },
  {
    name: 'said to be gzip, and is not',
    reason: 'INVALID_REQUEST',
    call: () => ({ message: Buffer.from('no gzip'), encoding: 'gzip' }),
  },
  { name: 'an unheard-of compression', reason: 'UNSUPPORTED', call: () => ({ encoding: 'br' }) },
  {
    name: 'cut short',
    reason: 'INVALID_REQUEST',
    call: () => ({ message: Uint8Array.from([0x0a, 0x7f, 1]) }),
  },
  {
    name: 'a group that never ends',
    reason: 'INVALID_REQUEST',
    call: () => ({ message: Uint8Array.from([0x0b, 0x0b, 0x0b]) }),
  },
  {
    name: 'a varint of eleven bytes',
    reason: 'INVALID_REQUEST',
    call: () => ({ message: new Uint8Array(11).fill(0xff) }),
  },
  {
    name: 'a text that is not UTF-8',
    reason: 'INVALID_REQUEST',
    call: ({ method }) => ({ message: badText(method) ?? new Uint8Array() }),
    only: (_wire, { method }) => badText(method) !== undefined,
  },
  {
    name: 'an envelope that promises more than comes',
    reason: 'INVALID_REQUEST',
    call: () => ({ body: Uint8Array.from([0, 0, 0, 0, 9, 1]) }),
    // grpc-js takes a stream that ends within a message for one that ended before it.
    only: (wire, surface) =>
      hasEnvelope(wire, surface) &&
      !(wire.family === 'grpc' && surface.method.methodKind === 'bidi_streaming' && surface.port !== 'edge'),
  },
];

const refused = (reason: ReasonName) => ({ code: new CarillonError(reason).code, reason });

describe.each(surfaces)('$name', (surface) => {
  const { port, method } = surface;
  const call = async (): Promise<WireCall> => ({
    address: mesh.addresses[port] ?? '',
    path: `/${method.parent.typeName}/${method.name}`,
    streaming: method.methodKind !== 'unary',
    message: new Uint8Array(),
    headers: await attacker(port),
  });

  test.each(rows)('$name', async ({ reason, call: more, only }) => {
    const answers: Record<string, unknown> = {};
    const expected: Record<string, unknown> = {};
    for (const wire of surface.wires) {
      if (only?.(wire, surface) === false) continue;
      const { code, reason: said, bytes } = await callOver(wire, { ...(await call()), ...more(surface) });
      answers[wire.name] = {
        code: code === undefined ? undefined : Code[code],
        reason: said,
        short: bytes < 4_096,
      };
      const { code: wanted } = refused(reason);
      expected[wire.name] = { code: Code[wanted], reason, short: true };
    }
    expect(answers).toEqual(expected);
  });

  test('a content type of nobody, and a method of HTTP that is not POST', async () => {
    for (const wire of surface.wires) {
      const typed = await callOver(wire, { ...(await call()), contentType: 'text/html' });
      expect([wire.name, typed.status]).toEqual([wire.name, 415]);
      const put = await callOver(wire, { ...(await call()), method: 'PUT' });
      expect([wire.name, put.status]).toEqual([wire.name, 405]);
    }
  });
});
