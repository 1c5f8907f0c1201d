// Termii's JSON: its message ids are numbers of 19 digits and more, which must not be rounded.

/** Like JSON.parse, with numbers as the text they are written in. Throws what JSON.parse throws. */
export function parseTermiiJson(text: string): unknown {
  return JSON.parse(text, (_name, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' ? (context?.source ?? String(value)) : value,
  );
}
