import { ApiKeyEntity } from './api-key.entity.js';
import { EndpointSecretEntity } from './endpoint-secret.entity.js';
import { EndpointEntity } from './endpoint.entity.js';
import { EventTypeVersionEntity } from './event-type-version.entity.js';
import { EventTypeEntity } from './event-type.entity.js';
import { SubscriberEntity } from './subscriber.entity.js';

/** The ordinary tables. Events, deliveries and attempts have no entities: they are read and written in batches. */
export const ENTITIES = [
  SubscriberEntity,
  EndpointEntity,
  EndpointSecretEntity,
  EventTypeEntity,
  EventTypeVersionEntity,
  ApiKeyEntity,
];
export {
  ApiKeyEntity,
  EndpointEntity,
  EndpointSecretEntity,
  EventTypeEntity,
  EventTypeVersionEntity,
  SubscriberEntity,
};
