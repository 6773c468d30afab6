import { Problem, type FieldProblem } from '@app/contracts';
import { Injectable, ValidationPipe, type ArgumentMetadata } from '@nestjs/common';
import { getMetadataStorage, type ValidationError } from 'class-validator';

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
    // class-transformer leaves this name out without a word; every other unknown field is refused.
    if (metadata.type === 'body' && value != null && Object.hasOwn(value, 'constructor'))
      throw refusal([{ pointer: '/constructor', detail: unknownField(metadata.metatype) }]);
    try {
      return await super.transform(value, metadata);
    } catch (error) {
      if (!(error instanceof Invalid)) throw error;
      throw refusal(
        fieldProblems(error.errors, metadata.type === 'body' ? '/' : '', metadata.metatype),
        firstLimit(error.errors),
      );
    }
  }

  /**
   * Would delete fields called `constructor` or `prototype` from metadata and examples, where they are names like any
   * other. What it guards against is refused when the body is parsed (json-body.ts).
   */
  protected override stripProtoKeys(): void {}
}

/** Says which would be: a typing error is then seen at once. */
function unknownField(dto: unknown): string {
  const known = fieldsOf(dto);
  return known.length === 0
    ? 'is not a field of this'
    : `is not a field of this; there ${known.length === 1 ? 'is' : 'are'} ${known.join(', ')}`;
}

function fieldsOf(dto: unknown): string[] {
  if (typeof dto !== 'function') return [];
  const rules = getMetadataStorage().getTargetValidationMetadatas(dto, '', false, false);
  return [...new Set(rules.map((rule) => rule.propertyName))];
}

// The answer stays readable, and a list of a thousand wrong values does not become a megabyte.
const FIELDS_MAX = 20;

function refusal(errors: FieldProblem[], limit?: number): Problem {
  const first = errors[0];
  const where = first === undefined || first.pointer === '' ? 'The body' : `\`${first.pointer}\``;
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  return new Problem('invalid_request', `${where} ${first?.detail ?? 'is wrong'}${more}.`, {
    errors: errors.slice(0, FIELDS_MAX),
    ...(limit === undefined ? {} : { limit }),
  });
}

/** The rule to tell of: the first as written. Decorators run from the last, so a missing text would be "too long". */
function brokenRule(error: ValidationError): string | undefined {
  return Object.keys(error.constraints ?? {}).at(-1);
}

/** Depth first, in the order of the fields. A field of the body becomes a JSON pointer, a parameter keeps its name. */
function fieldProblems(errors: ValidationError[], prefix: string, dto?: unknown): FieldProblem[] {
  return errors.flatMap((error) => {
    const pointer = prefix + escapePointer(error.property);
    const rule = brokenRule(error);
    const text = rule === undefined ? '' : error.constraints![rule];
    const detail =
      rule === 'whitelistValidation' ? unknownField(dto) : inPlainWords(withoutName(text, error.property));
    return [
      ...(rule === undefined ? [] : [{ pointer, detail }]),
      ...fieldProblems(error.children ?? [], `${pointer}/`),
    ];
  });
}

/** The bound that the first field over one was over: rules that have one name it in their context (field-rules.ts). */
function firstLimit(errors: ValidationError[]): number | undefined {
  for (const error of errors) {
    const context = error.contexts?.[brokenRule(error) ?? ''] as { limit?: number } | undefined;
    const limit = context?.limit ?? firstLimit(error.children ?? []);
    if (limit !== undefined) return limit;
  }
  return undefined;
}

/** class-validator's sentences begin with the field's name, which the pointer says already. */
function withoutName(text: string, name: string): string {
  return text.startsWith(`${name} `) ? text.slice(name.length + 1) : text;
}

/** class-validator's sentences as a person would say them. */
function inPlainWords(text: string): string {
  return WORDS.reduce((said, [pattern, words]) => said.replace(pattern, words), text);
}

const WORDS: [RegExp, string][] = [
  [/^each value in \S+ /, 'each value '],
  [/must be longer than or equal to 1 characters$/, 'must not be empty'],
  [
    /must be longer than or equal to (\d+) and shorter than or equal to (\d+) characters$/,
    'must have $1 to $2 characters',
  ],
  [/must be longer than or equal to (\d+) characters$/, 'must have at least $1 characters'],
  [/must be shorter than or equal to (\d+) characters$/, 'must have at most $1 characters'],
  [/must contain no more than (\d+) elements$/, 'must have at most $1 elements'],
  [/must contain at least 1 elements$/, 'must not be empty'],
  [/must not be greater than (\S+)$/, 'must be at most $1'],
  [/must not be less than (\S+)$/, 'must be at least $1'],
  [/must be an integer number$/, 'must be a whole number'],
  [/must be one of the following values: /, 'must be one of '],
];

function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
