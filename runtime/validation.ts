// The rules that stand in the .proto files, enforced; what breaks one is said by field and rule.
import { create, type DescMessage, type DescService, type MessageShape } from '@bufbuild/protobuf';
import { createValidator, type Violation } from '@bufbuild/protovalidate';
import { CarillonError, type FieldViolation } from './errors.ts';

const validator = createValidator();

const FIELD_CHARS = 200;

function pathOf(violation: Violation): string {
  let path = '';
  for (const part of violation.field) {
    if (part.kind === 'field') path += path === '' ? part.name : `.${part.name}`;
    else if (part.kind === 'list_sub') path += `[${part.index}]`;
    else if (part.kind === 'map_sub') path += `[${JSON.stringify(part.key).slice(0, 64)}]`;
    else if (part.kind === 'oneof') path += path === '' ? part.name : `.${part.name}`;
  }
  return path.slice(0, FIELD_CHARS);
}

/** INVALID_REQUEST that names the first violations in its message, and all of them in its details. */
export function invalidRequest(violations: readonly FieldViolation[]): CarillonError {
  const said = violations
    .slice(0, 3)
    .map(({ field, description }) => (field === '' ? description : `${field}: ${description}`));
  const more = violations.length > 3 ? `; and ${violations.length - 3} more` : '';
  return new CarillonError('INVALID_REQUEST', `${said.join('; ')}${more}`, { violations });
}

/**
 * The violations of `message`, none when it is as it should be. `prefix`: the path of `message` in the request.
 * 5-6 µs for a notification, once warm.
 */
export function violationsOf<D extends DescMessage>(
  schema: D,
  message: MessageShape<D>,
  prefix = '',
): FieldViolation[] {
  const result = validator.validate(schema, message);
  if (result.kind === 'valid') return [];
  if (result.kind === 'error') throw new CarillonError('INTERNAL', undefined, { cause: result.error });
  return result.violations.map((violation) => {
    const path = pathOf(violation);
    return { field: prefix && path ? `${prefix}.${path}` : prefix || path, description: violation.message };
  });
}

/** Rejects with INVALID_REQUEST when a rule is broken. */
export function validate<D extends DescMessage>(schema: D, message: MessageShape<D>): void {
  const violations = violationsOf(schema, message);
  if (violations.length > 0) throw invalidRequest(violations);
}

/** Compiles the rules of all requests of a service: the first call would take 50-100 ms. */
export function warmValidation(desc: DescService): void {
  for (const { input } of desc.methods) validator.validate(input, create(input));
}
