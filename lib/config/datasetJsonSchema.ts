/** The dataset configuration as a JSON Schema, made from the table of options, for editors that complete and check TOML and JSON. */
import { type DatasetKind, type DatasetOption, datasetOptions, type OptionLevel } from './datasetOptions.ts'

/** A JSON Schema, draft 2020-12; `false` allows nothing. */
export type JsonSchema = false | { readonly [keyword: string]: unknown }

const kinds: readonly { readonly kind: DatasetKind; readonly key: string; readonly title: string }[] = [
  {
    kind: 'dreambooth',
    key: 'image_dir',
    title: 'DreamBooth: folders of pictures, with captions beside them or without',
  },
  { kind: 'fineTuning', key: 'metadata_file', title: 'Fine-tuning: captions, tags and sizes in metadata files' },
]

/**
 * What may stand in a dataset configuration. Rules between the values of options are not in it; `loadDatasetConfig` knows them.
 *
 *   noisewright schema > dataset.schema.json
 */
export function datasetJsonSchema(): JsonSchema {
  const subsets = {
    description: 'Folders or metadata files, each with what holds for it alone.',
    type: 'array',
    minItems: 1,
    items: table('subset', 'One folder of pictures, or one metadata file.'),
  }
  const dataset = {
    ...table('dataset', 'Subsets of one kind that share a resolution, a batch size and buckets.', { subsets }),
    required: ['subsets'],
    oneOf: kinds.map(datasetOfKind),
  }
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Dataset configuration of noisewright',
    type: 'object',
    additionalProperties: false,
    required: ['datasets'],
    properties: {
      general: table('general', 'What holds for all datasets and subsets that say nothing else.'),
      datasets: { description: 'The data of one training.', type: 'array', minItems: 1, items: dataset },
    },
  }
}

function table(
  level: OptionLevel,
  description: string,
  more: Readonly<Record<string, JsonSchema>> = {},
): JsonSchema & object {
  const properties: Record<string, JsonSchema> = { ...more }
  for (const option of datasetOptions as readonly DatasetOption[]) {
    if (!option.levels.includes(level)) continue
    properties[option.name] = optionSchema(option)
    if (option.alias !== undefined)
      properties[option.alias] = {
        ...optionSchema(option),
        description: `Another spelling of ${option.name}, which it wins over.`,
      }
  }
  return { description, type: 'object', additionalProperties: false, properties }
}

/** What is only said of one kind: the key every subset has, and the keys of the other kind that none has. */
function datasetOfKind({ kind, key, title }: (typeof kinds)[number]): JsonSchema {
  const others = (datasetOptions as readonly DatasetOption[]).filter((option) => (option.kind ?? kind) !== kind)
  const none = (level: OptionLevel): Record<string, JsonSchema> =>
    Object.fromEntries(
      others
        .filter(({ levels }) => levels.includes(level))
        .flatMap(({ name, alias }) => [name, ...(alias === undefined ? [] : [alias])])
        .map((name) => [name, false]),
    )
  const subset = { required: [key], properties: none('subset') }
  return { title, properties: { ...none('dataset'), subsets: { items: subset } } }
}

function optionSchema(option: DatasetOption): JsonSchema & object {
  const { doc: description, default: byDefault } = option
  return { description, ...valueSchema(option), ...(byDefault !== undefined && { default: byDefault }) }
}

function valueSchema({ type, minimum, maximum, choices, notEmpty }: DatasetOption): JsonSchema & object {
  const range = { ...(minimum !== undefined && { minimum }), ...(maximum !== undefined && { maximum }) }
  const pairOf = (items: JsonSchema): JsonSchema & object => ({ type: 'array', items, minItems: 2, maxItems: 2 })
  switch (type) {
    case 'integer':
    case 'number':
      return { type, ...range }
    case 'boolean':
      return { type }
    case 'table':
      return { type: 'object' }
    case 'text':
      return { type: 'string', ...(choices !== undefined && { enum: choices }), ...(notEmpty && { minLength: 1 }) }
    case 'range':
      return pairOf({ type: 'number', ...range })
    case 'resolution': {
      const side = { type: 'integer', ...range }
      return { anyOf: [side, pairOf(side)] }
    }
    default:
      return type satisfies never
  }
}
