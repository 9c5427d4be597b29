import type { PartReport } from '../checkpoints/detect.ts'
import { type FileReport, inspectFile } from '../checkpoints/inspect.ts'
import { exitCodes } from '../util/errors.ts'
import { formatBytes, formatCount, printable } from './format.ts'
import type { CliHost } from './host.ts'

/** `noisewright inspect`. @returns the exit code: that of unusable model files when one cannot be loaded */
export async function inspectCommand(
  paths: readonly string[],
  { json = false }: { readonly json?: boolean },
  host: CliHost,
): Promise<number> {
  const reports: FileReport[] = []
  for (const path of paths) reports.push(await inspectFile(path))
  if (json) host.stdout.write(`${JSON.stringify(paths.length === 1 ? reports[0] : reports, null, 2)}\n`)
  else host.stdout.write(reports.map((report) => `${describeReport(report).map(printable).join('\n')}\n`).join('\n'))
  return reports.every(({ readable, refusal }) => readable && refusal === null) ? exitCodes.ok : exitCodes.checkpoint
}

/** What the report says, as lines for people. */
export function describeReport(report: FileReport): readonly string[] {
  const { path, readable, problem, refusal, format, bytes, description, version, prediction, all } = report
  const lines = [path]
  const line = (name: string, text: string): void => {
    lines.push(`  ${name.padEnd(13)} ${text}`)
  }
  if (!readable) {
    line('unreadable', problem ?? '')
    return lines
  }
  line(
    'kind',
    version === null || description.includes(`${version}.x`) ? description : `${description}, for ${version}.x`,
  )
  line('format', `${format}, ${formatBytes(bytes)}`)
  if (prediction !== null) line('predicts', `${prediction.value} (${prediction.source})`)
  for (const [part, found] of Object.entries(report.parts)) if (found !== null) line(part, describePart(found))
  line('all', describePart(all))
  if (report.lora !== null) {
    const { style, ranks, alphas, targets, layers, training } = report.lora
    line('style', style)
    line('ranks', describeCounts(ranks))
    line('alphas', describeCounts(alphas))
    line('targets', `text encoder ${targets.textEncoder}, U-Net ${targets.unet} (${describeCounts(layers)})`)
    for (const [key, text] of Object.entries(training)) line(key.replace(/^ss_/, ''), text.slice(0, 200))
  }
  if (report.embedding !== null) {
    const { token, vectors, width, layers } = report.embedding
    const each = layers ? ' for each cross-attention layer' : ''
    line('embedding', `${token === null ? 'no token named' : `token ${token}`}, ${vectors} x ${width}${each}`)
  }
  const texts = Object.keys(report.metadata).length
  if (texts > 0) line('metadata', `${formatCount(texts, 'text')}; "noisewright metadata" shows them`)
  if (refusal !== null) line('not loadable', refusal)
  for (const { what, detail } of report.suspicious) line('suspicious', `${what}: ${detail}`)
  return lines
}

function describePart({ tensorCount, parameterCount, dtypes }: PartReport): string {
  return `${formatCount(parameterCount, 'number')} in ${formatCount(tensorCount, 'tensor')}${dtypes.length === 0 ? '' : `, ${dtypes.join(', ')}`}`
}

/** `8 (192 modules)` or, of several, `8: 100, 16: 92`. */
function describeCounts(counts: Readonly<Record<string, number>>): string {
  const entries = Object.entries(counts)
  if (entries.length === 1) return `${entries[0]![0]} (${formatCount(entries[0]![1], 'module')})`
  return entries.map(([key, count]) => `${key}: ${count}`).join(', ')
}
