// What an SMTP error means: by the server's answer when there is one, else by how far the message had got.
import { withoutAddresses } from './mail.ts';
import type { Outcome } from './provider.ts';

/**
 * How far the message had got. `connecting`: no session yet. `envelope`: a session, but not a byte of the message was read.
 * `content`: some of it. `handed_over`: all of it, so that the final dot may be on the wire.
 */
export type SmtpStage = 'connecting' | 'envelope' | 'content' | 'handed_over';

/** The fields of nodemailer's errors. */
export interface SmtpError {
  message: string;
  code?: string | undefined;
  responseCode?: number | undefined;
  response?: string | undefined;
  command?: string | undefined;
}

/** RFC 4954 and 3207: the server wants other credentials, or encryption. */
const CREDENTIALS = new Set([530, 534, 535, 538]);

/** RFC 3463: class.subject.detail, which follows the reply code. */
function enhanced(response: string): { subject: number; detail: number } | undefined {
  const found = /^\d{3}[ -]\d\.(\d{1,3})\.(\d{1,3})\b/.exec(response);
  return found ? { subject: Number(found[1]), detail: Number(found[2]) } : undefined;
}

function refused(response: string, command: string): Outcome {
  const status = enhanced(response);
  // 5.1.7 and 5.1.8 are about the sender's address.
  if (status?.subject === 1)
    return status.detail === 7 || status.detail === 8
      ? { kind: 'permanent', reason: response, policy: true }
      : { kind: 'permanent', reason: response, address: 'invalid' };
  if (status?.subject === 7 || command === 'MAIL FROM')
    return { kind: 'permanent', reason: response, policy: true };
  return { kind: 'permanent', reason: response };
}

function answered(error: SmtpError, code: number, response: string): Outcome {
  if (code === 421) return { kind: 'down', reason: response };
  if (error.code === 'EAUTH' || error.command?.startsWith('AUTH') || CREDENTIALS.has(code))
    return code >= 500 ? { kind: 'config', reason: response } : { kind: 'down', reason: response };
  if (code >= 500) return refused(response, error.command ?? '');
  if (code >= 400) return { kind: 'transient', reason: response };
  return { kind: 'down', reason: `an answer that makes no sense: ${response}` };
}

/** What became of a mail, in the server's words, without the addresses that servers like to repeat. */
export function smtpOutcome(error: SmtpError, stage: SmtpStage): Outcome {
  const { responseCode } = error;
  const response = withoutAddresses(error.response ?? '');
  const message = withoutAddresses(error.message);
  if (responseCode) return answered(error, responseCode, response);
  if (stage === 'handed_over') return { kind: 'unknown', reason: message };
  switch (error.code) {
    // nodemailer's own checks of the envelope and of the size that the server announced.
    case 'EENVELOPE':
      return { kind: 'permanent', reason: message, address: 'invalid' };
    case 'EMESSAGE':
      return { kind: 'permanent', reason: message };
    case 'EAUTH':
    case 'ENOAUTH':
    case 'EREQUIRETLS':
    case 'ECONFIG':
      return { kind: 'config', reason: message };
    default:
      return stage === 'connecting'
        ? { kind: 'down', reason: message }
        : { kind: 'transient', reason: message };
  }
}
