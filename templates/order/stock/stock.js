// {"do": "reserve" | "release", "order": …, "product": …}. There is no cup left.
exports.handler = async (event) => {
  const asked = event.json ?? {}
  console.log(`${asked.do} ${asked.product} for ${asked.order}`)
  if (asked.do === 'reserve' && asked.product === 'cup') return { statusCode: 409, body: 'out of stock' }
  return { done: asked.do }
}
