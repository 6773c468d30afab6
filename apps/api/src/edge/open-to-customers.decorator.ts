import { applyDecorators, SetMetadata } from '@nestjs/common';
import { ApiExtension } from '@nestjs/swagger';

export const OPEN_TO_CUSTOMERS = 'posthorn:open-to-customers';
/** Read by docs/declare-problems.ts, and stays in the document: clients and tests see it. */
export const CUSTOMERS_EXTENSION = 'x-open-to-customers';

/**
 * A customer's access token may call this, when its mode has the scope. Without it only API keys may: a route that forgot
 * to say who may call it is closed to customers. Only for what shows and changes nothing but the caller's own subscriber.
 */
export const OpenToCustomers = () =>
  applyDecorators(SetMetadata(OPEN_TO_CUSTOMERS, true), ApiExtension(CUSTOMERS_EXTENSION, true));
