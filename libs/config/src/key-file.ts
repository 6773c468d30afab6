import { link, mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { KeksError, Keyring, newKekText, parseKeks } from '@app/sealing';
import { ConfigError, type Config } from './config.js';

type KeyConfig = Pick<Config, 'POSTHORN_KEKS' | 'POSTHORN_DATA_DIR'>;
interface SecretRandom {
  bytes(n: number): Uint8Array;
}

/** Where the key-encryption keys of a machine are when POSTHORN_KEKS is not set: `posthorn up` makes it. */
export function keyFileOf({ POSTHORN_DATA_DIR }: Pick<Config, 'POSTHORN_DATA_DIR'>): string {
  return join(POSTHORN_DATA_DIR, 'keks');
}

/** The KEKs that this process is given: POSTHORN_KEKS, else the key file. @throws ConfigError naming both ways */
export async function loadKeyring(config: KeyConfig, random: SecretRandom): Promise<Keyring> {
  const keyring = await findKeyring(config, random);
  if (keyring) return keyring;
  throw new ConfigError(
    `The keys of secrets at rest are missing: POSTHORN_KEKS is not set and there is no key file ${resolve(keyFileOf(config))}. Set POSTHORN_KEKS, or let \`posthorn up\` make the file.`,
  );
}

/** The same for what can do without: null when there are none. @throws ConfigError for keys that are wrong or open to others */
export async function findKeyring(config: KeyConfig, random: SecretRandom): Promise<Keyring | null> {
  if (config.POSTHORN_KEKS !== null) return new Keyring(parseKeks(config.POSTHORN_KEKS), random);
  const path = resolve(keyFileOf(config));
  const text = await readPrivate(path);
  if (text === null) return null;
  try {
    return new Keyring(parseKeks(text), random);
  } catch (error) {
    if (!(error instanceof KeksError)) throw error;
    throw new ConfigError(`The key file ${path} is wrong: ${error.message}.`);
  }
}

async function readPrivate(path: string): Promise<string | null> {
  const found = await stat(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new ConfigError(`The key file ${path} cannot be looked at: ${(error as Error).message}`);
  });
  if (found === null) return null;
  if (!found.isFile()) throw new ConfigError(`The key file ${path} is no file.`);
  // Windows has no such bits.
  if (process.getuid && (found.mode & 0o077) !== 0)
    throw new ConfigError(
      `The key file ${path} can be read by others (mode ${(found.mode & 0o777).toString(8)}): run \`chmod 600 ${path}\`.`,
    );
  return readFile(path, 'utf8').catch((error: unknown) => {
    throw new ConfigError(`The key file ${path} cannot be read: ${(error as Error).message}`);
  });
}

/**
 * Makes the key file when POSTHORN_KEKS is not set and there is none. Answers its path when it was made now. Complete or
 * not there: it is written under another name, for the owner alone, and linked, so that of two who make it one does.
 */
export async function ensureKeyFile(config: KeyConfig, random: SecretRandom): Promise<string | null> {
  const path = resolve(keyFileOf(config));
  if (config.POSTHORN_KEKS !== null || (await stat(path).catch(() => null)) !== null) return null;
  await mkdir(config.POSTHORN_DATA_DIR, { recursive: true });
  const draft = `${path}.${Buffer.from(random.bytes(8)).toString('hex')}`;
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(`${newKekText(random)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await link(draft, path);
    return path;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return null;
  } finally {
    await rm(draft, { force: true });
  }
}
