// A real SMTP server on loopback for tests: keeps what it takes, answers or drops the connection as it is told.
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';

export interface ReceivedMail {
  from: string;
  to: string[];
  /** The message as it came: headers, an empty line, the body. */
  raw: string;
  secure: boolean;
  user: string | undefined;
  /** ENVID of RFC 3461, when the server takes it. */
  envelopeId: string | undefined;
}

export interface MailServerScript {
  /** Answers to RCPT TO, DATA's dot: an error of this code and sentence, or undefined to accept. */
  onRecipient?: (to: string) => { code: number; text: string } | 'drop' | undefined;
  onMessage?: (mail: ReceivedMail) => { code: number; text: string } | 'drop' | undefined;
  /** Drops the connection at the first bytes of the message. */
  dropInContent?: boolean;
  user?: { name: string; password: string };
  starttls?: boolean;
  /** Says that it sends reports as it is asked to (RFC 3461). */
  dsn?: boolean;
}

export interface MailServer extends AsyncDisposable {
  readonly port: number;
  readonly mails: ReceivedMail[];
  /** Messages whose last dot arrived, answered or not. */
  readonly complete: number;
  /** May be changed while it runs. */
  script: MailServerScript;
  connections(): number;
}

function refusal({ code, text }: { code: number; text: string }): Error {
  return Object.assign(new Error(text), { responseCode: code });
}

export async function startMailServer(script: MailServerScript = {}, port = 0): Promise<MailServer> {
  const mails: ReceivedMail[] = [];
  let complete = 0;
  const drop = () => {
    for (const connection of server.connections) connection._socket.destroy();
  };
  const server = new SMTPServer({
    logger: false,
    disableReverseLookup: true,
    hideSTARTTLS: !script.starttls,
    hideDSN: !script.dsn,
    authOptional: script.user === undefined,
    allowInsecureAuth: true,
    onAuth(auth, _session, callback) {
      const { user } = running.script;
      if (user && auth.username === user.name && auth.password === user.password)
        return callback(null, { user: user.name });
      return callback(refusal({ code: 535, text: '5.7.8 wrong user or password' }));
    },
    onRcptTo(address, _session, callback) {
      const answer = running.script.onRecipient?.(address.address);
      if (answer === 'drop') return drop();
      return callback(answer ? refusal(answer) : null);
    },
    onData(stream, session, callback) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        if (running.script.dropInContent) drop();
      });
      stream.on('end', () => {
        complete += 1;
        const { mailFrom, rcptTo, dsn } = session.envelope;
        const mail: ReceivedMail = {
          from: mailFrom === false ? '' : mailFrom.address,
          to: rcptTo.map((address) => address.address),
          raw: Buffer.concat(chunks).toString('utf8'),
          secure: session.secure === true,
          user: typeof session.user === 'string' ? session.user : undefined,
          envelopeId: dsn?.envid ?? undefined,
        };
        const answer = running.script.onMessage?.(mail);
        if (answer === 'drop') return drop();
        if (answer) return callback(refusal(answer));
        mails.push(mail);
        return callback(null, 'OK: queued as T1');
      });
    },
  });
  server.on('error', () => {});
  await new Promise<void>((resolve) => {
    server.listen(port, '127.0.0.1', resolve);
  });
  const running: MailServer = {
    port: (server.server.address() as AddressInfo).port,
    mails,
    get complete() {
      return complete;
    },
    script,
    connections: () => server.connections.size,
    async [Symbol.asyncDispose]() {
      if (!server.server.listening) return;
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        drop();
      });
    },
  };
  return running;
}
