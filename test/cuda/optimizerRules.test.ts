/** Every rule of the optimizer step, run by its CUDA kernel in the emulation and compared with the CPU's kernel. */
import { describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { type OptimizerRule, optimizerStep, ruleStates } from '../../lib/ops/optimizerStep.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { FloatDType } from '../../lib/tensor/dtype.ts'
import type { DeviceName } from '../../lib/tensor/tensor.ts'
import { canEmulate, orders, setEmulation } from '../support/emulatedGpu.ts'
import { pseudoRandom } from '../support/float64.ts'
import { roundedTensor } from '../support/opSuite.ts'
import { expectSameBits } from '../support/sameOnGpu.ts'

const sizes = [5, 700]
const rules = Object.keys(ruleStates) as OptimizerRule[]

/** Two steps with constants, states and modes that take every branch; the bytes of all that changes. */
async function steps(rule: OptimizerRule, mode: number, device: DeviceName): Promise<string[]> {
  const made = (name: string, size: number, positive = false) =>
    tensor(
      pseudoRandom(name, size).map((x) => (positive ? Math.abs(x) + 0.5 : x)),
      [size],
      { device },
    )
  const slots = sizes.map((size) => ({
    param: made(`p${size}`, size),
    gradient: made(`g${size}`, size),
    // Large enough that a centred mean of squares stays above the square of the mean.
    states: ruleStates[rule].map((signed, k) =>
      made(`s${k}/${size}`, size, !signed || (rule === 'rmsProp' && k === 0)),
    ),
    absmax: ruleStates[rule].map(() => null),
    copy: null,
    row: 0,
  }))
  const constants = Array.from({ length: 12 }, (_, i) => 0.1 + 0.07 * i)
  for (let step = 0; step < 2; step++) optimizerStep(rule, slots, [{ l2: 0.01, decay: 0.99, mode, constants }])
  const changed = slots.flatMap(({ param, states }) => [param, ...states])
  return Promise.all(changed.map(async (x) => Buffer.from(await addon.read(x.handle)).toString('hex')))
}

describe.runIf(canEmulate)('rules of optimizers in the emulation', () => {
  it.each(rules)('%s steps as on the CPU, bit by bit', async (rule) => {
    for (const mode of [0, 1, 2, 3]) {
      const expected = await steps(rule, mode, 'cpu')
      for (const order of orders.slice(0, 2)) {
        setEmulation('ORDER', order)
        const actual = await steps(rule, mode, 'cuda')
        const same = actual.map((bytes, i) => bytes === expected[i])
        expect(same, `mode ${mode}, ${order}`).toEqual(expected.map(() => true))
      }
    }
  })
  it.each(['bfloat16', 'float16'] as const)('step %s as on the CPU, to nearest and by chance', async (dtype) => {
    const size = 700
    const slot = (type: FloatDType, copy: boolean, device: DeviceName) => ({
      // From the smallest numbers of the type to the largest.
      param: roundedTensor(
        pseudoRandom('p', size).map((x, i) => x * 2 ** ((i % 40) - 26)),
        [size],
        type,
        device,
      ),
      gradient: roundedTensor(pseudoRandom('g', size), [size], 'float32', device),
      states: ruleStates.adamW.map((_, k) =>
        roundedTensor(pseudoRandom(`s${k}`, size).map(Math.abs), [size], 'float32', device),
      ),
      absmax: ruleStates.adamW.map(() => null),
      copy: copy ? roundedTensor(new Float32Array(size), [size], dtype, device) : null,
      row: 0,
    })
    for (const roundingSeed of [undefined, 7n])
      await expectSameBits((device) => {
        const slots = [slot(dtype, false, device), slot('float32', true, device)]
        const constants = Array.from({ length: 12 }, (_, i) => 0.1 + 0.07 * i)
        optimizerStep('adamW', slots, [{ l2: 0, decay: 0.99, mode: 0, constants }], { roundingSeed })
        return [...slots.map(({ param }) => param), slots[1]!.copy!]
      })
  })
})
