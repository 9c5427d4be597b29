import { expect, it } from 'vitest'
import { isFileName } from '../../lib/util/fileName.ts'

it('knows names that lead into no other folder and are no device', () => {
  for (const name of ['last', 'sks frog', '日本語 é', 'v1.5', '.hidden', 'console', 'com', 'nulls.txt'])
    expect(isFileName(name), name).toBe(true)
  const wrong = [
    '',
    '.',
    '..',
    '../x',
    'a/b',
    'a\\b',
    'C:\\x',
    'a\0',
    'a\nb',
    'x.',
    'x ',
    'CON',
    'nul.safetensors',
    'Lpt9',
  ]
  for (const name of wrong) expect(isFileName(name), name).toBe(false)
})
