import { refusals } from './refusals.js';
import { VARIABLES, type Variable } from './variables.js';

type ValueOf<V extends Variable> = V extends { kind: 'integer' }
  ? V extends { default: null }
    ? number | null
    : number
  : V extends { kind: 'flag' }
    ? boolean
    : V extends { default: null }
      ? string | null
      : string;

/** Each variable under its own name, typed and frozen. */
export type Config = Readonly<{ [Name in keyof typeof VARIABLES]: ValueOf<(typeof VARIABLES)[Name]> }>;

/** Thrown with one sentence per variable that is wrong; the values of secrets are not in it. */
export class ConfigError extends Error {}

/** Reads the configuration. @throws ConfigError naming every variable that is wrong, and what would be right. */
export function loadConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, variable] of Object.entries<Variable>(VARIABLES)) {
    const text = env[name]?.trim();
    if (text === undefined || text === '') values[name] = variable.default;
    else {
      const result = read(variable, text);
      if ('problem' in result) problems.push(`${name} ${result.problem}`);
      else values[name] = result.value;
    }
  }
  problems.push(...refusals(values, env));
  if (problems.length > 0) throw new ConfigError(`The configuration is wrong: ${problems.join('; ')}.`);
  return Object.freeze(values) as Config;
}

function read(variable: Variable, text: string): { value: unknown } | { problem: string } {
  switch (variable.kind) {
    case 'text':
      if (variable.lengthMin && text.length < variable.lengthMin)
        return { problem: `must have at least ${variable.lengthMin} characters` };
      try {
        variable.check?.(text);
      } catch (error) {
        return { problem: `is wrong: ${(error as Error).message}` };
      }
      return { value: text };
    case 'integer': {
      const value = /^\d+$/.test(text) ? Number(text) : NaN;
      if (!(value >= variable.min && value <= variable.max))
        return { problem: `must be a whole number from ${variable.min} to ${variable.max}` };
      return { value };
    }
    case 'flag':
      if (text !== 'true' && text !== 'false') return { problem: 'must be true or false' };
      return { value: text === 'true' };
    case 'choice':
      if (!variable.of.includes(text)) return { problem: `must be one of ${variable.of.join(', ')}` };
      return { value: text };
  }
}

/** The configuration as it may be logged: secrets become whether they are set. */
export function describeConfig(config: Config): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries<Variable>(VARIABLES).map(([name, variable]) => {
      const value = config[name as keyof Config];
      return [name, variable.kind === 'text' && variable.secret ? value !== null : value];
    }),
  );
}

/** The text of .env.example. */
export function envExample(): string {
  const blocks = Object.entries<Variable>(VARIABLES).map(([name, variable]) => {
    const range =
      variable.kind === 'integer'
        ? ` (${variable.min} to ${variable.max})`
        : variable.kind === 'choice'
          ? ` (${variable.of.join(', ')})`
          : '';
    return `# ${variable.about}${range}\n${variable.default === null ? '# ' : ''}${name}=${variable.default ?? ''}\n`;
  });
  return `# Generated from libs/config/src/variables.ts by \`npm run golden\`; a test compares the two.\n\n${blocks.join('\n')}`;
}
