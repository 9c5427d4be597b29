// Shows a training: its state as the server knows it, then what changes, as the server sends it.
'use strict'
/* global Chart, smoothed, colour, latestOf, shortNumber, exponential, gibibytes */
const byId = (id) => document.getElementById(id)
const token = document.querySelector('meta[name="dashboard-token"]').content
const title = document.title
/** Rows that come one by one are added up to this number; then the server is asked for its shorter table. */
const mostRows = 4000
const mostEntries = 500
const retryMs = 3000

const plots = {
  loss: new Chart('chart-loss', shortNumber),
  rates: new Chart('chart-rates', exponential),
  norm: new Chart('chart-norm', shortNumber),
  speed: new Chart('chart-speed', shortNumber),
  memory: new Chart('chart-memory', gibibytes),
}
let columns = { step: [] }
let previews = []
let progress = null
let receivedAt = 0
let source = null

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}

// ---- what is received

async function load() {
  source?.close()
  try {
    const response = await fetch('state')
    if (!response.ok) throw new Error(`the server answered ${response.status}`)
    const state = await response.json()
    columns = state.history.columns
    previews = state.previews
    for (const name of ['preview', 'save', 'stop']) byId(`control-${name}`).hidden = !state.controls.includes(name)
    byId('log').replaceChildren(...state.log.map(logLine).reverse())
    showProgress(state.progress)
    showPreviews()
    drawSoon()
    if (!hasEnded()) listen(state.lastId)
  } catch {
    lost()
  }
}

function listen(lastId) {
  source = new EventSource(`events?after=${encodeURIComponent(lastId)}`)
  source.onopen = () => showMessage('')
  source.onmessage = ({ data }) => take(JSON.parse(data))
  source.addEventListener('reset', () => location.reload())
  source.onerror = () => {
    showMessage('The connection is lost; trying again.')
    if (source.readyState === EventSource.CLOSED) lost()
  }
}

function lost() {
  showMessage('The connection is lost; trying again.')
  setTimeout(load, retryMs)
}

function take(update) {
  if (update.row) addRow(update.row)
  if (update.log) {
    const log = byId('log')
    log.prepend(logLine(update.log))
    while (log.childElementCount > mostEntries) log.lastElementChild.remove()
  }
  if (update.preview) {
    previews.push(update.preview)
    showPreviews()
  }
  showProgress(update.progress)
  if (hasEnded()) source.close()
  if (columns.step.length > mostRows) load()
}

function addRow(row) {
  const { step } = columns
  const isNew = step.at(-1) !== row.step
  for (const name of Object.keys(row)) columns[name] ??= step.map(() => null)
  for (const [name, values] of Object.entries(columns)) {
    if (isNew) values.push(row[name] ?? null)
    else if (row[name] !== undefined) values[values.length - 1] = row[name]
  }
  drawSoon()
}

// ---- progress and controls

const statusTexts = {
  waiting: 'waiting for the training to begin', preparing: 'preparing', training: 'training',
  finished: 'finished', interrupted: 'stopped', failed: 'ended with an error',
}
const hasEnded = () => ['finished', 'interrupted', 'failed'].includes(progress?.status)

function showProgress(now) {
  progress = now
  receivedAt = performance.now()
  const { status, step, totalSteps, epoch, epochCount, stepsPerSecond, skippedSteps, lossScaler, cache, requested } = now
  const isStopping = requested.includes('stop') && !hasEnded()
  byId('status').textContent =
    isStopping ? 'stopping after this step'
    : cache === null || status === 'training' ? statusTexts[status]
    : `encoding ${cache.what}: ${cache.done} of ${cache.total}`
  const bar = byId('progress')
  bar.value = cache === null ? (totalSteps === 0 ? 0 : step / totalSteps) : cache.done / cache.total
  byId('step').textContent = totalSteps === 0 ? '–' : `${step} of ${totalSteps}`
  byId('epoch').textContent = epochCount === 0 ? '–' : `${epoch} of ${epochCount}`
  byId('rate').textContent =
    stepsPerSecond === null ? '–'
    : stepsPerSecond >= 1 ? `${stepsPerSecond.toFixed(2)} steps/s`
    : `${(1 / stepsPerSecond).toFixed(2)} s/step`
  byId('skipped').textContent = skippedSteps
  byId('skipped').parentElement.hidden = skippedSteps === 0
  byId('loss-scale').textContent = lossScaler === null ? '' : scaleText(lossScaler)
  byId('loss-scale').parentElement.hidden = lossScaler === null
  for (const name of ['preview', 'save', 'stop']) byId(`control-${name}`).disabled = requested.includes(name) || hasEnded()
  document.title = step === 0 ? title : `${Math.floor((100 * step) / totalSteps)} % ${title}`
  document.body.dataset.status = status
  document.body.dataset.step = step
  showTimeLeft()
}

const scaleText = ({ scale, overflows }) =>
  `${scale}${overflows === 0 ? '' : `, ${overflows} ${overflows === 1 ? 'overflow' : 'overflows'}`}`

function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds))
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  return (parts[0] === 0 ? parts.slice(1) : parts).map((part, at) => (at === 0 ? `${part}` : `${part}`.padStart(2, '0'))).join(':')
}

function showTimeLeft() {
  if (progress === null) return
  const { secondsLeft } = progress
  if (secondsLeft === null || hasEnded()) {
    byId('left').textContent = '–'
    return
  }
  const left = Math.max(0, secondsLeft - (performance.now() - receivedAt) / 1000)
  const end = new Date(Date.now() + 1000 * left).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
  byId('left').textContent = `${clock(left)}, until ${end}`
}

function showMessage(text) {
  byId('message').textContent = text
  byId('message').hidden = text === ''
}

async function ask(name) {
  byId(`control-${name}`).disabled = true
  try {
    const response = await fetch(`control/${name}`, { method: 'POST', headers: { 'x-dashboard-token': token } })
    if (!response.ok) throw new Error((await response.json()).error)
  } catch (error) {
    byId(`control-${name}`).disabled = false
    showMessage(`That could not be asked for: ${error.message}`)
  }
}

// ---- previews

let follow = true
const occasions = () => [...new Set(previews.map(({ step }) => step))].sort((a, b) => a - b)

function showPreviews() {
  byId('previews').hidden = previews.length === 0
  if (previews.length === 0) return
  const steps = occasions()
  const slider = byId('preview-at')
  slider.max = steps.length - 1
  if (follow) slider.value = steps.length - 1
  const at = steps[slider.value]
  byId('preview-step').textContent = at
  slider.setAttribute('aria-valuetext', `step ${at}`)
  const byPrompt = new Map()
  for (const preview of previews) if (preview.step <= at) byPrompt.set(preview.promptIndex, preview)
  const shown = [...byPrompt.values()].sort((a, b) => a.promptIndex - b.promptIndex)
  const place = byId('pictures')
  const known = new Map(Array.from(place.children, (figure) => [figure.dataset.id, figure]))
  place.replaceChildren(...shown.map((preview) => known.get(preview.id) ?? picture(preview)))
}

function picture({ id, prompt, seed, step, epoch }) {
  const src = `preview/${id}`
  const figure = element('figure', {},
    element('a', { href: src, target: '_blank', rel: 'noopener' }, element('img', { src, alt: prompt })),
    element('figcaption', { textContent: prompt },
      element('small', { textContent: `step ${step}, epoch ${epoch}${seed === null ? '' : `, seed ${seed}`}` })))
  figure.dataset.id = id
  return figure
}

// ---- log

const bytes = (count) => (count < 2 ** 20 ? `${Math.ceil(count / 1024)} KiB` : `${(count / 2 ** 20).toFixed(1)} MiB`)
const describe = {
  start: (event) => [...event.report, `training ${event.trainableParameters.toLocaleString('en')} parameters, seed ${event.seed}`].join('\n'),
  warning: ({ message }) => message,
  epochEnd: ({ epoch, averageLoss }) => `epoch ${epoch}: average loss ${shortNumber(averageLoss)}`,
  validation: ({ step, loss }) => `validation at step ${step}: loss ${shortNumber(loss)}`,
  save: ({ path, bytes: size }) => `saved ${path} (${bytes(size)})`,
  state: ({ path, bytes: size }) => `saved the state in ${path} (${bytes(size)})`,
  preview: ({ path, prompt }) => `drew ${path} (${prompt})`,
  end: ({ reason, step, path }) => `${reason} after step ${step}${path === null ? '' : `: ${path}`}`,
}
const requestTexts = { preview: 'previews were asked for', save: 'a save was asked for', stop: 'stopping was asked for' }

function logLine({ time, event, request }) {
  const at = new Date(time)
  return element('li', { className: event?.type ?? 'request' },
    element('time', { dateTime: time, textContent: at.toLocaleTimeString([], { hour12: false }), title: at.toLocaleString() }),
    element('span', { textContent: event ? describe[event.type](event) : requestTexts[request] }))
}

// ---- curves

let drawing = false
function drawSoon() {
  if (drawing) return
  drawing = true
  setTimeout(() => requestAnimationFrame(() => {
    drawing = false
    draw()
  }), 150)
}

/** The columns of these names, or whose names begin with them and a slash, as curves of different colours. */
function curvesOf(prefixes, options = {}) {
  return prefixes.flatMap((prefix) => Object.keys(columns).filter((name) => name === prefix || name.startsWith(`${prefix}/`)))
    .map((name, at) => ({ label: name.replace(/^(lr|memory)\//, ''), values: columns[name], stroke: `curve-${at % 4}`, ...options }))
}

function draw() {
  const { step, loss, leastLoss, mostLoss, validation } = columns
  if (loss !== undefined) {
    const curves = []
    // Where a point stands for several steps, the range of their losses lies under the curves.
    const bands = mostLoss === undefined ? [] : [{ series: [1, 2], fill: () => colour('range') }]
    if (mostLoss !== undefined)
      for (const [label, values] of [['highest', mostLoss], ['lowest', leastLoss]]) curves.push({ label, values, stroke: 'range', width: 0 })
    curves.push({ label: 'loss', values: loss, stroke: 'faint', width: 1 })
    const smooth = smoothed(loss, Number(byId('smoothing').value))
    curves.push({ label: 'smoothed', values: smooth, stroke: 'accent', width: 2, spanGaps: true })
    if (validation !== undefined)
      curves.push({ label: 'validation', values: validation, stroke: 'curve-0', width: 2, spanGaps: true, points: { show: true, size: 6 } })
    plots.loss.draw(step, curves, bands)
    byId('loss').textContent = shortNumber(latestOf(smooth))
  }
  plots.rates.draw(step, curvesOf(['lr', 'd*lr']))
  plots.norm.draw(step, curvesOf(['gradientNorm'], { label: 'norm', stroke: 'curve-2' }))
  plots.speed.draw(step, curvesOf(['stepsPerSecond'], { label: 'steps/s', stroke: 'curve-3' }))
  const memory = curvesOf(['memory'])
  plots.memory.draw(step, memory.map((curve) => ({ ...curve, values: curve.values.map((bytes) => bytes === null ? null : bytes / 2 ** 30) })))
  document.body.dataset.drawn = step.length
}

// ---- the person

byId('smoothing').addEventListener('input', (event) => {
  byId('smoothing-value').textContent = Number(event.target.value).toFixed(2)
  draw()
})
byId('preview-at').addEventListener('input', (event) => {
  follow = Number(event.target.value) === Number(event.target.max)
  showPreviews()
})
byId('control-preview').addEventListener('click', () => ask('preview'))
byId('control-save').addEventListener('click', () => ask('save'))
byId('control-stop').addEventListener('click', () => {
  byId('stop-dialog').returnValue = ''
  byId('stop-dialog').showModal()
})
byId('stop-dialog').addEventListener('close', (event) => {
  if (event.target.returnValue === 'stop') ask('stop')
})
setInterval(showTimeLeft, 1000)
load()
