// A notification as a text message: its words, without control characters, to one phone number.
import type { Content } from '../gen/carillon/v1/notification_pb.ts';
import type { Outcome } from './provider.ts';

const E164 = /^\+[1-9]\d{6,14}$/;

/** Whether the text is one phone number in its international form, such as `+41441234567`. */
export const isPhoneNumber = (text: string): boolean => E164.test(text);

/** A number as some providers write it, without its +; what is none stays as it is. */
export const internationalNumber = (text: string): string =>
  /^[1-9]\d{6,14}$/.test(text) ? `+${text}` : text;

/** The title and the body, one under the other. Actions and images are not for text messages. */
export function smsText({ title, body }: Content): string {
  return (
    [title, body]
      .filter((part) => part !== '')
      .join('\n')
      .replaceAll('\r\n', '\n')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed.
      .replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/gu, ' ')
      .trim()
  );
}

/** Refuses a text that the provider would cut or refuse; `most` counts UTF-16 units, as the providers do. */
export function tooLong(text: string, most: number): Outcome | undefined {
  return text.length > most
    ? { kind: 'permanent', reason: `the text is longer than the ${most} characters that this provider takes` }
    : undefined;
}

/** The characters of GSM 03.38 with its extension; everything else needs another encoding, of 70 instead of 160 to a part. */
const GSM = /^[@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&'()*+,\-./0-9:;<=>?¡A-ZÄÖÑÜ§¿a-zäöñüà^{}\\[~\]|€]*$/u;

export const isGsmText = (text: string): boolean => GSM.test(text);
