import {
  EVENT_TYPE_LENGTH_MAX,
  EXTERNAL_ID_LENGTH_MAX,
  ORDERING_KEY_LENGTH_MAX,
  VERSION_LENGTH_MAX,
} from '@app/contracts';
import type { PublishEventDto } from '@app/dto';

const PRINTABLE = /^[\x20-\x7e]+$/;
const TYPE = /^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*$/;
const INSTANT = /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/;

/**
 * Whether an event has only fields of an event, and in them only what every rule of PublishEventDto surely lets pass. False
 * says nothing: texts that are not ASCII, say, are then looked at by the rules themselves (parse-events.ts), and only
 * those say what is wrong. A property of the test holds the two together.
 */
export function isPlainlyRight(
  value: Record<string, unknown>,
): value is Record<string, unknown> & PublishEventDto {
  let hasData = false;
  for (const name in value) {
    const field = value[name];
    switch (name) {
      case 'subscriber':
        if (!isPlainText(field, EXTERNAL_ID_LENGTH_MAX)) return false;
        break;
      case 'type':
        if (typeof field !== 'string' || field.length > EVENT_TYPE_LENGTH_MAX || !TYPE.test(field))
          return false;
        break;
      case 'data':
        hasData = true;
        break;
      case 'version':
        if (!isPlainText(field, VERSION_LENGTH_MAX)) return false;
        break;
      case 'occurredAt':
        if (typeof field !== 'string' || !isInstant(field)) return false;
        break;
      case 'id':
        if (typeof field !== 'string') return false;
        break;
      case 'priority':
        if (field !== 'normal' && field !== 'critical') return false;
        break;
      case 'orderingKey':
        if (!isPlainText(field, ORDERING_KEY_LENGTH_MAX)) return false;
        break;
      default:
        return false;
    }
  }
  return hasData && value.subscriber !== undefined && value.type !== undefined;
}

function isPlainText(field: unknown, lengthMax: number): boolean {
  return typeof field === 'string' && field.length <= lengthMax && PRINTABLE.test(field);
}

/** A day that is in the calendar: the 30th of February becomes another one when it is read. */
function isInstant(text: string): boolean {
  const ms = INSTANT.test(text) ? Date.parse(text) : NaN;
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text.slice(0, 19));
}
