import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { chromium, type Locator, type Page } from 'playwright-core';

/** A page, and what it did that a person would not see. */
export interface Tab {
  readonly page: Page;
  /** Requests to any origin but the one it was opened for. */
  readonly strangers: string[];
  /** Exceptions and errors on the console. */
  readonly complaints: string[];
  close(): Promise<void>;
}

/** What the test machine's Chromium is for; elsewhere CHROMIUM_PATH names one. */
export const hasBrowser =
  process.env['CHROMIUM_PATH'] !== undefined || (process.platform === 'linux' && process.arch === 'x64');

// Longer than any answer of a busy machine; a test that waits for what never comes should say so within a minute.
const WAIT_MS = 15_000;

// The package's own list switches the same-origin policy off, which is part of what is tested here.
const ARGUMENTS = [
  '--headless=shell',
  // Containers have no user namespaces, and the only page is ours.
  '--no-sandbox',
  '--no-zygote',
  '--disable-gpu',
  '--disable-webgl',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-domain-reliability',
  '--disable-sync',
  '--no-first-run',
  '--no-pings',
];

/** Opens a headless Chromium at this URL. */
export async function openTab(url: string): Promise<Tab> {
  const { executablePath, env } = await browserFiles();
  const browser = await chromium.launch({ executablePath, args: ARGUMENTS, env: { ...process.env, ...env } });
  const page = await browser.newPage({ viewport: { width: 1300, height: 1000 } });
  page.setDefaultTimeout(WAIT_MS);
  const strangers: string[] = [];
  const complaints: string[] = [];
  const { origin } = new URL(url);
  page.on('request', (request) => {
    const to = new URL(request.url());
    if (to.origin !== origin && to.protocol !== 'data:') strangers.push(request.url());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  await page.goto(url);
  return { page, strangers, complaints, close: () => browser.close() };
}

/** What Swagger UI shows under "Server response" after Execute. */
export interface ShownAnswer {
  readonly status: number;
  /** As a person reads it. */
  readonly text: string;
  // oxlint-disable-next-line no-explicit-any
  readonly body: any;
}

/** Swagger UI in the hands of a customer: everything goes through what is on the page. */
export class SwaggerUi {
  private opened: string | undefined;
  private groups: Map<string, string> | undefined;

  constructor(private readonly page: Page) {}

  async authorize(key: string): Promise<void> {
    await this.page.getByRole('button', { name: 'Authorize' }).click();
    const dialog = this.page.locator('.dialog-ux');
    await dialog.locator('input').fill(key);
    await dialog.locator('button.authorize').click();
    await dialog.getByText('Authorized').waitFor();
    await dialog.locator('.btn-done').click();
  }

  /** The block of an operation, opened. */
  async open(operationId: string): Promise<Locator> {
    const block = this.page.locator(`.opblock[id$="-${operationId}"]`);
    if (this.opened !== operationId) {
      // One at a time: the page draws all that is open with every answer.
      if (this.opened !== undefined)
        await this.page.locator(`.opblock.is-open[id$="-${this.opened}"] .opblock-summary-control`).click();
      await this.unfold(operationId);
      await block.locator('.opblock-summary-control').click();
      this.opened = operationId;
    }
    await block.locator('.execute').or(block.locator('.responses-wrapper')).first().waitFor();
    return block;
  }

  /** The group of an operation, and no other: all operations of all groups are drawn anew with every key that is pressed. */
  private async unfold(operationId: string): Promise<void> {
    this.groups ??= await this.groupsOf();
    const group = this.groups.get(operationId);
    const open = this.page.locator('.opblock-tag[data-is-open="true"]');
    for (const tag of await open.evaluateAll((all) => all.map(({ id }) => id)))
      if (tag !== group) await this.page.locator(`[id="${tag}"]`).click();
    if (group === undefined) return;
    const header = this.page.locator(`[id="${group}"]`);
    if ((await header.getAttribute('data-is-open')) !== 'true') await header.click();
  }

  /** The ids of the groups' headings by operation, while all are open. */
  private async groupsOf(): Promise<Map<string, string>> {
    const pairs = await this.page
      .locator('.opblock-tag-section')
      .evaluateAll((sections) =>
        sections.flatMap((section) =>
          [...section.querySelectorAll('.opblock')].map((block): [string, string] => [
            block.id.slice(block.id.lastIndexOf('-') + 1),
            section.querySelector('.opblock-tag')!.id,
          ]),
        ),
      );
    return new Map(pairs);
  }

  /** Fills in what is given, leaves the rest as the page offers it, executes, and reads the answer. */
  async tryOut(
    operationId: string,
    { fields = {}, body }: { fields?: Record<string, string>; body?: object } = {},
  ): Promise<ShownAnswer> {
    const block = await this.open(operationId);
    for (const [name, value] of Object.entries(fields))
      await block.locator(`tr[data-param-name="${name}"] input`).fill(value);
    if (body) await block.locator('textarea.body-param__text').fill(JSON.stringify(body, null, 2));
    const shown = block.locator('.live-responses-table');
    // The answer before, if any, goes first: what is read then is the answer to this.
    if (await shown.isVisible()) await block.locator('.btn-clear').click();
    await shown.waitFor({ state: 'detached' });
    await block.locator('.execute').click();
    await shown.locator('.response-col_status').nth(1).waitFor();
    const status = Number.parseInt(await shown.locator('.response-col_status').nth(1).innerText());
    const text = await shown.locator('.response-col_description').nth(1).innerText();
    const code = shown.locator('.response-col_description .highlight-code .microlight').first();
    const json = (await code.count()) > 0 ? await code.innerText() : '';
    return { status, text, body: json === '' ? undefined : JSON.parse(json) };
  }
}

/** Chromium and what it needs of libraries and fonts, unpacked once per version: it runs where nothing is installed. */
async function browserFiles(): Promise<{ executablePath: string; env: Record<string, string> }> {
  const given = process.env['CHROMIUM_PATH'];
  if (given !== undefined) return { executablePath: given, env: {} };
  const root = repositoryRoot();
  const packageFile = join(root, 'node_modules/@sparticuz/chromium/package.json');
  const { version } = JSON.parse(await readFile(packageFile, 'utf8')) as { version: string };
  const directory = join(root, '.posthorn', `chromium-${version}`);
  if (!existsSync(directory)) await unpackInto(directory);
  return {
    executablePath: join(directory, 'chromium'),
    env: {
      HOME: directory,
      XDG_CACHE_HOME: directory,
      LD_LIBRARY_PATH: join(directory, 'al2023/lib'),
      FONTCONFIG_FILE: join(directory, 'fonts.conf'),
    },
  };
}

// The package's own names /tmp/fonts and places of AWS.
const FONTS = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
`;

/** Beside its place, then renamed: a test that is killed half way leaves nothing that looks whole. */
async function unpackInto(directory: string): Promise<void> {
  await mkdir(resolve(directory, '..'), { recursive: true });
  const beside = await mkdtemp(`${directory}.part-`);
  try {
    // In a process of its own: the package unpacks to TMPDIR, and its libraries only if this looks like a lambda.
    await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '-e', "await (await import('@sparticuz/chromium')).default.executablePath()"],
      {
        cwd: repositoryRoot(),
        env: { PATH: process.env['PATH'], TMPDIR: beside, AWS_LAMBDA_JS_RUNTIME: 'nodejs24.x' },
      },
    );
    await writeFile(join(beside, 'fonts.conf'), FONTS);
    // Root may have unpacked what a user runs.
    for (const each of [beside, join(beside, 'chromium')]) await chmod(each, 0o755);
    await rename(beside, directory);
  } catch (error) {
    await rm(beside, { recursive: true, force: true });
    // Another test was quicker.
    if (!existsSync(directory)) throw error;
  }
}

/** Both from compiled code and from a test that vitest runs from its source. */
function repositoryRoot(): string {
  return resolve(import.meta.dirname, import.meta.filename.endsWith('.js') ? '../../..' : '../..');
}
