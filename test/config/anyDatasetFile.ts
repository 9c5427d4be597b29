/** Random dataset configurations: right ones, nearly right ones, and any trees of values. */
import fc from 'fast-check'
import {
  commandLineOnlyOptions,
  type DatasetOption,
  datasetOptions,
  type OptionLevel,
} from '../../lib/config/datasetOptions.ts'

const rows = datasetOptions as readonly DatasetOption[]

/** Names that every object of the language inherits something by. */
export const prototypeKeys = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']

/** Keys of options at any level, of tables, and of nothing. */
export const anyKey = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...rows.map(({ name }) => name), 'caption_extention') },
  { weight: 3, arbitrary: fc.constantFrom('general', 'datasets', 'subsets', ...prototypeKeys) },
  { weight: 1, arbitrary: fc.constantFrom(...commandLineOnlyOptions) },
  { weight: 1, arbitrary: fc.string({ unit: 'grapheme' }) },
)

/** Objects with own properties of any name, `__proto__` included. */
function objectOf<T>(value: fc.Arbitrary<T>): fc.Arbitrary<Record<string, T>> {
  return fc.array(fc.tuple(anyKey, value), { maxLength: 5 }).map((entries) => Object.fromEntries(entries))
}

const leaf = fc.oneof(
  fc.boolean(),
  fc.integer({ min: -2, max: 2000 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.string(),
  fc.constantFrom('area', '.txt', 512, [1, 3], [512, 768], [512], [1, '3']),
)

/** Trees of anything. */
export const anyTree = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof({ depthSize: 'small' }, leaf, fc.array(tie('value'), { maxLength: 3 }), objectOf(tie('value'))),
})).value

function rightValue({ type, minimum = 0, maximum, choices, notEmpty }: DatasetOption): fc.Arbitrary<unknown> {
  const number = fc.double({ min: minimum, max: Math.max(maximum ?? 64, minimum), noNaN: true })
  const whole = fc.integer({ min: minimum, max: maximum ?? 2 ** 40 })
  if (type === 'integer') return whole
  if (type === 'number') return number
  if (type === 'boolean') return fc.boolean()
  if (type === 'table') return fc.dictionary(fc.string(), leaf)
  if (type === 'text')
    return choices === undefined ? fc.string({ minLength: notEmpty ? 1 : 0 }) : fc.constantFrom(...choices)
  if (type === 'range') return fc.tuple(number, number)
  return fc.oneof(whole, fc.tuple(whole, whole))
}

/** A table with right values of some of its options, without those that tell the kind. */
function tableAt(level: OptionLevel): fc.Arbitrary<Record<string, unknown>> {
  const own = rows.filter(
    ({ name, levels }) => levels.includes(level) && !['metadata_file', 'image_dir'].includes(name),
  )
  const spellings = own.flatMap((row) => [[row.name, row] as const, ...(row.alias ? [[row.alias, row] as const] : [])])
  const entry = fc.constantFrom(...spellings).chain(([name, row]) => rightValue(row).map((value) => [name, value]))
  return fc.array(entry, { maxLength: 3 }).map((entries) => Object.fromEntries(entries))
}

const identity = fc.constantFrom({ image_dir: 'a' }, { image_dir: 'a' }, { metadata_file: 'm.json' }, {})
const withNoise = <T extends Record<string, unknown>>(table: fc.Arbitrary<T>): fc.Arbitrary<Record<string, unknown>> =>
  fc.oneof(
    { weight: 9, arbitrary: table as fc.Arbitrary<Record<string, unknown>> },
    { weight: 1, arbitrary: fc.tuple(table, anyKey, leaf).map(([all, key, value]) => ({ ...all, [key]: value })) },
  )
const subset = withNoise(fc.tuple(tableAt('subset'), identity).map(([table, own]) => ({ ...table, ...own })))
const dataset = withNoise(
  fc.tuple(tableAt('dataset'), fc.array(subset, { maxLength: 2 })).map(([table, subsets]) => ({ ...table, subsets })),
)

/** Configurations of which some are right and most are nearly so. */
export const nearlyRight = fc.record(
  { general: withNoise(tableAt('general')), datasets: fc.array(dataset, { maxLength: 2 }) },
  { requiredKeys: ['datasets'] },
)

/** The least that a configuration must have to be resolved, with some options that go with anything. */
export const right = fc
  .tuple(
    fc.record({ flip_aug: fc.boolean(), num_repeats: fc.integer(), caption_prefix: fc.string() }, { requiredKeys: [] }),
    fc.array(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 3 }),
  )
  .map(([general, folders]) => ({
    general,
    datasets: [{ resolution: 512, subsets: folders.map((image_dir) => ({ image_dir })) }],
  }))
