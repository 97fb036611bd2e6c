// A backend for frontend: asks three functions at once, keeps what the page needs, and does without what does not come.
const PATIENCE_MS = 3000 // for what the page can do without

exports.handler = async (event) => {
  const id = event.query.product ?? 'tea'
  const slow = event.query.slow === '1' ? '&slow=1' : '' // to try what happens then
  const [product, stock, reviews] = await Promise.all([
    ask(`http://products.fnctl.internal/?product=${encodeURIComponent(id)}`, Infinity),
    ask(`http://stock.fnctl.internal/?product=${encodeURIComponent(id)}`),
    ask(`http://reviews.fnctl.internal/?product=${encodeURIComponent(id)}${slow}`)
  ])
  if (product === null) return html(404, '<p>There is no such product.</p>')
  return html(200, [
    `<h1>${text(product.name)}</h1>`,
    `<p>${(product.cents / 100).toFixed(2)} €</p>`,
    `<p>In stock: ${stock === null ? 'not known at the moment' : Number(stock.count)}</p>`,
    reviews === null
      ? '<p>Reviews are not available at the moment.</p>'
      : `<ul>${reviews.slice(0, 2).map((review) => `<li>${text(review.text)}</li>`).join('')}</ul>`
  ].join('\n'))
}

/** The answer as data; null where there is none in time. */
async function ask(url, patienceMs = PATIENCE_MS) {
  try {
    const signal = patienceMs === Infinity ? undefined : AbortSignal.timeout(patienceMs)
    const answer = await fetch(url, { signal })
    return answer.ok ? await answer.json() : null
  } catch (error) {
    console.log(`${url}: ${error.name}`)
    return null
  }
}

const html = (statusCode, body) => ({ statusCode, headers: { 'content-type': 'text/html; charset=utf-8' }, body })

const text = (value) => String(value).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`)
