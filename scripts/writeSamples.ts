/**
 * Writes files of every format this library writes into a folder, from the values of the fixtures.
 * scripts/reference/check_written.py and check_latents.py then open them in Python. `node scripts/writeSamples.mjs FOLDER` compiles and runs it.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readLatentFile, writeLatentFile } from '../lib/data/latentFiles.ts'
import { ArrayStore } from '../lib/io/arrayStore.ts'
import { readNpz, writeNpz } from '../lib/io/npz.ts'
import type { PickleWritable } from '../lib/io/pickleWriter.ts'
import { openSafetensors, type SafetensorsTensor, writeSafetensors } from '../lib/io/safetensors.ts'
import { writeTorchFile } from '../lib/io/torchFileWriter.ts'
import { readTextualInversion, writeTextualInversion } from '../lib/networks/textualInversion.ts'

const folder = process.argv[2] ?? 'out/written'
const fixtures = 'test/fixtures/torch_files'
await mkdir(folder, { recursive: true })

const source = await openSafetensors(join(fixtures, 'dtypes.safetensors'))
const tensors = source.names.map((name): SafetensorsTensor => ({ ...source.info(name), data: () => source.read(name) }))
const outer = new Map<string, PickleWritable>([
  ['epoch', 3],
  ['global_step', 123456],
  ['big', 2n ** 70n],
  ['negative', -(2 ** 40)],
  ['half', 0.5],
  ['none', null],
  ['yes', true],
  ['list', [1, ['x', new Map([['k', -1]])]]],
])
await writeTorchFile(join(folder, 'plain.pt'), tensors)
await writeTorchFile(join(folder, 'ordered.bin'), tensors, { ordered: true })
await writeTorchFile(join(folder, 'outer.ckpt'), tensors, { under: 'state_dict', outer, ordered: true })
const embedding = {
  name: '*',
  dtype: 'F32',
  shape: [1, 2],
  data: new Uint8Array(Float32Array.of(1, 2).buffer),
} as const
await writeTorchFile(join(folder, 'inversion.pt'), [embedding], { under: 'string_to_param', outer: { name: 'cat' } })
// More storages than one byte can number, and one of 40 MB: memo and index forms change with size.
const many = Array.from({ length: 700 }, (_, index): SafetensorsTensor => {
  const values = new Float32Array(index === 350 ? 10_000_000 : 3).fill(index)
  return { name: `layer.${index}.weight`, dtype: 'F32', shape: [values.length], data: new Uint8Array(values.buffer) }
})
await writeTorchFile(join(folder, 'many.ckpt'), many, { under: 'state_dict' })
await writeSafetensors(join(folder, 'all.safetensors'), tensors, { metadata: { note: 'grün' } })
const arrays = [...(await readNpz(join(fixtures, 'arrays.npz')))]
await writeNpz(
  join(folder, 'arrays.npz'),
  arrays.map(([name, { dtype, shape, bytes }]) => ({ name, dtype, shape, data: bytes })),
)
const latents = 'test/fixtures/latents_npz/plain.npz'
const latent = await readLatentFile({ file: latents }, false, { width: 5, height: 3, channels: 4 })
await writeLatentFile(join(folder, 'latents.npz'), latent)
const values = (await readNpz(latents)).get('arr_0')
if (values === undefined) throw new Error(`${latents} has no arr_0`)
const store = new ArrayStore(join(folder, 'store'))
await store.write('5a'.repeat(32), new Map([['latents', values]]))
await source.close()
// Learned embeddings of one token and of every layer, in each container.
for (const [name, file] of [
  ['learned', 'embParams.safetensors'],
  ['layers', 'xti.safetensors'],
] as const) {
  const found = await readTextualInversion(join('test/fixtures/textual_inversion', file), { hiddenSize: 768 })
  const rows = found.kind === 'layers' ? found.layers : found.rows
  for (const extension of ['.pt', '.ckpt', '.safetensors'])
    await writeTextualInversion(join(folder, `${name}${extension}`), rows)
}
console.log(`wrote 15 files to ${folder}`)
