import { Problem, type FieldProblem } from '@app/contracts';
import { Injectable, ValidationPipe, type ArgumentMetadata } from '@nestjs/common';
import type { ValidationError } from 'class-validator';

class Invalid extends Error {
  constructor(readonly errors: ValidationError[]) {
    super('invalid');
  }
}

/** Checks bodies and queries against their DTO; unknown fields are refused. Each wrong field is named in the answer. */
@Injectable()
export class DtoPipe extends ValidationPipe {
  constructor() {
    super({
      whitelist: true,
      forbidNonWhitelisted: true,
      forbidUnknownValues: true,
      transform: true,
      exceptionFactory: (errors) => new Invalid(errors),
    });
  }

  override async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    if (metadata.type === 'body' && value != null && (typeof value !== 'object' || Array.isArray(value)))
      throw refusal([{ pointer: '', detail: 'must be a JSON object' }]);
    try {
      return await super.transform(value, metadata);
    } catch (error) {
      if (!(error instanceof Invalid)) throw error;
      throw refusal(fieldProblems(error.errors, metadata.type === 'body' ? '/' : ''));
    }
  }
}

// The answer stays readable, and a list of a thousand wrong values does not become a megabyte.
const FIELDS_MAX = 20;

function refusal(errors: FieldProblem[]): Problem {
  const first = errors[0];
  const where = first === undefined || first.pointer === '' ? 'The body' : `\`${first.pointer}\``;
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  return new Problem('invalid_request', `${where} ${first?.detail ?? 'is wrong'}${more}.`, {
    errors: errors.slice(0, FIELDS_MAX),
  });
}

/** Depth first, in the order of the fields. A field of the body becomes a JSON pointer, a parameter keeps its name. */
function fieldProblems(errors: ValidationError[], prefix: string): FieldProblem[] {
  return errors.flatMap((error) => {
    const pointer = prefix + escapePointer(error.property);
    const own = Object.entries(error.constraints ?? {}).map(([rule, text]) => ({
      pointer,
      detail: rule === 'whitelistValidation' ? 'is not a field of this' : withoutName(text, error.property),
    }));
    return [...own, ...fieldProblems(error.children ?? [], `${pointer}/`)];
  });
}

/** class-validator's sentences begin with the field's name, which the pointer says already. */
function withoutName(text: string, name: string): string {
  return text.startsWith(`${name} `) ? text.slice(name.length + 1) : text;
}

function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
