// The curves of the page, drawn by uPlot. A chart is built anew when there is another curve, otherwise only given data.
'use strict'
/* global uPlot */
const probe = document.getElementById('probe')
const colours = new Map()
/** A colour of the style sheet as a canvas takes it: variables that depend on the scheme are resolved. */
function colour(name) {
  if (!colours.has(name)) {
    probe.style.color = `var(--${name})`
    colours.set(name, getComputedStyle(probe).color)
  }
  return colours.get(name)
}

const charts = []
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  colours.clear()
  for (const chart of charts) chart.redraw()
})

/** A mean in which each value counts less the older it is, by the factor for every point; unbiased at the start. */
function smoothed(values, factor) {
  let [sum, weight] = [0, 0]
  return values.map((value) => {
    if (value === null) return null
    sum = factor * sum + (1 - factor) * value
    weight = factor * weight + (1 - factor)
    return sum / weight
  })
}

const latestOf = (values) => values.findLast((value) => value !== null)
const shortNumber = (value) => (value === null || value === undefined ? '–' : Number(value.toPrecision(4)).toString())
const exponential = (value) => (value === null || value === undefined ? '–' : value === 0 ? '0' : value.toExponential(2))
const gibibytes = (value) => (value === null || value === undefined ? '–' : `${Number(value.toPrecision(3))} GiB`)

class Chart {
  #place
  #section
  #format
  #built = null
  #names = ''
  #zoomed = false

  /** @param id of the section; format makes a value's text */
  constructor(id, format) {
    this.#section = document.getElementById(id)
    this.#place = this.#section.querySelector('.plot')
    this.#format = format
    new ResizeObserver(() => this.#built?.setSize(this.#size())).observe(this.#place)
    charts.push(this)
  }

  /** @param curves {label, values, stroke, ...options of uPlot's series}; bands between two of them by their places */
  draw(steps, curves, bands = []) {
    const shown = curves.length > 0 && steps.length > 0
    this.#section.hidden = !shown && this.#section.hidden
    if (!shown) return
    this.#section.hidden = false
    const data = [steps, ...curves.map(({ values }) => values)]
    const names = curves.map(({ label }) => label).join('\n')
    if (this.#built === null || names !== this.#names) {
      this.#built?.destroy()
      this.#names = names
      this.#zoomed = false
      this.#built = new uPlot(this.#options(curves, bands), data, this.#place)
    } else {
      this.#built.setData(data, !this.#zoomed)
      if (this.#zoomed) this.#built.redraw()
    }
    const latest = curves.map(({ label, values }) => `${label} ${this.#format(latestOf(values))}`)
    const canvas = this.#place.querySelector('canvas')
    canvas.setAttribute('role', 'img')
    canvas.setAttribute('aria-label', `Curves over steps, latest: ${latest.join(', ')}`)
  }

  redraw() {
    this.#built?.redraw()
  }

  /** The steps that are shown. */
  get xRange() {
    return this.#built.scales.x
  }

  #size() {
    return { width: Math.max(200, this.#place.clientWidth), height: 200 }
  }

  #options(curves, bands) {
    const axis = { stroke: () => colour('soft'), grid: { stroke: () => colour('line'), width: 1 }, ticks: { show: false } }
    return {
      ...this.#size(),
      scales: { x: { time: false } },
      cursor: { sync: { key: 'steps' }, drag: { x: true, y: false }, y: false },
      axes: [
        { ...axis, size: 28, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6] },
        { ...axis, size: 68, values: (_, ticks) => ticks.map((value) => this.#format(value)) },
      ],
      bands,
      series: [
        { label: 'step', value: (chart, value, _, index) => (index === null ? chart.data[0].at(-1) : value) ?? '–' },
        ...curves.map(({ values, stroke, ...options }) => ({
          width: 1.5,
          points: { show: false },
          ...options,
          stroke: () => colour(stroke),
          // Where the pointer is, or else the latest.
          value: (chart, value, at, index) => this.#format(index === null ? latestOf(chart.data[at]) : value),
        })),
      ],
      hooks: {
        setSelect: [(chart) => { if (chart.select.width > 0) this.#zoomed = true }],
        ready: [(chart) => chart.over.addEventListener('dblclick', () => { this.#zoomed = false })],
      },
    }
  }
}
