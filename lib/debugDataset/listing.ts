import type { BatchView, ItemView } from './datasetView.ts'

/** A batch as lines for a terminal. */
export function listBatch(batch: BatchView): string[] {
  const { epoch, index, batchesPerEpoch, step, dataset, width, height, items } = batch
  const place = `epoch ${epoch}, batch ${index + 1} of ${batchesPerEpoch}, step ${step}`
  return [`${place}: dataset ${dataset}, bucket ${width}x${height}`, ...items.flatMap(listItem)]
}

function listItem(item: ItemView): string[] {
  const { path, source, flip, color, latents, repeats, isReg, lossWeight, caption, tokens, droppedTokens, remarks } =
    item
  const facts = [
    // Of a picture with latents only their size is known.
    ...(latents === null ? [`${source.width}x${source.height}`] : []),
    `repeats ${repeats}`,
    flip ? 'mirrored' : 'not mirrored',
    ...(color === null ? [] : [`${color} changed`]),
    ...(latents === null ? [] : [`latents from ${latents}`]),
    ...(isReg ? ['regularization'] : []),
    `loss weight ${lossWeight}`,
    ...(latents === null ? [`uses ${describeBox(item)}`] : []),
  ]
  const over = droppedTokens === 0 ? '' : ` (${droppedTokens} more do not fit)`
  return [
    `  ${path}`,
    `    ${facts.join(', ')}`,
    `    caption ${JSON.stringify(caption)}`,
    `    ${tokens.length} ${tokens.length === 1 ? 'token' : 'tokens'}${over}: ${tokens.join(' | ')}`,
    ...remarks.map((remark) => `    look: ${remark}`),
  ]
}

function describeBox({ cropBox: { left, top, width, height } }: ItemView): string {
  const percent = (share: number): string => `${Math.round(share * 100)} %`
  if (width >= 1 && height >= 1) return 'the whole picture'
  return `${percent(width)} of its width from ${percent(left)}, ${percent(height)} of its height from ${percent(top)}`
}
