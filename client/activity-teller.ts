// Tells the edge of each change of activity on the open stream: only the newest, one call at a time.
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import type { Failure } from './failure.ts';
import { ClientError } from './failure.ts';

export interface ActivityTellerOptions {
  /** Throws ClientError. */
  send(sessionId: string, activity: Activity): Promise<unknown>;
  onError(failure: Failure): void;
}

export class ActivityTeller {
  readonly #options: ActivityTellerOptions;
  #now: Activity = Activity.UNSPECIFIED;
  /** What the edge knows of the session. */
  #told: Activity = Activity.UNSPECIFIED;
  #session = '';
  #sending = false;

  constructor(options: ActivityTellerOptions) {
    this.#options = options;
  }

  get now(): Activity {
    return this.#now;
  }

  set(activity: Activity): void {
    this.#now = activity;
    void this.#tell();
  }

  /** The session, and what its edge was told when it was opened; an empty id: there is none. */
  session(id: string, told: Activity): void {
    this.#session = id;
    this.#told = told;
    void this.#tell();
  }

  async #tell(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    try {
      while (this.#session !== '' && this.#now !== this.#told && this.#now !== Activity.UNSPECIFIED) {
        const session = this.#session;
        const activity = this.#now;
        // A call that fails is not made again: the next stream, or the next change, says it.
        this.#told = activity;
        await this.#options.send(session, activity);
      }
    } catch (error) {
      if (error instanceof ClientError) this.#options.onError(error.failure);
      else throw error;
    } finally {
      this.#sending = false;
    }
  }
}
