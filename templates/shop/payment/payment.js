// POST /charge {"card": …, "order": …}. A card that ends in 0000 has no money.
exports.handler = async (event) => {
  const { card = '', order } = event.json ?? {}
  if (String(card).endsWith('0000')) return { statusCode: 402, body: 'declined' }
  console.log(`charged for ${order}`)
  return { receipt: `r-${order}` }
}
