// Whether a user looks at a stream, of what its client says.
import type { Attention } from '../cluster/presence.ts';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';

/** A client that does not say is taken to be looked at: a push beside the open app is worse than none. */
export const activityAttention = (activity: Activity): Attention =>
  activity === Activity.BACKGROUND ? Activity.BACKGROUND : Activity.FOREGROUND;
