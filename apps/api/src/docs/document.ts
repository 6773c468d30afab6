import { ProblemDto } from '@app/dto';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { VERSION } from '../../../version.js';
import { declareProblems } from './declare-problems.js';
import { description } from './description.js';
import { describeFields } from './describe-fields.js';
import { describeOperations } from './describe-operations.js';
import { toOpenApi31 } from './openapi-31.js';
import { TAGS } from './tags.js';
import { describeWebhooks } from './webhooks.js';

/** The document as it is served and as the golden file keeps it. */
export function createDocument(app: NestFastifyApplication): OpenAPIObject {
  const builder = new DocumentBuilder()
    .setTitle('Posthorn: webhooks')
    .setDescription(description())
    .setVersion(VERSION)
    .setOpenAPIVersion('3.1.0')
    .addBearerAuth(
      {
        type: 'http',
        scheme: 'bearer',
        bearerFormat: 'ph_…',
        description:
          'Your API key, from `ph_` on, or the access token that you were given, from `pht_` on. This browser keeps it until you log out here.',
      },
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

/** `SubscribersController.create` becomes `subscribers.create`, its row in operation-table.ts. */
function operationId(controller: string, method: string): string {
  const name = controller.replace(/Controller$/, '');
  return `${name.charAt(0).toLowerCase()}${name.slice(1)}.${method}`;
}
