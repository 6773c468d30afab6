import '../../version-guard.js';
import '../../v8-flags.js';
import { ConfigError, loadConfig } from '@app/config';
import { StartError } from '@app/persistence';
import { createApi } from './create-api.js';

try {
  const api = await createApi(loadConfig());

  const stop = (reason: string): void => {
    api.close(reason).then(
      () => process.exit(0),
      (error: unknown) => {
        api.logger.error({ err: error }, 'process.stopped');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
  if (process.send) {
    // Started by `posthorn up`: we go when it does, also when it was killed.
    process.on('disconnect', () => stop('the parent is gone'));
    process.send({ type: 'ready', port: api.port });
  }
} catch (error) {
  const expected = error instanceof ConfigError || error instanceof StartError;
  process.stderr.write(
    `posthorn api: ${expected ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
  );
  process.exit(1);
}
