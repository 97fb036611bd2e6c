// {"do": "charge" | "refund", "order": …, "card": …}. A card that ends in 0000 has no money.
exports.handler = async (event) => {
  const asked = event.json ?? {}
  console.log(`${asked.do} for ${asked.order}`)
  if (asked.do === 'charge' && String(asked.card).endsWith('0000')) return { statusCode: 402, body: 'declined' }
  return { receipt: `r-${asked.order}` }
}
