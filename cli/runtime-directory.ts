// Where the key for a mesh on this machine lies, by its addresses: private notes of this user's processes, each gone with its process.
import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limits } from '../runtime/limits.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface Note {
  /** Such as `http://127.0.0.1:7100`. */
  readonly url: string;
  readonly role: 'ingest' | 'edge' | 'router';
  readonly keyFile: string;
  /** Names the mesh: all that share a database have the same. */
  readonly mesh: string;
  readonly pid: number;
}

function directories({ XDG_RUNTIME_DIR, TMPDIR }: Environment): string[] {
  const uid = process.getuid?.() ?? 0;
  return [
    ...(XDG_RUNTIME_DIR ? [join(XDG_RUNTIME_DIR, 'carillon')] : []),
    join(TMPDIR || tmpdir(), `carillon-${uid}`),
  ];
}

/** A directory of ours that nobody else can look or write into; in a shared one anybody may have been first. */
function isPrivate(directory: string): boolean {
  try {
    const { uid, mode } = lstatSync(directory);
    const isDirectory = (mode & 0o170000) === 0o040000;
    return (
      isDirectory && (process.getuid === undefined || (uid === process.getuid() && (mode & 0o077) === 0))
    );
  } catch {
    return false;
  }
}

/** `127.0.0.1-7100.json`; undefined for what is no URL. */
function fileOf(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const { hostname, port, protocol } = new URL(url);
  const host = hostname === 'localhost' ? '127.0.0.1' : hostname.replace(/^\[|\]$/g, '');
  return `${host.replaceAll(':', '_')}-${port || (protocol === 'https:' ? 443 : 80)}.json`;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** What a process that still runs noted there; undefined for everything else. */
function read(path: string): Note | undefined {
  try {
    const note = JSON.parse(readFileSync(path, 'utf8'));
    const said = [note?.url, note?.keyFile, note?.mesh, note?.role];
    if (said.some((each) => typeof each !== 'string') || !Number.isInteger(note.pid)) return undefined;
    return isRunning(note.pid) ? note : undefined;
  } catch {
    return undefined;
  }
}

/** Leaves notes until it is disposed. Where none can be left, commands need to be told their key: that is no error. */
export function leaveNotes(environment: Environment, notes: readonly Note[]): Disposable {
  const left: string[] = [];
  for (const directory of directories(environment)) {
    try {
      mkdirSync(directory, { mode: 0o700 });
    } catch {
      // It is there, or cannot be: the next look tells.
    }
    if (!isPrivate(directory)) continue;
    for (const note of notes) {
      const file = fileOf(note.url);
      if (!file) continue;
      const path = join(directory, file);
      try {
        writeFileSync(`${path}.${note.pid}`, JSON.stringify(note), { mode: 0o600 });
        renameSync(`${path}.${note.pid}`, path);
        left.push(path);
      } catch {
        // Full, or gone meanwhile.
      }
    }
    break;
  }
  return {
    [Symbol.dispose]() {
      for (const path of left) if (read(path)?.pid === process.pid) rmSync(path, { force: true });
    },
  };
}

/** The note for an address. */
export function noteFor(environment: Environment, url: string): Note | undefined {
  const file = fileOf(url);
  if (!file) return undefined;
  for (const directory of directories(environment)) {
    const note = isPrivate(directory) ? read(join(directory, file)) : undefined;
    if (note) return note;
  }
  return undefined;
}

/** Where `role` of the same mesh is. */
export function siblingOf(environment: Environment, note: Note, role: Note['role']): Note | undefined {
  for (const directory of directories(environment)) {
    if (!isPrivate(directory)) continue;
    for (const file of readdirSync(directory).slice(0, limits.notesCount)) {
      const other = file.endsWith('.json') ? read(join(directory, file)) : undefined;
      if (other?.mesh === note.mesh && other.role === role) return other;
    }
  }
  return undefined;
}
