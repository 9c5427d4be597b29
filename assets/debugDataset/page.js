// Shows one batch at a time. The data are in the page, or come from the server that sent it.
'use strict'
const { summary, batches } = JSON.parse(document.getElementById('data').textContent)
const byId = (id) => document.getElementById(id)
const filters = { bucket: byId('bucket'), subset: byId('subset') }
let shown = { epoch: 1, index: -1 }

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}

/** The first batch of the epoch at or after `from` that fits the filters; throws when there is none. */
async function findBatch(epoch, from) {
  const bucket = filters.bucket.value
  const subset = filters.subset.value
  if (batches === null) {
    const response = await fetch(`batch?${new URLSearchParams({ epoch, from, bucket, subset })}`)
    // No further batch is an answer, not a fault; the body says which.
    const answer = await response.json()
    if (answer.error) throw new Error(answer.error)
    return answer
  }
  const fits = (batch) =>
    batch.epoch === epoch && batch.index >= from &&
    (bucket === '' || `${batch.width}x${batch.height}` === bucket) &&
    (subset === '' || batch.items.some((item) => item.subset === subset))
  const found = batches.find(fits)
  if (found === undefined) throw new Error('this file holds no further batch that fits')
  return found
}

async function show(epoch, from) {
  const message = byId('message')
  try {
    const batch = await findBatch(epoch, from)
    message.hidden = true
    shown = batch
    byId('place').textContent =
      `Epoch ${batch.epoch}, batch ${batch.index + 1} of ${batch.batchesPerEpoch}, step ${batch.step}: ` +
      `dataset ${batch.dataset}, bucket ${batch.width}x${batch.height}`
    byId('items').replaceChildren(...batch.items.map((item) => card(batch, item)))
    document.body.dataset.batch = `${batch.epoch}/${batch.index}`
  } catch (error) {
    message.textContent = error.message
    message.hidden = false
  }
}

function card(batch, item) {
  const pictures = batch.pictures[item.slot]
  const box = element('div', { className: 'box' })
  for (const side of ['left', 'top', 'width', 'height']) box.style[side] = `${item.cropBox[side] * 100}%`
  const facts = [
    `bucket ${batch.width}x${batch.height}`,
    ...(item.latents === null ? [`picture ${item.source.width}x${item.source.height}`] : []),
    item.flip ? 'mirrored' : 'not mirrored', `repeats ${item.repeats}`, `loss weight ${item.lossWeight}`,
    ...(item.color === null ? [] : [`${item.color} changed`]),
    ...(item.isReg ? ['regularization'] : []),
  ]
  const over = item.droppedTokens === 0 ? '' : `, ${item.droppedTokens} more do not fit`
  return element('article', {},
    pictures === null
      ? element('p', { className: 'count', textContent: `trained from the latents in ${item.latents}` })
      : element('div', { className: 'pictures' },
      element('figure', {},
        element('img', { src: pictures.trained, className: 'trained', width: batch.width, height: batch.height, alt: `what is trained on: ${item.caption}` }),
        element('figcaption', { textContent: 'as trained' })),
      element('figure', {},
        element('div', { className: 'source' },
          element('img', { src: pictures.source, alt: 'the whole picture', width: item.source.width, height: item.source.height }), box),
        element('figcaption', { textContent: 'the file, and what is cut out' }))),
    element('p', { className: 'path', textContent: item.path }),
    element('ul', { className: 'facts' }, ...facts.map((textContent) => element('li', { textContent }))),
    element('p', { className: item.caption === '' ? 'caption empty' : 'caption', textContent: item.caption || 'the empty caption' }),
    element('div', { className: 'tokens' }, ...item.tokens.map((textContent) => element('span', { textContent }))),
    element('p', { className: 'count', textContent: `${item.tokens.length} ${item.tokens.length === 1 ? 'token' : 'tokens'}${over}` }),
    ...(item.remarks.length === 0 ? [] : [element('ul', { className: 'remarks' }, ...item.remarks.map((textContent) => element('li', { textContent })))]))
}

const nextBatch = () => show(shown.epoch, shown.index + 1)
const nextEpoch = () => show(shown.epoch + 1, 0)
const restart = () => show(shown.epoch, 0)

byId('totals').textContent =
  `${summary.trainImageCount} training pictures and ${summary.regImageCount} regularization pictures, repeats included; ` +
  `${summary.batchesPerEpoch} batches per epoch${batches === null ? '' : `, ${batches.length} of them in this file`}`
if (summary.warnings.length > 0) {
  const warnings = byId('warnings')
  warnings.hidden = false
  warnings.querySelector('summary').textContent = summary.warnings.length === 1 ? '1 remark' : `${summary.warnings.length} remarks`
  warnings.querySelector('ul').append(...summary.warnings.map((textContent) => element('li', { textContent })))
}
for (const { name, pictures } of summary.buckets) filters.bucket.append(new Option(`${name} (${pictures})`, name))
for (const { name, pictures } of summary.subsets) filters.subset.append(new Option(`${name} (${pictures})`, name))
for (const filter of Object.values(filters)) filter.addEventListener('change', restart)
byId('next-batch').addEventListener('click', nextBatch)
byId('next-epoch').addEventListener('click', nextEpoch)
if (batches !== null) byId('next-epoch').disabled = true
addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLSelectElement) return
  if (event.key.toLowerCase() === 's') nextBatch()
  if (event.key.toLowerCase() === 'e' && batches === null) nextEpoch()
})
restart()
