/**
 * Our side of check_demo_lora.py: what the built library computes with a model and a LoRA file.
 *
 *     node scripts/reference/ourOutput.mjs MODEL_FOLDER LORA_FILE INPUTS OUTPUTS
 *
 * INPUTS: safetensors with `latents` [n, h, w, c], `timesteps` [n], `context` [n, s, d], `ids` [n, 77] (as float32). OUTPUTS gets `sample`
 * and `lastHidden`, each also as `plain...` without the LoRA.
 */
import {
  attachLoraFile,
  loadDiffusersFolder,
  noGrad,
  openSafetensors,
  readLora,
  scope,
  tensor,
  writeSafetensors,
} from '../../dist/index.js'

const [folder, loraPath, inputPath, outputPath] = process.argv.slice(2)
const models = await loadDiffusersFolder(folder)
const inputs = await openSafetensors(inputPath)

async function input(name) {
  return { shape: inputs.info(name).shape, values: await inputs.readFloat32(name) }
}

const [latents, timesteps, context, ids] = await Promise.all(['latents', 'timesteps', 'context', 'ids'].map(input))
await inputs.close()

async function outputs(prefix) {
  const make = ({ shape, values }) => tensor(values, shape)
  const sample = noGrad(() => scope(() => models.unet.forward(make(latents), make(timesteps), make(context))))
  const hidden = noGrad(() => scope(() => models.textEncoder.encode(tensor(Int32Array.from(ids.values), ids.shape))))
  const entries = []
  for (const [name, result] of Object.entries({ sample, lastHidden: hidden })) {
    const values = await result.read()
    entries.push({ name: prefix + name, dtype: 'F32', shape: result.shape, data: new Uint8Array(values.buffer) })
  }
  return entries
}

const plain = await outputs('plain.')
const lora = await readLora(loraPath, models.config)
await attachLoraFile(lora, models)
await lora.close()
await writeSafetensors(outputPath, [...plain, ...(await outputs(''))])
