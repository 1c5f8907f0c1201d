// The two hashes of the ring, over bytes and integers only: docs/ring.md is the norm, every language gets the same numbers.

const FNV_START = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

const eat = (hash: number, byte: number): number => Math.imul(hash ^ byte, FNV_PRIME);

/**
 * FNV-1a (32 bits) over the UTF-8 of `text`, going on from `hash`. A surrogate without its partner counts as U+FFFD, as in
 * every encoder. Read from the string itself: an encoder would cost more than the rest of a look-up.
 */
export function fnv(text: string, hash: number = FNV_START): number {
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) {
      hash = eat(hash, unit);
      continue;
    }
    if (unit < 0x800) {
      hash = eat(eat(hash, 0xc0 | (unit >> 6)), 0x80 | (unit & 0x3f));
      continue;
    }
    const point = text.codePointAt(at) ?? unit;
    if (point > 0xffff) {
      hash = eat(eat(hash, 0xf0 | (point >> 18)), 0x80 | ((point >> 12) & 0x3f));
      hash = eat(eat(hash, 0x80 | ((point >> 6) & 0x3f)), 0x80 | (point & 0x3f));
      at++;
      continue;
    }
    const whole = point >= 0xd800 && point <= 0xdfff ? 0xfffd : point;
    hash = eat(eat(hash, 0xe0 | (whole >> 12)), 0x80 | ((whole >> 6) & 0x3f));
    hash = eat(hash, 0x80 | (whole & 0x3f));
  }
  return hash >>> 0;
}

/** Goes on with one byte that no UTF-8 holds, so that no two pairs of texts are the same bytes. */
export const fnvSeparator = (hash: number): number => eat(hash, 0xff);

/** The finalizer of MurmurHash3 (32 bits): every bit of the input moves every bit of the answer. */
export function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
