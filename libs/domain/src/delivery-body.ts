/** An event as its receivers get it. */
export interface BodyParts {
  /** `evt_…` */
  readonly id: string;
  readonly type: string;
  readonly version: string;
  readonly occurredAt: Date;
  /** The publisher's JSON, exactly. */
  readonly data: string;
}

/** The body of every attempt of every delivery of an event: an envelope around the publisher's bytes. */
export function deliveryBody({ id, type, version, occurredAt, data }: BodyParts): string {
  return `{"id":"${id}","type":${JSON.stringify(type)},"version":${JSON.stringify(version)},"timestamp":"${occurredAt.toISOString()}","data":${data}}`;
}
