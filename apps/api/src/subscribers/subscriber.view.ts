import type { SubscriberDto } from '@app/dto';
import { toPublicId } from '@app/domain';
import type { SubscriberEntity } from '@app/persistence';

export function subscriberView(subscriber: SubscriberEntity): SubscriberDto {
  return {
    id: toPublicId('sub', subscriber.id),
    name: subscriber.name,
    externalId: subscriber.externalId,
    metadata: subscriber.metadata,
    encryptPayloads: subscriber.encryptPayloads,
    createdAt: subscriber.createdAt,
    updatedAt: subscriber.updatedAt,
  };
}
