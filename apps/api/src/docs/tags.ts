/** What a customer does, in the order of a first day. */
export const TAGS = [
  { name: 'Subscribers', description: 'Your customers: the accounts that receive events.' },
  {
    name: 'Endpoints',
    description: 'The URLs of a subscriber, with the events each gets, their secrets and their states.',
  },
  {
    name: 'Event types',
    description: 'The catalogue of what can happen, with versions and example payloads.',
  },
  {
    name: 'Publish',
    description: 'Send events. Answered once they are safe; delivery follows by itself.',
  },
  { name: 'Events', description: 'What was published, and where each event went.' },
  {
    name: 'Deliveries',
    description: 'What was sent where, with every attempt: why did X not arrive? Resend it.',
  },
  { name: 'Replays', description: 'Resend a whole span of deliveries at once.' },
  { name: 'API keys', description: 'Who may call this API, and what each key may do. For administrators.' },
  { name: 'Audit log', description: 'Who did what, when and from where. For administrators.' },
  { name: 'Operations', description: 'For those who run Posthorn: health and metrics.' },
];
