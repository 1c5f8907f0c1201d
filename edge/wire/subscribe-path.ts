// Where Subscribe is on the wire, taken from the generated service.
import { EdgeService } from '../../gen/carillon/v1/edge_pb.ts';

export const SERVICE_PREFIX = `/${EdgeService.typeName}/`;
export const SUBSCRIBE_PATH = `${SERVICE_PREFIX}${EdgeService.method.subscribe.name}`;
