/** A dozen facts of a small shop. The one that `failsTwice` is answered 503 twice before it is taken. */
export const DEMO_EVENTS: readonly { type: string; data: object; failsTwice?: true }[] = [
  { type: 'customer.created', data: { customer: 'cus_1042', name: 'Ada Lovelace', country: 'GB' } },
  {
    type: 'cart.abandoned',
    data: { cart: 'crt_77', items: 3, total: { amount: '148.20', currency: 'EUR' } },
  },
  {
    type: 'order.placed',
    data: { order: 'ord_5001', lines: [{ sku: 'LAMP-01', quantity: 2 }], note: 'Grüße 👋' },
  },
  {
    type: 'payment.authorized',
    data: { payment: 'pay_9001', order: 'ord_5001', method: 'card', last4: '4242' },
  },
  { type: 'invoice.created', data: { invoice: 'in_3001', order: 'ord_5001', due: '2026-12-24' } },
  { type: 'invoice.paid', data: { invoice: 'in_3001', amount: 12820, currency: 'EUR' }, failsTwice: true },
  { type: 'order.shipped', data: { order: 'ord_5001', carrier: 'DHL', tracking: ['00340434161094042557'] } },
  { type: 'stock.low', data: { sku: 'LAMP-01', left: 4, threshold: 5 } },
  { type: 'subscription.renewed', data: { subscription: 'sub-2020', plan: 'team', seats: 12 } },
  { type: 'refund.issued', data: { refund: 're_12', payment: 'pay_9001', amount: 2000, reason: 'damaged' } },
  {
    type: 'document.signed',
    data: { document: 'doc_88', signers: ['ada@example.com', 'grace@example.com'] },
  },
  { type: 'review.posted', data: { product: 'LAMP-01', stars: 5, text: 'It shines.' } },
];
