// Mail to a real SMTP server: what arrives, and what is said when it does not.
import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { Platform } from '../gen/carillon/v1/edge_pb.ts';
import { ContentSchema } from '../gen/carillon/v1/notification_pb.ts';
import { type MailServer, type MailServerScript, startMailServer } from './mail-server.fixture.ts';
import { email, message } from './message.fixture.ts';
import { type ProviderHarness, providerContract } from './provider.contract.ts';
import type { Outcome } from './provider.ts';
import { smtpProvider } from './smtp.ts';

const signal = () => new AbortController().signal;
const urlOf = (server: MailServer, user = '', parameters = '') =>
  `smtp://${user}127.0.0.1:${server.port}?from=Carillon%20%3Cnews@mesh.example%3E${parameters}`;
const header = (raw: string, name: string) =>
  new RegExp(`^${name}: (.*(?:\r\n[ \t].*)*)`, 'im')
    .exec(raw.slice(0, raw.indexOf('\r\n\r\n')))?.[1]
    ?.replace(/\r\n[ \t]/g, ' ');

async function sendTo(server: MailServer, changes: Parameters<typeof message>[1] = {}): Promise<Outcome> {
  await using provider = smtpProvider({ url: urlOf(server) });
  const sent = message(email(), changes);
  return await provider.send(sent, { signal: signal(), attemptId: sent.attemptId });
}

async function harness(): Promise<ProviderHarness> {
  const server = await startMailServer();
  const provider = smtpProvider({ url: urlOf(server) });
  const scripts: Partial<Record<Outcome['kind'], MailServerScript>> = {
    transient: { onMessage: () => ({ code: 451, text: '4.3.0 try again later' }) },
    permanent: { onRecipient: () => ({ code: 550, text: '5.1.1 no such user here' }) },
    down: { onRecipient: () => ({ code: 421, text: '4.3.2 closing down' }) },
    unknown: { onMessage: () => 'drop' },
  };
  return {
    provider,
    address: email(),
    foreign: { kind: 'phone', phone: '+41441234567' },
    taken: () => server.mails.map((mail) => header(mail.raw, 'X-Carillon-Attempt') ?? ''),
    clears: false,
    provoke(kind) {
      const script = scripts[kind];
      if (!script) return undefined;
      server.script = script;
      return email();
    },
    async [Symbol.asyncDispose]() {
      await provider[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

providerContract('SMTP', harness);

describe('a mail', () => {
  it('carries our ids in its headers, and both a text and an HTML body', async () => {
    await using server = await startMailServer();
    const content = create(ContentSchema, {
      title: 'Grüezi <b>Ada</b>',
      body: 'Line one\nLine <two>\n\nNext paragraph',
      actions: [
        { label: 'Track it', url: 'https://shop.example/track?a=1&b=2' },
        { label: 'Bad', url: 'javascript:alert(1)' },
      ],
    });
    const sent = message(email(), { content });
    await using provider = smtpProvider({ url: urlOf(server) });
    await provider.send(sent, { signal: signal(), attemptId: sent.attemptId });
    const [mail] = server.mails;
    expect(mail!.from).toBe('news@mesh.example');
    expect(mail!.to).toEqual(['ada@example.org']);
    expect(header(mail!.raw, 'Message-ID')).toBe(`<${sent.attemptId}@mesh.example>`);
    expect(header(mail!.raw, 'X-Carillon-Attempt')).toBe(sent.attemptId);
    expect(header(mail!.raw, 'X-Carillon-Notification')).toBe(sent.notificationId);
    const body = mail!.raw.replaceAll('=\r\n', '').replaceAll('=3D', '=');
    expect(body).toContain('Track it: https://shop.example/track?a=1&b=2');
    expect(body).toContain('<a href="https://shop.example/track?a=1&amp;b=2">Track it</a>');
    expect(body).toContain('&lt;b&gt;Ada&lt;/b&gt;');
    expect(body).toContain('<p>Line one<br>Line &lt;two&gt;</p>');
    expect(body).not.toContain('javascript:');
  });

  it('cannot be given a header, a recipient or a command by its title', async () => {
    await using server = await startMailServer();
    const content = create(ContentSchema, {
      title: 'Hello\r\nBcc: eve@evil.example\r\n\r\n.\r\nMAIL FROM:<eve@evil.example>',
      body: 'Text\r\n.\r\nRCPT TO:<eve@evil.example>\r\n',
    });
    expect((await sendTo(server, { content })).kind).toBe('sent');
    expect(server.mails).toHaveLength(1);
    expect(server.mails[0]!.to).toEqual(['ada@example.org']);
    expect(header(server.mails[0]!.raw, 'Bcc')).toBeUndefined();
    expect(header(server.mails[0]!.raw, 'Subject')).toContain('Hello Bcc: eve@evil.example');
  });

  it.each([
    'two@a.example, three@b.example',
    'Ada <ada@a.example>',
    'a@b@c',
    'a b@c.example',
    'a@c\r\nX: y',
    '@',
    'root',
  ])('does not go to %j, which is not one plain address', async (address) => {
    await using server = await startMailServer();
    const outcome = await sendTo(server, { address: email(address) });
    expect(outcome).toMatchObject({ kind: 'permanent', address: 'invalid' });
    expect(server.connections()).toBe(0);
  });

  it('says in its envelope which call it is, so that what comes back says so too', async () => {
    await using server = await startMailServer({ dsn: true });
    const bounces = '&bounces=bounces@mesh.example';
    await using provider = smtpProvider({ url: urlOf(server, '', bounces) });
    const sent = message(email());
    await provider.send(sent, { signal: signal(), attemptId: sent.attemptId });
    expect(server.mails[0]).toMatchObject({
      from: `bounces+${sent.attemptId}@mesh.example`,
      envelopeId: sent.attemptId,
      to: ['ada@example.org'],
    });
    expect(header(server.mails[0]!.raw, 'From')).toBe('Carillon <news@mesh.example>');
  });

  it('has the headers of RFC 8058 when its person can unsubscribe, and never by a URL that breaks out', async () => {
    await using server = await startMailServer();
    for (const unsubscribeUrl of [
      'https://hooks.mesh.example/u/abc',
      'https://x.example/>\r\nBcc: y',
      'http://x.example/',
    ])
      await sendTo(server, { unsubscribeUrl });
    const [good, hostile, plain] = server.mails.map(({ raw }) => raw);
    expect(header(good!, 'List-Unsubscribe')).toBe('<https://hooks.mesh.example/u/abc>');
    expect(header(good!, 'List-Unsubscribe-Post')).toBe('List-Unsubscribe=One-Click');
    expect(header(hostile!, 'Bcc')).toBeUndefined();
    expect(header(plain!, 'List-Unsubscribe')).toBeUndefined();
  });

  it('is not for devices', async () => {
    await using provider = smtpProvider({ url: 'smtp://127.0.0.1:1?from=a@b.example' });
    const device = {
      kind: 'device',
      deviceId: 'd',
      platform: Platform.IOS,
      token: 't',
      registeredAtMs: 0,
    } as const;
    expect(provider.serves(device)).toBe(false);
  });
});

describe('what a mail server answers', () => {
  const refusing = (code: number, text: string, where: 'onRecipient' | 'onMessage' = 'onRecipient') =>
    startMailServer({ [where]: () => ({ code, text }) });

  it.each([
    [550, '5.1.1 no such user', { kind: 'permanent', address: 'invalid' }],
    [553, '5.1.8 bad sender', { kind: 'permanent', policy: true }],
    [550, '5.7.1 we do not like you', { kind: 'permanent', policy: true }],
    [554, 'no thanks', { kind: 'permanent' }],
    [450, '4.2.0 greylisted', { kind: 'transient' }],
    [452, '4.2.2 mailbox full', { kind: 'transient' }],
    [421, '4.3.2 closing', { kind: 'down' }],
  ])('%i %s to RCPT TO', async (code, text, expected) => {
    await using server = await refusing(code, text);
    const outcome = await sendTo(server);
    expect(outcome).toMatchObject(expected);
    expect(outcome).toMatchObject({ reason: expect.stringContaining(text) });
    if (expected.kind === 'permanent' && !('address' in expected))
      expect(outcome).not.toHaveProperty('address');
  });

  it('keeps the address to itself, though the server repeats it', async () => {
    await using server = await refusing(550, '5.1.1 <ada@example.org>: Recipient address rejected');
    expect(await sendTo(server)).toMatchObject({ reason: '550 5.1.1 <address>: Recipient address rejected' });
  });

  it.each([
    [554, '5.6.0 what is this', 'permanent'],
    [451, '4.3.0 later', 'transient'],
  ])('%i %s to the final dot is as definite', async (code, text, kind) => {
    await using server = await refusing(code, text, 'onMessage');
    expect(await sendTo(server)).toMatchObject({ kind, reason: expect.stringContaining(text) });
  });
});

describe('a connection that is lost', () => {
  it('before it is made: the server is down', async () => {
    const server = await startMailServer();
    await server[Symbol.asyncDispose]();
    expect((await sendTo(server)).kind).toBe('down');
  });

  it('in the envelope or in the message: the mail certainly did not go out', async () => {
    await using server = await startMailServer({ onRecipient: () => 'drop' });
    expect((await sendTo(server)).kind).toBe('transient');
    server.script = { dropInContent: true };
    const content = create(ContentSchema, { title: 'Long', body: 'x'.repeat(8_000_000) });
    expect((await sendTo(server, { content })).kind).toBe('transient');
    expect(server.complete).toBe(0);
  });

  it('after the final dot: nobody knows, and it is not sent a second time', async () => {
    await using server = await startMailServer({ onMessage: () => 'drop' });
    await using provider = smtpProvider({ url: urlOf(server) });
    for (let n = 1; n <= 2; n++) {
      const sent = message(email());
      const outcome = await provider.send(sent, { signal: signal(), attemptId: sent.attemptId });
      expect(outcome.kind).toBe('unknown');
      expect(server.complete).toBe(n);
    }
  });

  it('by our own time limit after the final dot: nobody knows', async () => {
    const answered = Promise.withResolvers<void>();
    await using server = await startMailServer();
    const controller = new AbortController();
    server.script = {
      onMessage: () => {
        controller.abort();
        answered.resolve();
        return 'drop';
      },
    };
    await using provider = smtpProvider({ url: urlOf(server) });
    const sent = message(email());
    const outcome = await provider.send(sent, { signal: controller.signal, attemptId: sent.attemptId });
    await answered.promise;
    expect(outcome.kind).toBe('unknown');
  });

  it('while it was idle: the next mail goes out over a new one, once', async () => {
    const server = await startMailServer();
    await using provider = smtpProvider({ url: urlOf(server) });
    const first = message(email());
    await provider.send(first, { signal: signal(), attemptId: first.attemptId });
    await server[Symbol.asyncDispose]();
    await using again = await startMailServer({}, server.port);
    const second = message(email());
    const outcome = await provider.send(second, { signal: signal(), attemptId: second.attemptId });
    expect(outcome.kind).toBe('sent');
    expect(again.mails).toHaveLength(1);
  });
});

describe('encryption and credentials', () => {
  const user = { name: 'mesh', password: 'p@ss:/word' };
  const login = 'mesh:p%40ss%3A%2Fword@';

  it('upgrades by STARTTLS and signs in', async () => {
    await using server = await startMailServer({ starttls: true, user });
    await using provider = smtpProvider({ url: urlOf(server, login, '&verify=false&starttls=required') });
    const sent = message(email());
    const outcome = await provider.send(sent, { signal: signal(), attemptId: sent.attemptId });
    expect(outcome.kind).toBe('sent');
    expect(server.mails[0]).toMatchObject({ secure: true, user: 'mesh' });
  });

  it('does not talk to a server whose certificate nobody vouches for', async () => {
    await using server = await startMailServer({ starttls: true, user });
    await using provider = smtpProvider({ url: urlOf(server, login) });
    const sent = message(email());
    const outcome = await provider.send(sent, { signal: signal(), attemptId: sent.attemptId });
    expect(outcome.kind).toBe('down');
    expect(server.mails).toHaveLength(0);
  });

  it('does not send a password in the clear when STARTTLS is required', async () => {
    await using server = await startMailServer({ user });
    await using provider = smtpProvider({ url: urlOf(server, login, '&starttls=required') });
    const sent = message(email());
    const outcome = await provider.send(sent, { signal: signal(), attemptId: sent.attemptId });
    expect(['down', 'config']).toContain(outcome.kind);
    expect(server.mails).toHaveLength(0);
  });

  it('says that a wrong password is a matter of configuration', async () => {
    await using server = await startMailServer({ user });
    await using provider = smtpProvider({ url: urlOf(server, 'mesh:wrong@') });
    const sent = message(email());
    const outcome = await provider.send(sent, { signal: signal(), attemptId: sent.attemptId });
    expect(outcome).toMatchObject({ kind: 'config', reason: expect.stringContaining('535') });
    expect(JSON.stringify(outcome)).not.toContain('wrong@');
  });
});
