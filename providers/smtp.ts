// Email over SMTP: pooled connections per lane, STARTTLS, and a definite answer unless the connection dies after the dot.
import type { Readable } from 'node:stream';
import { createTransport } from 'nodemailer';
import { Channel, type Lane } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import { type LaneName, slotLane } from './lanes.ts';
import { isMailAddress, mailOf } from './mail.ts';
import type { Message, Outcome, Provider } from './provider.ts';
import { type SmtpError, type SmtpStage, smtpOutcome } from './smtp-outcome.ts';
import { parseSmtpUrl, type SmtpTarget } from './smtp-url.ts';

export interface SmtpOptions {
  /** `smtp[s]://user:pass@host:port?from=…`; see smtp-url.ts. */
  url: string;
  /** `smtp` when absent. */
  name?: string;
  /** PEM certificates that the server's may be signed by, besides the system's. */
  ca?: string;
}

/** RFC 3461: a server that knows it sends our id back, with the headers of the mail. */
const reportsOf = (id: string) => ({ id, return: 'headers', notify: ['FAILURE', 'DELAY'] });

/** With the attempt's id in it, so that whatever comes back says what it is about. */
function bounceAddress({ bounces, sender }: SmtpTarget, attemptId: string): string {
  if (bounces === undefined) return sender.address;
  const at = bounces.lastIndexOf('@');
  return `${bounces.slice(0, at)}+${attemptId}${bounces.slice(at)}`;
}

/** Follows a message on its way out: nodemailer reads `stream` only after the server has said 354 to DATA. */
class Progress {
  #stream: Readable | undefined;
  #gone = false;

  /** nodemailer may hand the message to a second connection when the first one turns out to be dead before DATA. */
  follow(stream: Readable): void {
    this.#gone ||= this.#stream?.readableEnded === true;
    this.#stream = stream;
  }

  get stage(): SmtpStage {
    if (this.#gone || this.#stream?.readableEnded) return 'handed_over';
    if (!this.#stream) return 'connecting';
    return this.#stream.readableDidRead ? 'content' : 'envelope';
  }
}

function openTransport(target: SmtpTarget, lane: LaneName, ca: string | undefined) {
  const transport = createTransport({
    pool: true,
    // As many as there are slots, so that nothing waits inside the pool, where a timeout could not tell.
    maxConnections: limits.providerCallsCount[lane],
    // A message whose connection was found dead before a byte of it was read may use another one, once.
    maxRequeues: 1,
    host: target.host,
    port: target.port,
    secure: target.secure,
    requireTLS: target.requireTls,
    ...(target.auth && { auth: target.auth }),
    tls: { rejectUnauthorized: target.verify, ...(ca !== undefined && { ca }) },
    connectionTimeout: limits.smtpConnectMs,
    greetingTimeout: limits.smtpConnectMs,
    socketTimeout: limits.providerCallMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const following = new Map<string, Progress>();
  transport.use('stream', (mail, done) => {
    const { message } = mail;
    const progress = following.get(message.messageId());
    const open = message.createReadStream.bind(message);
    message.createReadStream = (options) => {
      const stream = open(options);
      progress?.follow(stream as Readable);
      return stream;
    };
    done();
  });
  return { transport, following };
}

/** An email provider. Throws CONFIG_INVALID for a URL that cannot be used; connects when there is something to send. */
export function smtpProvider({ url, name = 'smtp', ca }: SmtpOptions): Provider {
  const target = parseSmtpUrl(url);
  const transports = new Map<LaneName, ReturnType<typeof openTransport>>();
  const transportOf = (lane: Lane) => {
    const key = slotLane(lane);
    const open = transports.get(key) ?? openTransport(target, key, ca);
    transports.set(key, open);
    return open;
  };

  async function send(message: Message, signal: AbortSignal): Promise<Outcome> {
    const { address } = message;
    if (address.kind !== 'email' || !isMailAddress(address.email))
      return { kind: 'permanent', reason: 'this is not a mail address', address: 'invalid' };
    if (signal.aborted) return { kind: 'down', reason: 'the call took too long' };
    const { transport, following } = transportOf(message.lane);
    const mail = mailOf(message, address.email, target.sender);
    const envelope = { from: bounceAddress(target, message.attemptId), to: [address.email] };
    const progress = new Progress();
    following.set(mail.messageId, progress);
    try {
      const info = await transport.sendMail({
        ...mail,
        envelope,
        dsn: reportsOf(message.attemptId),
        signal,
      });
      return { kind: 'sent', messageId: info.serverMessageId ?? mail.messageId };
    } catch (error) {
      return smtpOutcome(error as SmtpError, progress.stage);
    } finally {
      following.delete(mail.messageId);
    }
  }

  return {
    name,
    channel: Channel.EMAIL,
    serves: (address) => address.kind === 'email',
    send: (message, { signal }) => send(message, signal),
    async [Symbol.asyncDispose]() {
      for (const { transport } of transports.values()) transport.close();
      transports.clear();
    },
  };
}
