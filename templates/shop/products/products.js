const PRODUCTS = {
  tea: { name: 'Green tea', cents: 490, supplier: 'Sencha Ltd' },
  cup: { name: 'Cup', cents: 1200, supplier: 'Clay & Sons' }
}

exports.handler = async (event) => {
  const id = event.query.product
  const product = Object.hasOwn(PRODUCTS, id) ? PRODUCTS[id] : null
  return product ? product : { statusCode: 404, body: 'no such product' }
}
