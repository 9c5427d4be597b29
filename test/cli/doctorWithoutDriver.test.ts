/** The doctor where there is no driver; a process asks for one once. */
import { expect, it } from 'vitest'
import { run } from '../../lib/cli/run.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { makeTestHost } from './testHost.ts'

process.env.NOISEWRIGHT_LIBCUDA = '/nowhere/libcuda.so.1'
const reason = 'the NVIDIA driver library (/nowhere/libcuda.so.1) is not installed'

it('says in a sentence why there is no GPU', async () => {
  const host = makeTestHost()
  expect(await run(['doctor'], host)).toBe(exitCodes.ok)
  expect(host.stdout.lines).toContain(`CUDA driver: ${reason}`)
})

it('refuses to run kernels there', async () => {
  const host = makeTestHost()
  expect(await run(['doctor', '--kernels'], host)).toBe(exitCodes.native)
  expect(host.stderr.text).toContain(`doctor: kernels cannot run on cuda: no CUDA device: ${reason}`)
})
