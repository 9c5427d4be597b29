import type { TrainerName } from '../config/trainOptions.ts'
import { parseTraining } from '../train/options/parseTraining.ts'
import { planTraining, type TrainingPlan } from '../train/plan/trainingPlan.ts'
import { loadTrainingData } from '../train/trainingData.ts'
import { trainings } from '../train/trainings.ts'
import { exitCodes } from '../util/errors.ts'
import { formatBytes, formatCount, printable } from './format.ts'
import type { CliHost } from './host.ts'

/**
 * `noisewright plan`: what a training would do with its data, without loading a model.
 *
 * @param trainer whose options they are
 * @param args options of the training; of those it cannot do without, only the data are needed
 * @returns the exit code
 */
export async function planCommand<Name extends TrainerName>(
  trainer: Name,
  args: readonly string[],
  { json = false }: { readonly json?: boolean | undefined },
  host: CliHost,
): Promise<number> {
  const { config, notes } = await parseTraining(trainer, args, { dataOnly: true })
  const group = await loadTrainingData(config, { seed: config.training.seed ?? 0, accepts: trainings[trainer].accepts })
  const plan = await planTraining(group, config, trainings[trainer].trainedParts(config))
  for (const message of [...notes, ...plan.warnings]) host.stderr.write(`note: ${printable(message)}\n`)
  host.stdout.write(json ? `${JSON.stringify(plan, null, 2)}\n` : `${describePlan(plan).join('\n')}\n`)
  return exitCodes.ok
}

/** Captions over the limit that are named. */
const namedCaptions = 5

/** A plan as lines for people. */
export function describePlan(plan: TrainingPlan): string[] {
  const { captions, memory, disk } = plan
  const lines = [
    ...plan.subsets.map(({ dataset, place, images, heldOut, turned, repeats, isReg }) => {
      const kind = `${isReg ? ', regularization' : ''}${heldOut > 0 ? `, ${heldOut} more held out` : ''}${turned > 0 ? `, ${turned} turned upright as EXIF says` : ''}`
      return `dataset ${dataset}: ${place}: ${formatCount(images, 'picture')}, repeats ${repeats}${kind}`
    }),
    '',
    ...table(
      ['bucket', 'pictures', 'with repeats', 'batches', 'enlarged', 'cut off'],
      plan.buckets.map(({ size: { width, height }, images, count, batches, upscaled, croppedShare }) => [
        `${width}x${height}`,
        String(images),
        String(count),
        String(batches),
        images === 0 ? '' : percent(upscaled / images),
        percent(croppedShare),
      ]),
    ),
    '',
    `${formatCount(plan.trainImageCount, 'training picture')} with repeats, ${formatCount(plan.regImageCount, 'regularization picture')}`,
    ...(plan.heldOutCount > 0 ? [`${formatCount(plan.heldOutCount, 'picture')} held out, to be measured`] : []),
    `${plan.batchesPerEpoch} batches and ${formatCount(plan.stepsPerEpoch, 'step')} an epoch; ${formatCount(plan.totalSteps, 'step')} in ${formatCount(plan.epochCount, 'epoch')}${leftOut(plan)}`,
    `${captions.overLimit.length} of ${formatCount(captions.total, 'caption')} are longer than ${captions.limit} tokens`,
    ...captions.overLimit.slice(0, namedCaptions).map(({ path, tokens }) => `  ${path}: ${tokens} tokens`),
  ]
  const hidden = captions.overLimit.length - namedCaptions
  if (hidden > 0) lines.push(`  and ${hidden} more`)
  const written = disk.map(({ what, bytes }) => `${formatBytes(bytes)} of ${what}`)
  lines.push(`disk: ${written.length === 0 ? 'nothing but what is saved' : written.join(', ')}`)
  const total = memory.reduce((sum, { bytes }) => sum + bytes, 0)
  lines.push(`memory: about ${formatBytes(total)}`)
  for (const { what, bytes } of memory) lines.push(`  ${what}: ${formatBytes(bytes)}`)
  return lines.map(printable)
}

function leftOut({ totalSteps, skippedSteps }: TrainingPlan): string {
  return skippedSteps === 0 ? '' : `, of which ${skippedSteps} are left out: ${totalSteps - skippedSteps} to train`
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`
}

/** Columns right-aligned under their heads, the first left. */
function table(heads: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [heads, ...rows]
  const widths = heads.map((_, column) => Math.max(...all.map((row) => row[column]!.length)))
  return all.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd(),
  )
}
