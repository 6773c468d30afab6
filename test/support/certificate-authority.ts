import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Issued {
  readonly certificate: string;
  readonly key: string;
}

/** A certificate authority of its own, made by the openssl command: nothing of ours or of Node's judges itself. */
export interface CertificateAuthority {
  /** Of the authority, PEM. */
  readonly certificate: string;
  /** The authority's own private key. */
  readonly key: string;
  /** Good for `commonName` and 127.0.0.1, for servers and clients, for a day; `expired`: until 2020. */
  issue(commonName: string, options?: { expired?: boolean }): Issued;
}

export function makeAuthority(commonName: string): CertificateAuthority {
  const own = withFolder((folder) => {
    newKey(folder, 'ca');
    openssl(folder, [
      ...'req -x509 -new -key ca.key -sha256 -days 1 -out ca.pem -subj'.split(' '),
      `/CN=${commonName}`,
      ...'-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign'.split(' '),
    ]);
    return { certificate: read(folder, 'ca.pem'), key: read(folder, 'ca.key') };
  });
  return {
    ...own,
    issue: (name, { expired = false } = {}) =>
      withFolder((folder) => {
        writeFileSync(join(folder, 'ca.pem'), own.certificate);
        writeFileSync(join(folder, 'ca.key'), own.key);
        writeFileSync(join(folder, 'index.txt'), '');
        writeFileSync(join(folder, 'ca.cnf'), AUTHORITY);
        writeFileSync(
          join(folder, 'leaf.cnf'),
          `subjectAltName=IP:127.0.0.1,DNS:${name}\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n`,
        );
        newKey(folder, 'leaf');
        openssl(folder, ['req', '-new', '-key', 'leaf.key', '-subj', `/CN=${name}`, '-out', 'leaf.csr']);
        // `openssl ca`, because `openssl x509` of version 3.0 knows no past.
        openssl(folder, [
          ...'ca -batch -notext -config ca.cnf -in leaf.csr -out leaf.pem -extfile leaf.cnf'.split(' '),
          ...(expired ? '-startdate 20190101000000Z -enddate 20200101000000Z' : '-days 1').split(' '),
        ]);
        return { certificate: read(folder, 'leaf.pem'), key: read(folder, 'leaf.key') };
      }),
  };
}

const AUTHORITY = `[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
policy = any
unique_subject = no
rand_serial = yes
[any]
commonName = supplied
`;

function newKey(folder: string, name: string): void {
  openssl(folder, ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', `${name}.ec`]);
  openssl(folder, ['pkcs8', '-topk8', '-nocrypt', '-in', `${name}.ec`, '-out', `${name}.key`]);
}

function openssl(cwd: string, args: string[]): void {
  const { status, stderr, error } = spawnSync('openssl', args, { cwd, encoding: 'utf8' });
  if (error) throw new Error(`This test needs the openssl command: ${error.message}`);
  if (status !== 0) throw new Error(`openssl ${args[0]} failed: ${stderr}`);
}

function withFolder<T>(use: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-ca-'));
  try {
    return use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const read = (folder: string, name: string): string => readFileSync(join(folder, name), 'utf8');
