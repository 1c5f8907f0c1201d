// A mail server that is not ours and outlives every fault: its ledger says what a provider was really handed.
import { SMTPServer } from 'smtp-server';
import type { History } from './history.ts';

export interface MailLedger extends AsyncDisposable {
  readonly url: string;
}

const header = (mail: string, name: string) =>
  new RegExp(`^${name}: *(.+?)\\r?$`, 'im').exec(mail)?.[1]?.trim() ?? '';

export async function openMailLedger(history: History): Promise<MailLedger> {
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['AUTH', 'STARTTLS'],
    logger: false,
    onData(stream, session, done) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const mail = Buffer.concat(chunks).toString('utf8');
        for (const { address } of session.envelope.rcptTo) {
          history.mails.push({
            notificationId: header(mail, 'X-Carillon-Notification'),
            attemptId: header(mail, 'X-Carillon-Attempt'),
            to: address,
          });
        }
        done();
      });
    },
  });
  // A client that is killed in mid-sentence is what this is for.
  server.on('error', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return {
    url: `smtp://127.0.0.1:${port}?from=chaos@example.test`,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
