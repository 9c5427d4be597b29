/** Curves over steps, drawn with characters or as SVG. */

export interface Curve {
  readonly name: string
  /** One value of at least 0 for each step. */
  readonly values: readonly number[]
}

export interface ChartOptions {
  /** Characters of a line. */
  readonly width: number
  /** Lines of the plot itself. */
  readonly height: number
  /** Braille dots in colours; otherwise a letter of ASCII for each curve. */
  readonly colours: boolean
}

const marks = ['*', 'o', '+', 'x', '#', '@']
const ansi = [36, 33, 35, 32, 34, 31]
const hex = ['#0b7285', '#e67700', '#862e9c', '#2b8a3e', '#1864ab', '#c92a2a']

/** The bits of a braille cell, two columns of four dots. */
const dots: readonly (readonly number[])[] = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
]

/**
 * Draws curves of one length over the steps, from 0 to their largest value, with the axes labelled and a legend.
 * @returns lines without line ends
 */
export function drawChart(curves: readonly Curve[], { width, height, colours }: ChartOptions): string[] {
  const top = largest(curves)
  const labels = [formatValue(top), formatValue(top / 2), formatValue(0)]
  const margin = Math.max(...labels.map((label) => label.length))
  const columns = Math.max(8, width - margin - 2)
  const rows = Math.max(3, height)
  const cells = Array.from({ length: rows }, () => Array.from({ length: columns }, () => ({ bits: 0, curve: -1 })))
  const [across, down] = colours ? [2, 4] : [1, 1]
  // The first curve is drawn last, over the others.
  for (let curve = curves.length - 1; curve >= 0; curve--)
    for (const [x, y] of pixels(curves[curve]!.values, top, columns * across, rows * down)) {
      const cell = cells[Math.floor(y / down)]![Math.floor(x / across)]!
      cell.bits |= dots[x % across]![y % down]!
      cell.curve = curve
    }
  const middle = Math.floor((rows - 1) / 2)
  const lines = cells.map((row, y) => {
    const label = y === 0 ? labels[0]! : y === rows - 1 ? labels[2]! : y === middle ? labels[1]! : ''
    const text = row.map(({ bits, curve }) => {
      if (curve < 0) return ' '
      if (!colours) return marks[curve % marks.length]!
      return paint(String.fromCodePoint(0x2800 + bits), curve)
    })
    return `${label.padStart(margin)} ${colours ? '│' : '|'}${text.join('').trimEnd()}`
  })
  const steps = curves[0]?.values.length ?? 0
  const [start, end] = ['1', `${steps}`]
  const axis = `${' '.repeat(margin + 1)}${colours ? '└' : '+'}${(colours ? '─' : '-').repeat(columns)}`
  const numbers = `${' '.repeat(margin + 2)}${start}${end.padStart(Math.max(end.length + 1, columns - start.length))}`
  const legend = curves.map(({ name }, i) => (colours ? paint(`── ${name}`, i) : `${marks[i % marks.length]!} ${name}`))
  return [...lines, axis, numbers, `${' '.repeat(margin + 2)}${legend.join('   ')}`]
}

function paint(text: string, curve: number): string {
  return `\x1b[${ansi[curve % ansi.length]!}m${text}\x1b[0m`
}

function largest(curves: readonly Curve[]): number {
  const top = curves.reduce((most, { values }) => values.reduce((a, b) => Math.max(a, b), most), 0)
  return top > 0 ? top : 1
}

/** The pixels of a curve, each column joined to the one before by a vertical line. */
function pixels(values: readonly number[], top: number, width: number, height: number): [number, number][] {
  const found: [number, number][] = []
  let before: number | null = null
  for (let x = 0; x < width; x++) {
    const step = Math.round((x / Math.max(1, width - 1)) * (values.length - 1))
    const y = Math.round((1 - Math.min(1, Math.max(0, values[step]! / top))) * (height - 1))
    const [from, to] = before === null || before === y ? [y, y] : before < y ? [before + 1, y] : [y, before - 1]
    for (let each = from; each <= to; each++) found.push([x, each])
    before = y
  }
  return found
}

function formatValue(value: number): string {
  return value === 0 ? '0' : value.toExponential(2)
}

/** The same curves as an SVG picture of 800 by 400. */
export function chartSvg(curves: readonly Curve[], title: string): string {
  const [width, height] = [800, 400]
  const plot = { left: 80, right: 780, top: 40, bottom: 340 }
  const top = largest(curves)
  const steps = curves[0]?.values.length ?? 0
  const x = (step: number): number => plot.left + ((plot.right - plot.left) * step) / Math.max(1, steps - 1)
  const y = (value: number): number => plot.bottom - ((plot.bottom - plot.top) * value) / top
  const lines = curves.map(({ values }, i) => {
    const points = kept(values).map((step) => `${x(step).toFixed(2)},${y(values[step]!).toFixed(2)}`)
    const colour = hex[i % hex.length]!
    return `<polyline fill="none" stroke="${colour}" stroke-width="1.5" points="${points.join(' ')}"/>`
  })
  const label = (px: number, py: number, anchor: string, text: string, colour = '#333'): string =>
    `<text x="${px}" y="${py}" text-anchor="${anchor}" fill="${colour}">${escapeXml(text)}</text>`
  const legend = curves.map(({ name }, i) => label(plot.left + 160 * i, 385, 'start', name, hex[i % hex.length]!))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    label(width / 2, 22, 'middle', title),
    `<path d="M${plot.left} ${plot.top}V${plot.bottom}H${plot.right}" fill="none" stroke="#333"/>`,
    ...[0, 0.5, 1].map((share) => label(plot.left - 8, y(share * top) + 4, 'end', formatValue(share * top))),
    label(plot.left, plot.bottom + 20, 'middle', '1'),
    label(plot.right, plot.bottom + 20, 'middle', `${steps}`),
    ...lines,
    ...legend,
    '</svg>',
    '',
  ].join('\n')
}

/** The steps that a polyline needs: all but those on a level between two of the same value. */
function kept(values: readonly number[]): number[] {
  return Array.from(values.keys()).filter(
    (step) => !(values[step - 1] === values[step] && values[step + 1] === values[step]),
  )
}

function escapeXml(text: string): string {
  const names: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
  return text.replace(/[&<>"]/g, (character) => names[character]!)
}
