// Reads the head of an HTTP/1.1 request as strictly as the RFC allows, so that nobody can hide a second request in the first.
import { limits } from '../../runtime/limits.ts';

export interface RequestHead {
  readonly method: string;
  readonly target: string;
  /** Names in lower case; a name that came more than once is joined by commas. */
  readonly headers: ReadonlyMap<string, string>;
  /** Length of the body, or that it comes in chunks. */
  readonly body: number | 'chunked';
  /** Where the body begins. */
  readonly end: number;
}

export type HeadResult =
  | { readonly kind: 'head'; readonly head: RequestHead }
  | { readonly kind: 'more' }
  | { readonly kind: 'bad'; readonly status: number; readonly reason: string };

const REQUEST_LINE = /^([A-Z]+) ([!-~]+) HTTP\/1\.1$/;
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;
/** These decide where the body ends and whose it is: twice is an attack. */
const ONCE: ReadonlySet<string> = new Set(['host', 'content-length', 'transfer-encoding', 'content-type']);
const HEADERS_COUNT = 100;

const bad = (status: number, reason: string): HeadResult => ({ kind: 'bad', status, reason });

/** Header lines as pairs, names in lower case; undefined when a line is not one. */
function headerPairs(lines: string): [string, string][] | undefined {
  const pairs: [string, string][] = [];
  if (lines === '') return pairs;
  for (const line of lines.split('\r\n')) {
    const match = FIELD.exec(line);
    if (!match) return undefined;
    pairs.push([(match[1] as string).toLowerCase(), (match[2] as string).trimEnd()]);
  }
  return pairs;
}

function bodyOf(headers: ReadonlyMap<string, string>): number | 'chunked' | undefined {
  const length = headers.get('content-length');
  const coding = headers.get('transfer-encoding');
  if (coding !== undefined)
    return length === undefined && coding.toLowerCase() === 'chunked' ? 'chunked' : undefined;
  if (length === undefined) return 0;
  return /^\d{1,15}$/.test(length) ? Number(length) : undefined;
}

/** Reads the head at the start of `bytes`. */
export function readHead(bytes: Buffer): HeadResult {
  const end = bytes.indexOf('\r\n\r\n');
  if (end > limits.headerBytes || (end < 0 && bytes.length > limits.headerBytes))
    return bad(431, 'Request Header Fields Too Large');
  if (end < 0) return { kind: 'more' };
  const text = bytes.toString('latin1', 0, end);
  const first = text.indexOf('\r\n');
  const line = REQUEST_LINE.exec(first < 0 ? text : text.slice(0, first));
  if (!line) return bad(400, 'Bad Request');
  const lines = first < 0 ? '' : text.slice(first + 2);
  const pairs = headerPairs(lines);
  if (!pairs) return bad(400, 'Bad Request');
  if (pairs.length > HEADERS_COUNT) return bad(431, 'Request Header Fields Too Large');
  const headers = new Map<string, string>();
  for (const [name, value] of pairs) {
    const before = headers.get(name);
    if (before !== undefined && ONCE.has(name)) return bad(400, 'Bad Request');
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  const body = bodyOf(headers);
  if (body === undefined || !headers.has('host')) return bad(400, 'Bad Request');
  const head = { method: line[1] as string, target: line[2] as string, headers, body, end: end + 4 };
  return { kind: 'head', head };
}
