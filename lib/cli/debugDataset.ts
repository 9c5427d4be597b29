import type { AcceptedData } from '../config/datasetKinds.ts'
import type { TrainerName } from '../config/trainOptions.ts'
import { DatasetView } from '../debugDataset/datasetView.ts'
import { writeDatasetHtml } from '../debugDataset/htmlFile.ts'
import { listBatch } from '../debugDataset/listing.ts'
import { serveDataset } from '../debugDataset/server.ts'
import { showCaptions } from '../train/inputs/shownCaptions.ts'
import { type DebugDatasetOptions, parseTraining } from '../train/options/parseTraining.ts'
import { planSteps } from '../train/plan/schedule.ts'
import type { TrainConfig } from '../train/trainConfig.ts'
import { loadTrainingData } from '../train/trainingData.ts'
import { trainings } from '../train/trainings.ts'
import { exitCodes } from '../util/errors.ts'
import { printable } from './format.ts'
import type { CliHost } from './host.ts'
import { listenForInterrupts } from './interrupts.ts'
import { nextKey } from './keys.ts'

/**
 * `noisewright debug-dataset`: shows the batches that a training would train on, on the terminal, in a file or as a page.
 *
 * @param trainer whose options they are
 * @param args options of the training; of those it cannot do without, only the data are needed
 * @param options in place of `--debug_dataset_html` and the others
 * @returns the exit code
 */
export async function debugDatasetCommand(
  trainer: TrainerName,
  args: readonly string[],
  options: Partial<DebugDatasetOptions>,
  host: CliHost,
): Promise<number> {
  const { config, notes, debugDataset } = await parseTraining(trainer, args, { dataOnly: true })
  for (const note of notes) host.stderr.write(`note: ${note}\n`)
  const { accepts } = trainings[trainer]
  return showDataset(config, { maxBatches: null, html: null, port: null, ...debugDataset, ...options, accepts }, host)
}

/** Shows the data of a training as `--debug_dataset` asks for. @returns the exit code */
export async function showDataset(
  config: TrainConfig,
  { maxBatches, html, port, accepts }: DebugDatasetOptions & { readonly accepts?: AcceptedData | undefined },
  host: CliHost,
): Promise<number> {
  const seed = config.training.seed ?? 0
  const group = await loadTrainingData(config, { seed, accepts })
  const ended = new AbortController()
  const view = await DatasetView.open(group, {
    captions: await showCaptions(config, seed),
    ignoreExif: config.data.ignoreExif ?? false,
    totalSteps: planSteps(group.batchesPerEpoch, config.training).totalSteps,
    batchesPerStep: config.training.gradientAccumulationSteps,
    // A page shows what is found as it is found; what is written once waits for it.
    ...(port !== null && html === null && { mostAwaited }),
    onLook: reportLooks(host),
    signal: ended.signal,
  })
  for (const warning of view.summary.warnings) host.stderr.write(`note: ${printable(warning)}\n`)
  if (html !== null) {
    await writeDatasetHtml(html, view, maxBatches === null ? {} : { maxBatches })
    host.stdout.write(`saved ${html}\n`)
  }
  if (port !== null) await serveUntilInterrupted(view, port, host)
  ended.abort()
  if (html === null && port === null) await listBatches(view, maxBatches, host)
  return exitCodes.ok
}

/** Pictures whose look-alikes are searched before a page is shown. */
const mostAwaited = 5000
/** Between two lines about a search that takes long. */
const reportedEveryMs = 10_000

function reportLooks({ stderr }: CliHost): (done: number, total: number) => void {
  let last = performance.now()
  return (done, total) => {
    if (performance.now() - last < reportedEveryMs) return
    last = performance.now()
    stderr.write(`looked at ${done} of ${total} pictures for look-alikes\n`)
  }
}

async function serveUntilInterrupted(view: DatasetView, port: number, host: CliHost): Promise<void> {
  const server = await serveDataset(view, { port })
  host.stdout.write(`${server.url} shows the batches; Ctrl-C ends it\n`)
  await new Promise<void>((resolve) => {
    const interrupts = listenForInterrupts(host, {
      onFirst: () => {
        interrupts.stop()
        resolve()
      },
      onSecond: () => undefined,
    })
  })
  await server.close()
}

/** At a terminal a key asks for the next batch (s) or epoch (e) until Escape; elsewhere one epoch is listed. */
async function listBatches(view: DatasetView, maxBatches: number | null, host: CliHost): Promise<void> {
  const { batchesPerEpoch } = view.group
  const interactive = host.keys?.isTTY === true && host.stdout.isTTY === true
  if (interactive) host.stdout.write('s: next batch, e: next epoch, Escape: end\n')
  let [epoch, index] = [1, 0]
  for (let shown = 0; maxBatches === null || shown < maxBatches; shown++) {
    host.stdout.write(`${listBatch(view.batch(epoch, index)).map(printable).join('\n')}\n`)
    const key = interactive ? await nextKey(host.keys!, ['s', 'e', 'escape']) : 's'
    if (key === 'escape') return
    if (key === 's') index++
    if (key === 'e' || index === batchesPerEpoch) {
      if (!interactive) return
      epoch++
      index = 0
    }
  }
}
