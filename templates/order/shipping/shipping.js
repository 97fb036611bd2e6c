// {"do": "ship", "order": …, "product": …}. A piano does not fit into the van.
exports.handler = async (event) => {
  const asked = event.json ?? {}
  console.log(`${asked.do} ${asked.product} for ${asked.order}`)
  if (asked.product === 'piano') return { statusCode: 409, body: 'too large' }
  return { shipped: asked.order }
}
