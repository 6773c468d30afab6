import type { AccessTokenDto, ApiKeyDto } from '@app/dto';
import { toPublicId } from '@app/domain';
import type { ListedKey, ListedToken } from '@app/persistence';

export function apiKeyView(key: ListedKey): ApiKeyDto {
  return {
    id: toPublicId('key', key.id),
    name: key.name,
    scopes: key.scopes,
    subscriber: key.subscriberId && toPublicId('sub', key.subscriberId),
    allowedIps: key.networks,
    createdAt: key.createdAt,
    expiresAt: key.expiresAt,
    rotatedAt: key.rotatedAt,
    previousEndsAt: key.previousEndsAt,
    revokedAt: key.revokedAt,
    lastUsedAt: key.lastUsedAt,
    lastUsedIp: key.lastUsedIp,
  };
}

export function accessTokenView(token: ListedToken): AccessTokenDto {
  return {
    id: toPublicId('tok', token.id),
    subscriber: toPublicId('sub', token.subscriberId),
    mode: token.mode,
    description: token.description,
    createdAt: token.createdAt,
    expiresAt: token.expiresAt,
    revokedAt: token.revokedAt,
    lastUsedAt: token.lastUsedAt,
    lastUsedIp: token.lastUsedIp,
  };
}
