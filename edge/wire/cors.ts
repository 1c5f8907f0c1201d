// What a browser on another origin may do here: every header that the stock clients send, and ours.
import { cors } from '@connectrpc/connect';

const OURS = ['authorization', 'traceparent', 'tracestate'];
const KEPT_SECONDS = 7_200;

/**
 * Any origin may call, as nothing here rests on cookies: who calls is said by a header that a script has to set itself.
 */
export const corsHeaders: Readonly<Record<string, string>> = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': cors.exposedHeaders.join(', '),
};

export const preflightHeaders: Readonly<Record<string, string>> = {
  ...corsHeaders,
  'access-control-allow-methods': cors.allowedMethods.join(', '),
  'access-control-allow-headers': [...cors.allowedHeaders, ...OURS].join(', '),
  'access-control-max-age': String(KEPT_SECONDS),
};
