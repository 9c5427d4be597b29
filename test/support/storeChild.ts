/** A process that fills a store while others do: node storeChild.js FOLDER KEYS ROUNDS */
import { createHash } from 'node:crypto'
import { ArrayStore } from '../../lib/io/arrayStore.ts'

/** The key and the value of entry `i`: the same in every process. */
function entryOf(i: number): { readonly key: string; readonly bytes: Uint8Array } {
  const key = createHash('sha256').update(`entry ${i}`).digest('hex')
  return { key, bytes: new Uint8Array(40_000).fill(i) }
}

const [folder = '', keys = '0', rounds = '0'] = process.argv.slice(2)
const store = new ArrayStore(folder)
const damaged: string[] = []
let written = 0
for (let round = 0; round < Number(rounds); round++) {
  for (let i = 0; i < Number(keys); i++) {
    const { key, bytes } = entryOf(i)
    const lookup = await store.read(key)
    if (lookup.found === 'damage') damaged.push(lookup.problem)
    if (lookup.found === 'arrays' && round % 2 === 0) continue
    await store.write(key, new Map([['values', { dtype: 'U8', shape: [bytes.length], bytes }]]))
    written++
  }
}
process.stdout.write(JSON.stringify({ damaged, written }))
