// A notification as an email: plain text and escaped HTML, and no way to smuggle a header or a second recipient in.
import type { Content } from '../gen/carillon/v1/notification_pb.ts';
import type { Message } from './provider.ts';

export interface Mail {
  from: { name: string; address: string };
  to: { name: string; address: string };
  messageId: string;
  subject: string;
  text: string;
  html: string;
  headers: Record<string, string>;
}

export interface Sender {
  name: string;
  address: string;
}

// RFC 5321's lengths; no quoting, no comments, no lists: an address of that kind is refused rather than interpreted.
const ADDRESS = /^[^\s@<>()[\],;:"\\\p{C}]{1,64}@[^\s@<>()[\],;:"\\\p{C}]{1,255}$/u;

/** Whether the text is one plain address. */
export const isMailAddress = (text: string): boolean => text.length <= 320 && ADDRESS.test(text);

/** What others say, without the mail addresses in it. Bounded, so that hostile text costs no more than its length. */
export const withoutAddresses = (text: string): string =>
  text.replaceAll(/<?[^\s<>"':;,@]{1,64}@[^\s<>"';,@]{1,255}>?/g, '<address>');

/** One line of a header: control characters and line ends become spaces. */
export const headerText = (text: string): string =>
  text
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim()
    .slice(0, 255);

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (sign) => ENTITIES[sign] ?? sign);

/** The address as it may stand in a link: web and mail addresses only. */
function linkable(url: string): string | undefined {
  const parsed = URL.parse(url);
  return parsed && ['http:', 'https:', 'mailto:'].includes(parsed.protocol) ? parsed.href : undefined;
}

function mailText({ title, body, actions }: Content): string {
  const links = actions.flatMap(({ label, url }) => {
    const href = linkable(url);
    return href === undefined ? [] : [`${headerText(label)}: ${href}`];
  });
  return `${[body === '' ? title : body, ...links].join('\n\n')}\n`;
}

function mailHtml({ title, body, imageUrl, actions }: Content): string {
  const image = linkable(imageUrl);
  const parts = [
    title === '' ? '' : `<h1 style="font-size:1.25em;margin:0 0 .75em">${escapeHtml(title)}</h1>`,
    image === undefined ? '' : `<p><img src="${escapeHtml(image)}" alt="" style="max-width:100%"></p>`,
    ...body
      .split(/\n{2,}/)
      .filter((paragraph) => paragraph !== '')
      .map((paragraph) => `<p>${escapeHtml(paragraph).replaceAll('\n', '<br>')}</p>`),
    ...actions.flatMap(({ label, url }) => {
      const href = linkable(url);
      return href === undefined ? [] : [`<p><a href="${escapeHtml(href)}">${escapeHtml(label)}</a></p>`];
    }),
  ];
  return `<!doctype html><html><body style="font-family:sans-serif">${parts.join('')}</body></html>\n`;
}

/** RFC 8058: both headers, or none. The URL is one that cannot leave its brackets, and fits where SES ends headers (870). */
function unsubscribeHeaders({ unsubscribeUrl }: Message): Record<string, string> {
  const url = unsubscribeUrl === undefined ? null : URL.parse(unsubscribeUrl);
  if (url?.protocol !== 'https:' || !/^[^<>,\s]{1,800}$/.test(url.href)) return {};
  return {
    'List-Unsubscribe': `<${url.href}>`,
    'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
  };
}

/** `to`: an address that `isMailAddress`. The Message-ID carries the attempt's id, so that a bounce can be told apart. */
export function mailOf(message: Message, to: string, sender: Sender): Mail {
  const { content, attemptId, notificationId } = message;
  const domain = sender.address.slice(sender.address.lastIndexOf('@') + 1);
  return {
    from: { name: headerText(sender.name), address: sender.address },
    to: { name: '', address: to },
    messageId: `<${attemptId}@${domain}>`,
    subject: headerText(content.title === '' ? content.body : content.title),
    text: mailText(content),
    html: mailHtml(content),
    headers: {
      'X-Carillon-Notification': notificationId,
      'X-Carillon-Attempt': attemptId,
      // RFC 3834: vacation responders leave it alone.
      'Auto-Submitted': 'auto-generated',
      ...unsubscribeHeaders(message),
    },
  };
}
