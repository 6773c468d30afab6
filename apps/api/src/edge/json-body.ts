import { BODY_BYTES_MAX, JSON_DEPTH_MAX, JSON_KEYS_MAX, Problem } from '@app/contracts';
import { shapeOf } from './raw-json.js';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { RAW_BODY_LIMITS } from './route-table.js';

/**
 * Reads application/json bodies. The bytes stay on the request; the publishing routes get them as text, unparsed,
 * because parsing and writing again would change what was published.
 */
export function readJsonBodies(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer', bodyLimit: BODY_BYTES_MAX },
    (request: FastifyRequest, bytes: Buffer, done) => {
      request.rawBody = bytes;
      try {
        const text = decode(bytes);
        if (text === '') done(null, undefined);
        else
          done(null, Object.hasOwn(RAW_BODY_LIMITS, request.routeOptions.url ?? '') ? text : parseJson(text));
      } catch (error) {
        done(error as Error);
      }
    },
  );
}

// ignoreBOM keeps the mark in the text, where it can be refused; the default would drop it silently.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decode(bytes: Buffer): string {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new Problem('invalid_json', 'The body is not valid UTF-8.');
  }
  if (text.startsWith('\ufeff'))
    throw new Problem('invalid_json', 'The body starts with a byte order mark. Leave it out.');
  return text;
}

/** @throws Problem invalid_json for what is not JSON, is nested too deep, has too many members, or names __proto__. */
export function parseJson(text: string): unknown {
  // Looked at before it is parsed: whatever walks the value later may recurse.
  const { depth, keys } = shapeOf(text);
  if (depth > JSON_DEPTH_MAX)
    throw new Problem('invalid_json', `The body is nested deeper than ${JSON_DEPTH_MAX} levels.`, {
      limit: JSON_DEPTH_MAX,
    });
  if (keys > JSON_KEYS_MAX)
    throw new Problem('invalid_json', `All objects in the body together may have ${JSON_KEYS_MAX} members.`, {
      limit: JSON_KEYS_MAX,
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Problem('invalid_json', whereOf(error));
  }
  // JSON.parse makes a harmless own property of it; the next `target[key] = …` of anyone would not.
  if (MAY_NAME_PROTO.test(text) && hasProtoKey(value))
    throw new Problem('invalid_json', 'A field must not be called __proto__.');
  return value;
}

// Also in its spellings with escapes: any escape makes it worth a look.
const MAY_NAME_PROTO = /__proto__|\\u/;

function hasProtoKey(root: unknown): boolean {
  const open = [root];
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value !== 'object' || value === null) continue;
    if (Object.hasOwn(value, '__proto__')) return true;
    for (const each of Object.values(value)) open.push(each);
  }
  return false;
}

/** V8 quotes the text around the error, and that text may be a secret: only the place is told. */
function whereOf(error: unknown): string {
  const position = /position (\d+)/.exec((error as Error).message)?.[1];
  return position
    ? `The body is not valid JSON at character ${position}.`
    : 'The body is not valid JSON: it ends too early or has a stray character.';
}
