import { readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadFixture } from '../support/fixtureCases.ts'
import { runCase, type TrainingFixture, weightErrors } from '../support/trainingOracle.ts'

const files = readdirSync(new URL('../fixtures/oracle', import.meta.url))
const cases = files.map((file) => [basename(file, '.json'), loadFixture<TrainingFixture>(`oracle/${file}`)] as const)

function relative(actual: number, expected: number): number {
  return Math.abs(actual - expected) / Math.abs(expected)
}

describe('20 steps of a training', () => {
  it.each(cases)('agree with the reference in every batch, loss, rate and weight: %s', async (_name, fixture) => {
    const run = await runCase(fixture)
    expect(run.passes).toEqual(fixture.passes)
    expect(run.steps).toHaveLength(fixture.steps.length)
    const losses = run.steps.map(({ loss }, at) => relative(loss, fixture.steps[at]!.loss))
    const norms = run.steps.map(({ gradientNorm }, at) => relative(gradientNorm, fixture.steps[at]!.gradientNorm))
    expect(Math.max(...losses), 'losses').toBeLessThan(1e-5)
    expect(Math.max(...norms), 'norms of the gradient').toBeLessThan(1e-4)
    for (const [at, { learningRates }] of run.steps.entries())
      expect(Object.values(learningRates), `rates of step ${at + 1}`).toEqual(
        fixture.steps[at]!.rates.map((rate) => expect.closeTo(rate, 12)),
      )
    expect([...run.after.keys()].toSorted()).toEqual(Object.keys(fixture.changes).toSorted())
    const { weights, change, samples, worst } = weightErrors(run, fixture.changes)
    expect(weights, 'weights').toBeLessThan(1e-5)
    expect(change, 'change of the weights').toBeLessThan(1e-3)
    expect(samples, 'samples of the change').toBeLessThan(3e-3)
    expect(worst.error, `weights of ${worst.name}`).toBeLessThan(1e-3)
  })
})
