// Short answers of HTTP/1.1 that no protocol of ours has a frame for.
import { corsHeaders, preflightHeaders } from './cors.ts';

function answer(status: number, text: string, headers: Readonly<Record<string, string>>): string {
  let head = `HTTP/1.1 ${status} ${text}\r\n`;
  for (const name in headers) head += `${name}: ${headers[name]}\r\n`;
  return `${head}\r\n`;
}

/** The connection stays: the call that was asked for comes next. */
export const preflight = answer(204, 'No Content', preflightHeaders);

export const goOn = 'HTTP/1.1 100 Continue\r\n\r\n';

/** An empty answer after which the connection is closed. */
export function refusal(
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): string {
  return answer(status, text, { ...corsHeaders, ...headers, 'content-length': '0', connection: 'close' });
}
