/** A checker of JSON Schemas for the keywords that ours use; any other keyword is an error, so that none is passed over. */

const annotations = new Set(['$schema', 'title', 'description', 'default'])

type Schema = boolean | Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function hasType(type: unknown, value: unknown): boolean {
  // Beyond these a number is not told from its neighbours: the loader refuses it.
  if (type === 'integer') return Number.isSafeInteger(value)
  if (type === 'array') return Array.isArray(value)
  if (type === 'object') return isObject(value)
  return typeof value === type
}

const keywords: Readonly<
  Record<string, (rule: never, value: unknown, schema: Readonly<Record<string, unknown>>) => boolean>
> = {
  type: (rule: string, value) => hasType(rule, value),
  enum: (rule: readonly unknown[], value) => rule.includes(value),
  minimum: (rule: number, value) => typeof value !== 'number' || value >= rule,
  maximum: (rule: number, value) => typeof value !== 'number' || value <= rule,
  minLength: (rule: number, value) => typeof value !== 'string' || value.length >= rule,
  minItems: (rule: number, value) => !Array.isArray(value) || value.length >= rule,
  maxItems: (rule: number, value) => !Array.isArray(value) || value.length <= rule,
  items: (rule: Schema, value) => !Array.isArray(value) || value.every((item) => matches(rule, item)),
  required: (rule: readonly string[], value) => !isObject(value) || rule.every((key) => Object.hasOwn(value, key)),
  properties: (rule: Readonly<Record<string, Schema>>, value) =>
    !isObject(value) ||
    Object.entries(value).every(([key, inner]) => !Object.hasOwn(rule, key) || matches(rule[key]!, inner)),
  additionalProperties: (rule: Schema, value, { properties = {} }) =>
    !isObject(value) ||
    Object.entries(value).every(([key, inner]) => Object.hasOwn(properties as object, key) || matches(rule, inner)),
  anyOf: (rule: readonly Schema[], value) => rule.some((schema) => matches(schema, value)),
  oneOf: (rule: readonly Schema[], value) => rule.filter((schema) => matches(schema, value)).length === 1,
}

/** Whether a value is what a schema describes. */
export function matches(schema: Schema, value: unknown): boolean {
  if (typeof schema === 'boolean') return schema
  return Object.entries(schema).every(([keyword, rule]) => {
    if (annotations.has(keyword)) return true
    const check = Object.hasOwn(keywords, keyword) ? keywords[keyword] : undefined
    if (check === undefined) throw new Error(`the checker does not know the keyword ${keyword}`)
    return check(rule as never, value, schema)
  })
}
