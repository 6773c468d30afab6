import { CliError, messageOf } from '../cli-error.js';

const REQUEST_MS = 15_000;

/** A publisher's few calls, through the front door. */
export class DemoApi {
  constructor(
    private readonly url: string,
    private readonly key: string,
  ) {}

  get<T>(path: string): Promise<T> {
    return this.send('GET', path);
  }

  post<T>(path: string, body: object): Promise<T> {
    return this.send('POST', path, body);
  }

  /** As post; what is there already may stay. */
  async postOnce(path: string, body: object): Promise<void> {
    await this.post(path, body).catch((error: unknown) => {
      if (!(error instanceof RefusedError && error.code === 'already_exists')) throw error;
    });
  }

  private async send<T>(method: string, path: string, body?: object): Promise<T> {
    const answer = await fetch(this.url + path, {
      method,
      headers: {
        authorization: `Bearer ${this.key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_MS),
    }).catch((error: unknown) => {
      throw new CliError(`The demo's ${method} ${path} failed: ${messageOf(error)}`);
    });
    const text = await answer.text();
    if (!answer.ok) throw new RefusedError(method, path, answer.status, text);
    return JSON.parse(text) as T;
  }
}

class RefusedError extends CliError {
  readonly code: string | undefined;

  constructor(method: string, path: string, status: number, text: string) {
    super(`The demo's ${method} ${path} was answered ${status}: ${text}`);
    this.code = /"code":"(\w+)"/.exec(text)?.[1];
  }
}
