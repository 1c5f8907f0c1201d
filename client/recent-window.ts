// The last items that a tab has seen, so that another tab that missed some gets them without the mesh.
import { limits } from './limits.ts';
import type { Carried } from './tab-messages.ts';

export class RecentWindow {
  #carried: Carried[] = [];
  #bytes = 0;

  add(carried: Carried): void {
    if (this.#carried[0] && this.#carried[0].line !== carried.line) {
      this.#carried = [];
      this.#bytes = 0;
    }
    this.#carried.push(carried);
    this.#bytes += carried.bytes.length;
    while (this.#carried.length > limits.recentCount || this.#bytes > limits.recentBytes)
      this.#bytes -= this.#carried.shift()?.bytes.length ?? 0;
  }

  /** All after a position; undefined when some of it is not here any more. */
  after(line: number, seq: number): readonly Carried[] | undefined {
    const found = this.#carried.filter((one) => one.line === line && one.seq > seq);
    const first = found[0];
    return first && first.previous <= seq ? found : undefined;
  }
}
