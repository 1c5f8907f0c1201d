// How long an edge asks a client to stay away.
import { ConnectError } from '@connectrpc/connect';
import { RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';

export const milliseconds = (of: { seconds: bigint; nanos: number } | undefined): number =>
  of ? Number(of.seconds) * 1_000 + of.nanos / 1e6 : 0;

/** Undefined when it was not an edge that refused, or it named no delay. */
export function toldToStayAway(error: unknown): number | undefined {
  const told = ConnectError.from(error).findDetails(RetryInfoSchema)[0];
  return told && milliseconds(told.retryDelay);
}
