import { REQUEST_HEADERS_MAX, REQUEST_URL_LENGTH_MAX, Problem } from '@app/contracts';
import type { FastifyRequest } from 'fastify';

/** What is refused by its first line and headers, before anybody is asked about and anything is read. @throws Problem */
export function checkBounds({ raw, url }: FastifyRequest): void {
  if (url.length > REQUEST_URL_LENGTH_MAX)
    throw new Problem('url_too_long', `A URL here has at most ${REQUEST_URL_LENGTH_MAX} characters.`, {
      limit: REQUEST_URL_LENGTH_MAX,
    });
  if (raw.rawHeaders.length / 2 > REQUEST_HEADERS_MAX)
    throw new Problem('headers_too_large', `A request has at most ${REQUEST_HEADERS_MAX} headers.`, {
      limit: REQUEST_HEADERS_MAX,
    });
}

/** Never inflated: a kilobyte may become a gigabyte. @throws Problem */
export function refuseEncodedBody({ headers }: FastifyRequest): void {
  const encoding = headers['content-encoding']?.trim().toLowerCase();
  if (encoding !== undefined && encoding !== '' && encoding !== 'identity')
    throw new Problem(
      'unsupported_media_type',
      'Send the body as it is, without a content-encoding: compressed ones are not read.',
    );
}
