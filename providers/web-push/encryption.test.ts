// RFC 8291 by its own example, and from both sides.
import { createECDH, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encryptFor } from './encryption.ts';
import { decryptBy } from './fake-push-service.fixture.ts';

const base64url = (text: string) => Buffer.from(text, 'base64url');

describe('the encryption for a browser', () => {
  it('gives the bytes of RFC 8291, appendix A', () => {
    const body = encryptFor(
      {
        publicKey: base64url(
          'BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4',
        ),
        auth: base64url('BTBZMqHH6r4Tts7J_aSIgg'),
      },
      Buffer.from('When I grow up, I want to be a watermelon'),
      {
        privateKey: base64url('yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw'),
        salt: base64url('DGv6ra1nlYgDCS1FRnbzlw'),
      },
    );
    expect(body.toString('base64url')).toBe(
      'DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_' +
        'yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN',
    );
  });

  it('is undone by the browser alone, whatever the text', () => {
    const browser = () => {
      const ecdh = createECDH('prime256v1');
      ecdh.generateKeys();
      return { ecdh, auth: randomBytes(16) };
    };
    const [reader, other] = [browser(), browser()];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3_993 }), (bytes) => {
        const text = Buffer.from(bytes);
        const body = encryptFor({ publicKey: reader.ecdh.getPublicKey(), auth: reader.auth }, text);
        expect(body.length).toBe(text.length + 103);
        expect(decryptBy(reader, body).equals(text)).toBe(true);
        expect(() => decryptBy(other, body)).toThrow();
      }),
      { numRuns: 30 },
    );
  });
});
