// Arrays in PostgreSQL's binary form, as one parameter each: pg writes arrays as text, bytea as hex, at several times the cost.

const OID = { int2: 21, int4: 23, int8: 20, text: 25, bytea: 17, uuid: 2950 } as const;

/** One dimension from 1; `size` is the bytes of all elements, without their length words. */
function begin(oid: number, count: number, size: number): Buffer {
  const buffer = Buffer.allocUnsafe(20 + 4 * count + size);
  buffer.writeInt32BE(count === 0 ? 0 : 1, 0);
  buffer.writeInt32BE(0, 4);
  buffer.writeInt32BE(oid, 8);
  buffer.writeInt32BE(count, 12);
  buffer.writeInt32BE(1, 16);
  return count === 0 ? buffer.subarray(0, 12) : buffer;
}

/** For a parameter that is cast `::bytea[]`. */
export function byteaArray(values: readonly Uint8Array[]): Buffer {
  let size = 0;
  for (const value of values) size += value.byteLength;
  const buffer = begin(OID.bytea, values.length, size);
  let at = 20;
  for (const value of values) {
    at = buffer.writeInt32BE(value.byteLength, at);
    buffer.set(value, at);
    at += value.byteLength;
  }
  return buffer;
}

/** For `::text[]`. Values must not hold U+0000, which PostgreSQL refuses. */
export function textArray(values: readonly string[]): Buffer {
  let size = 0;
  for (const value of values) size += Buffer.byteLength(value);
  const buffer = begin(OID.text, values.length, size);
  let at = 20;
  for (const value of values) {
    const length = buffer.write(value, at + 4);
    buffer.writeInt32BE(length, at);
    at += 4 + length;
  }
  return buffer;
}

/** For `::uuid[]`; values in their 36-character form. */
export function uuidArray(values: readonly string[]): Buffer {
  const buffer = begin(OID.uuid, values.length, 16 * values.length);
  let at = 20;
  for (const value of values) {
    at = buffer.writeInt32BE(16, at);
    buffer.write(value.replaceAll('-', ''), at, 'hex');
    at += 16;
  }
  return buffer;
}

/** For `::smallint[]`. */
export function int2Array(values: readonly number[]): Buffer {
  const buffer = begin(OID.int2, values.length, 2 * values.length);
  let at = 20;
  for (const value of values) at = buffer.writeInt16BE(value, buffer.writeInt32BE(2, at));
  return buffer;
}

/** For `::integer[]`. */
export function int4Array(values: readonly number[]): Buffer {
  const buffer = begin(OID.int4, values.length, 4 * values.length);
  let at = 20;
  for (const value of values) at = buffer.writeInt32BE(value, buffer.writeInt32BE(4, at));
  return buffer;
}

/** For `::bigint[]`; whole numbers up to 2^53. */
export function int8Array(values: readonly number[]): Buffer {
  const buffer = begin(OID.int8, values.length, 8 * values.length);
  let at = 20;
  for (const value of values) at = buffer.writeBigInt64BE(BigInt(value), buffer.writeInt32BE(8, at));
  return buffer;
}
