import { Transform, Type } from 'class-transformer';
import { ValidateBy, ValidateIf, type ValidationOptions } from 'class-validator';

/** Absent is fine, null is not: for PATCH, where null takes a value away and a name cannot be taken away. */
export const IfPresent = () => ValidateIf((_, value) => value !== undefined);

/** Absent and null are fine: for PATCH, where null takes the value away. */
export const IfNotNull = () => ValidateIf((_, value) => value !== undefined && value !== null);

/**
 * The value as it was parsed. class-transformer would copy it, drop some keys, and crash on an object with the key
 * `constructor`. The type is a lie that keeps it from walking inside; what it makes of it is then thrown away.
 */
export const AsGiven = (): PropertyDecorator => (target, property) => {
  Type(() => Boolean)(target, property);
  Transform(({ obj, key }) => (obj as Record<string, unknown>)[key])(target, property);
};

/** For rules about a length or a count: the answer then carries the bound as `limit`. */
export const atMost = (limit: number): ValidationOptions => ({ context: { limit } });

/** A text that PostgreSQL and a receiver can hold as it is: no NUL, no half of a surrogate pair. */
export const IsPlainText = (options?: ValidationOptions) =>
  ValidateBy(
    {
      name: 'isPlainText',
      validator: {
        validate: isPlainText,
        defaultMessage: () => '$property must be a text without NUL and lone surrogates',
      },
    },
    options,
  );

/** A text of which something is left when blanks are taken away. */
export const IsNotBlank = () =>
  ValidateBy({
    name: 'isNotBlank',
    validator: {
      validate: (value) => typeof value === 'string' && value.trim() !== '',
      defaultMessage: () => '$property must not be blank',
    },
  });

export interface TextsBounds {
  entriesMax: number;
  nameLengthMax: number;
  valueLengthMax: number;
  /** For PATCH: null takes an entry away. */
  orNull?: boolean;
}

/** An object of texts, bounded in every direction. */
export const IsTexts = (bounds: TextsBounds) =>
  ValidateBy({
    name: 'isTexts',
    validator: {
      validate: (value) => textsProblem(value, bounds) === null,
      defaultMessage: (argument) => `$property ${textsProblem(argument?.value, bounds) ?? ''}`,
    },
  });

function textsProblem(value: unknown, bounds: TextsBounds): string | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return 'must be an object of texts';
  const entries = Object.entries(value);
  if (entries.length > bounds.entriesMax) return `must have at most ${bounds.entriesMax} entries`;
  for (const [name, text] of entries) {
    if (name === '' || name.length > bounds.nameLengthMax || !isPlainText(name))
      return `must have names of 1 to ${bounds.nameLengthMax} characters`;
    if (text === null && bounds.orNull) continue;
    if (!isPlainText(text) || (text as string).length > bounds.valueLengthMax)
      return `must have texts of at most ${bounds.valueLengthMax} characters${bounds.orNull ? ' or null' : ''} as values`;
  }
  return null;
}

function isPlainText(value: unknown): boolean {
  return typeof value === 'string' && value.isWellFormed() && !value.includes('\0');
}
