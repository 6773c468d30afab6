import { VARIABLES, type Variable } from './variables.js';

// Of 32 characters drawn at random from hexadecimal digits nearly always 11 or more differ.
const DISTINCT_MIN = 8;
// Words of examples and templates. None comes up by chance in a key worth the name.
const PUBLISHED =
  /change[-_ ]?(me|this|it)|example|password|placeholder|insecure|default|your[-_ ]?(admin|api|secret)?[-_ ]?key/i;
const ADVICE = 'take a random one, such as `openssl rand -hex 32` prints';

/** What no process of ours starts with, as sentences without their full stop. No value is repeated in them. */
export function refusals(values: Record<string, unknown>, env: NodeJS.ProcessEnv): string[] {
  const secrets = Object.entries<Variable>(VARIABLES).flatMap(([name, variable]) => {
    const value = values[name];
    const isSecret = variable.kind === 'text' && variable.secret === true;
    return isSecret && typeof value === 'string'
      ? [{ name, value, isChosen: variable.lengthMin !== undefined }]
      : [];
  });
  return [
    ...secrets.flatMap(({ name, value, isChosen }) => {
      const weakness = isChosen ? weaknessOf(value) : null;
      return weakness === null ? [] : [`${name} ${weakness}: ${ADVICE}`];
    }),
    ...secrets.flatMap(({ name, value }, at) =>
      secrets
        .slice(0, at)
        .filter((other) => other.value === value)
        .map((other) => `${name} must not be the same as ${other.name}: who learns one would have both`),
    ),
    ...(env['NODE_TLS_REJECT_UNAUTHORIZED']?.trim() === '0'
      ? [
          'NODE_TLS_REJECT_UNAUTHORIZED must not be 0: anybody between us and a receiver could read and change what we send. Unset it; name a private authority in NODE_EXTRA_CA_CERTS',
        ]
      : []),
  ];
}

/** Why this secret is none, if it is none. */
function weaknessOf(text: string): string | null {
  if (PUBLISHED.test(text)) return 'reads like an example that others have, too';
  if (new Set(text).size < DISTINCT_MIN || /^(.{1,16}?)\1+$/.test(text))
    return 'repeats itself and can be guessed';
  return null;
}
