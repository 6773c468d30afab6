import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { SwaggerModule } from '@nestjs/swagger';
import { createDocument } from './document.js';

/** Swagger UI at /docs and the document at /openapi.json. Everything comes from this process: it works offline. */
export function serveDocs(app: NestFastifyApplication): void {
  SwaggerModule.setup('docs', app, () => createDocument(app), {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
    customSiteTitle: 'Posthorn',
    swaggerOptions: {
      persistAuthorization: true,
      tryItOutEnabled: true,
      displayRequestDuration: true,
      filter: true,
      docExpansion: 'list',
      // The order in which the controllers and their methods are written.
      operationsSorter: undefined,
      // The validator badge would ask a server on the internet.
      validatorUrl: null,
    },
  });
}
