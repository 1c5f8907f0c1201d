// The seam between the wire and the sessions: a stream that takes ready-made bytes, whatever protocol its client speaks.
import type { SubscribeRequest } from '../../gen/carillon/v1/edge_pb.ts';
import type { CallHeaders } from '../../runtime/authenticator.ts';
import type { CarillonError } from '../../runtime/errors.ts';

/** `client`: the client ended it on purpose (RST_STREAM CANCEL, clean FIN). `lost`: error, reset, time-out. `server`: we ended it. */
export type CloseReason = 'client' | 'lost' | 'server';

/** One open Subscribe stream: takes ready-made protobuf bytes of SubscribeResponse and frames them for its protocol. */
export interface ClientStream {
  /** Of the connection; empty when that is gone. */
  readonly remoteAddress: string;
  /** It has ended, or its client has gone: nothing that is sent goes out. */
  readonly over: boolean;
  /**
   * Frames `head` followed by `tail` as one message; `tail` is shared by many streams and never copied into per-stream memory
   * that outlives the write. `head` is copied before this returns, so that its memory may serve the next stream; `tail` must
   * not change. Coalesced: one socket write per stream and loop turn. After the end it does nothing.
   */
  send(head: Uint8Array, tail?: Uint8Array): void;
  /** Bytes handed over and not yet taken by the kernel. */
  readonly bufferedBytes: number;
  /** Called (once per registration) when bufferedBytes has fallen to 0 after having been above limits.streamBufferBytes / 2. */
  onDrain(listener: () => void): void;
  /** Ends the stream: trailers or end-of-stream frame with OK or the error (its code, ErrorInfo and RetryInfo). */
  end(error?: CarillonError): void;
  /** Called once when the stream is over. */
  onClose(listener: (why: CloseReason) => void): void;
}

/** `headers`: of the request. The stream does not keep them: an idle one would hold a token and a kilobyte for hours. */
export type SubscribeHandler = (
  request: SubscribeRequest,
  stream: ClientStream,
  headers: CallHeaders,
) => void;
