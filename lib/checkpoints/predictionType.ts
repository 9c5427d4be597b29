/** What a checkpoint says about its prediction type. Keys and shapes cannot tell it; notes beside the weights may. */
import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import type { PredictionType } from '../models/stableDiffusion/config.ts'
import type { TensorIndex } from './modelFamilies.ts'

/** A statement, and where it was made. */
export interface PredictionStatement {
  readonly value: PredictionType
  /** For messages: `metadata "modelspec.prediction_type" = "v"`. */
  readonly source: string
}

/** What the file itself states: in its metadata, or by the empty tensor `v_pred` that some tools add. */
export function statedPrediction(index: TensorIndex): PredictionStatement | null {
  const type = index.metadata.get('modelspec.prediction_type')
  if (type !== undefined) {
    const value = /^v(_prediction)?$/i.test(type) ? 'v_prediction' : /^eps/i.test(type) ? 'epsilon' : null
    if (value !== null) return { value, source: `metadata "modelspec.prediction_type" = "${type}"` }
  }
  const architecture = index.metadata.get('modelspec.architecture')
  const size = architecture && /stable-diffusion-v2-(512|768-v)/.exec(architecture)?.[1]
  if (size)
    return {
      value: size === '512' ? 'epsilon' : 'v_prediction',
      source: `metadata "modelspec.architecture" = "${architecture}"`,
    }
  return index.has('v_pred') ? { value: 'v_prediction', source: 'its tensor "v_pred"' } : null
}

/** What a configuration of the original code beside the file states: `model.yaml` beside `model.ckpt`. */
export async function sidecarPrediction(path: string): Promise<PredictionStatement | null> {
  for (const extension of ['.yaml', '.yml']) {
    const sidecar = path.slice(0, path.length - extname(path).length) + extension
    const text = await readFile(sidecar, 'utf8').catch(() => null)
    if (text === null) continue
    const word = /^\s*parameterization:\s*["']?(\w+)/m.exec(text)?.[1]
    if (word === 'v') return { value: 'v_prediction', source: `"parameterization: v" in ${sidecar}` }
    // Without the line the original code predicts noise.
    if (word === 'eps' || (word === undefined && /^\s*target:\s*ldm\./m.test(text)))
      return { value: 'epsilon', source: `the parameterization in ${sidecar}` }
  }
  return null
}
