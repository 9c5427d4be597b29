// Kernels by file, one line each, with a number for all architectures where they agree and one for each where they do not.

const percent = (share) => (share === null ? '-' : Math.round(100 * share))

/** By heading: a kernel's value for one architecture. */
const columns = {
  threads: ({ threads }) => threads ?? '-',
  registers: ({ registers }) => registers,
  spills: ({ spillStores, spillLoads }) => spillStores + spillLoads,
  stack: ({ stack }) => stack,
  shared: ({ sharedBytes }) => sharedBytes,
  'occupancy %': ({ occupancy }) => percent(occupancy),
}

/** One value, or all of them in the order of architectures. */
function cell(values) {
  return new Set(values).size === 1 ? String(values[0]) : values.join('/')
}

/**
 * A table of the kernels of one file.
 * @param kernels by name, what was found for each architecture
 * @param counted headings of the instructions that were counted
 */
export function tableOf(kernels, counted) {
  const values = { ...columns, ...Object.fromEntries(counted.map((name) => [name, (kernel) => kernel[name]])) }
  const rows = [...kernels].map(([name, list]) => [name, ...Object.values(values).map((of) => cell(list.map(of)))])
  const all = [['kernel', ...Object.keys(values)], ...rows]
  const widths = all[0].map((_, i) => Math.max(3, ...all.map((row) => row[i].length)))
  const line = (row) =>
    `| ${row.map((text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i]))).join(' | ')} |`
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(all[0]), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n')
}
