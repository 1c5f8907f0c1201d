// When something was broken: from the beginning of a fault until the mesh has had its time to recover from it.

export interface Fault {
  what: string;
  /** Wall clock. */
  beganMs: number;
  /** When nothing of it was left: the process runs and is ready, the store answers. Undefined: not yet. */
  healedMs: number | undefined;
}

/** Faults so close to one another that there is no telling which of them a message suffered from. */
export interface FaultWindow {
  beganMs: number;
  /** When the last of its faults had healed. */
  healedMs: number;
  /** `healedMs` and the time to recover. */
  endMs: number;
  faults: readonly Fault[];
}

/**
 * One window per fault, `[beganMs, healedMs + recoveryMs]`; those that touch are one. Any fault anywhere opens the window for
 * everybody. A fault that has not healed lasts until `nowMs`.
 */
export function windowsOf(faults: readonly Fault[], recoveryMs: number, nowMs: number): FaultWindow[] {
  const windows: (FaultWindow & { faults: Fault[] })[] = [];
  for (const fault of faults.toSorted((a, b) => a.beganMs - b.beganMs)) {
    const healedMs = fault.healedMs ?? nowMs;
    const last = windows.at(-1);
    if (last && fault.beganMs <= last.endMs) {
      last.faults.push(fault);
      last.healedMs = Math.max(last.healedMs, healedMs);
      last.endMs = last.healedMs + recoveryMs;
    } else {
      windows.push({ beganMs: fault.beganMs, healedMs, endMs: healedMs + recoveryMs, faults: [fault] });
    }
  }
  return windows;
}

/** The windows of a run, asked by time. */
export class Windows {
  readonly all: readonly FaultWindow[];

  constructor(all: readonly FaultWindow[]) {
    this.all = all;
  }

  /** The first window that has a moment of `[fromMs, toMs]` in it. */
  touching(fromMs: number, toMs: number): FaultWindow | undefined {
    let low = 0;
    let high = this.all.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.all[middle]!.endMs < fromMs) low = middle + 1;
      else high = middle;
    }
    const found = this.all[low];
    return found && found.beganMs <= toMs ? found : undefined;
  }

  /**
   * When what was accepted at `acceptedMs` must have arrived: `usualMs` later, or at the end of a window that begins before
   * that, or of one that begins before the end of that one.
   */
  dueMs(acceptedMs: number, usualMs: number): number {
    const dueMs = acceptedMs + usualMs;
    return Math.max(dueMs, this.touching(acceptedMs, dueMs)?.endMs ?? 0);
  }

  /** How much of `[fromMs, toMs]` lies in windows. */
  insideMs(fromMs: number, toMs: number): number {
    return this.all.reduce(
      (sum, { beganMs, endMs }) => sum + Math.max(0, Math.min(endMs, toMs) - Math.max(beganMs, fromMs)),
      0,
    );
  }
}
