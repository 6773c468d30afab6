import { BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX, EVENT_BODY_BYTES_MAX } from '@app/contracts';
import type { RouteOptions } from 'fastify';

/** The routes that take their body as text, because the events in it are kept byte for byte. */
export const RAW_BODY_LIMITS: Record<string, number> = {
  '/v1/events': EVENT_BODY_BYTES_MAX,
  '/v1/events/batch': BATCH_BODY_BYTES_MAX,
};

/** Every route as Fastify registers it: sets the bound of its body, and knows which methods a path has. */
export class RouteTable {
  private readonly routes: { methods: string[]; segments: string[] }[] = [];

  /** For Fastify's onRoute hook. */
  add(route: RouteOptions): void {
    route.bodyLimit = RAW_BODY_LIMITS[route.url] ?? BODY_BYTES_MAX;
    this.routes.push({ methods: [route.method].flat(), segments: route.url.split('/') });
  }

  /** Every route, as `GET /v1/subscribers/:subscriber`. */
  all(): string[] {
    return this.routes.flatMap(({ methods, segments }) =>
      methods.map((method) => `${method} ${segments.join('/')}`),
    );
  }

  /** The methods that some route has for this path: empty when the path itself is unknown. */
  allowed(url: string): string[] {
    const segments = url.split('?', 1)[0].split('/');
    const methods = this.routes
      .filter((route) => route.segments.length === segments.length)
      .filter((route) =>
        route.segments.every((each, at) => each === segments[at] || isParameter(each, segments[at])),
      )
      .flatMap((route) => route.methods);
    return [...new Set(methods)].sort();
  }
}

function isParameter(template: string, segment: string): boolean {
  return template.startsWith(':') && segment !== '';
}
