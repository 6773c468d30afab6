import type { OpenAPIObject } from '@nestjs/swagger';

export interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  example?: unknown;
  schema?: { example?: unknown; [keyword: string]: unknown };
}

type Content = Record<string, { schema?: { $ref?: string }; examples?: object }>;

export interface Operation extends Record<string, unknown> {
  operationId: string;
  summary?: string;
  description?: string;
  parameters?: Parameter[];
  requestBody?: { required?: boolean; content: Content };
  responses: Record<string, { description: string; headers?: object; content?: Content }>;
}

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

/** Every operation under `paths`, in their order. */
export function operationsOf(
  document: OpenAPIObject,
): { path: string; method: string; operation: Operation }[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item as Record<string, Operation>)
      .filter(([method]) => METHODS.includes(method))
      .map(([method, operation]) => ({ path, method, operation })),
  );
}
