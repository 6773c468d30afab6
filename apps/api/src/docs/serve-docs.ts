import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { SwaggerModule } from '@nestjs/swagger';
import { createDocument } from './document.js';

/** Swagger UI at /docs and the document at /openapi.json. Everything comes from this process: it works offline. */
export function serveDocs(app: NestFastifyApplication): void {
  SwaggerModule.setup('docs', app, () => createDocument(app), {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
    customSiteTitle: 'Posthorn',
    customCss: CSS,
    swaggerOptions: {
      persistAuthorization: true,
      tryItOutEnabled: true,
      displayRequestDuration: true,
      filter: true,
      // A link to an operation can be sent to a colleague.
      deepLinking: true,
      // What a schema says is shown where it is used; the whole list would be most of the page.
      defaultModelsExpandDepth: 0,
      defaultModelExpandDepth: 3,
      docExpansion: 'list',
      // The order in which the controllers and their methods are written.
      operationsSorter: undefined,
      // The validator badge would ask a server on the internet.
      validatorUrl: null,
    },
  });
}

/**
 * Swagger's banner goes; texts stay readable on a wide screen; an answer is seen whole before the examples of errors,
 * which are bounded, because a dozen of them would bury the next operation.
 */
const CSS = `
.swagger-ui .topbar { display: none }
.swagger-ui .info { margin: 30px 0 }
.swagger-ui .info .markdown p, .swagger-ui .info .markdown li { max-width: 68em }
.swagger-ui .info .markdown td, .swagger-ui .info .markdown th { padding: 2px 16px 2px 0; min-width: 0 }
.swagger-ui .info summary { cursor: pointer; margin: 6px 0; font-size: 14px }
.swagger-ui .markdown pre > code, .swagger-ui .renderedMarkdown pre > code { color: #3b4151 !important; font: 400 13px monospace !important }
.swagger-ui .live-responses-table .highlight-code > .microlight { max-height: 75vh }
.swagger-ui .response[data-code^="4"] .model-example .microlight, .swagger-ui .response[data-code^="5"] .model-example .microlight { max-height: 16em }
`;
