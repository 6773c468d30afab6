import { ProblemDto } from '@app/contracts';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { VERSION } from '../../../version.js';
import { declareProblems } from './declare-problems.js';
import { describeFields } from './describe-fields.js';
import { describeOperations } from './describe-operations.js';
import { toOpenApi31 } from './openapi-31.js';
import { TAGS } from './tags.js';
import { describeWebhooks } from './webhooks.js';

const DESCRIPTION = `Posthorn delivers your events to your customers' HTTP endpoints: signed, at least once, with every attempt on record.

**First steps.** Press *Authorize* and paste an API key. Register a subscriber, then an endpoint for it, put an event type into
the catalogue, publish an event, and look at its deliveries. What a receiver gets is under *Webhooks* at the end.

**Errors** are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problems; match on their \`code\`.
**Lists** give \`nextCursor\` and a \`Link\` header; ask again with \`?cursor=\`.
**POST** takes an \`Idempotency-Key\`: the same key and body within 24 hours gets the first answer again.
**A subscriber** is named by our id (\`sub_…\`) or by your own \`externalId\`, wherever one is asked for.`;

/** The document as it is served and as the golden file keeps it. */
export function createDocument(app: NestFastifyApplication): OpenAPIObject {
  const builder = new DocumentBuilder()
    .setTitle('Posthorn')
    .setDescription(DESCRIPTION)
    .setVersion(VERSION)
    .setOpenAPIVersion('3.1.0')
    .addServer('/', 'This server')
    .addBearerAuth(
      { type: 'http', scheme: 'bearer', bearerFormat: 'ph_…', description: 'An API key.' },
      'apiKey',
    );
  for (const { name, description } of TAGS) builder.addTag(name, description);

  const document = SwaggerModule.createDocument(app, builder.build(), {
    operationIdFactory: (controller, method) => operationId(controller, method),
    extraModels: [ProblemDto],
  });
  describeWebhooks(document);
  describeOperations(document);
  describeFields(document);
  declareProblems(document);
  return toOpenApi31(document);
}

/** `SubscribersController.create` becomes `subscribers.create`. */
function operationId(controller: string, method: string): string {
  const name = controller.replace(/Controller$/, '');
  return `${name.charAt(0).toLowerCase()}${name.slice(1)}.${method}`;
}
