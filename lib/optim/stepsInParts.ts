import type { Optimizer } from './optimizer.ts'

/**
 * Whether the optimizers of a class have a step that can be taken parameter by parameter: they have `beginStep`, and no class between
 * the one that wrote it and this one has replaced `step`, which may couple parameters then.
 */
export function stepsInParts(Class: { readonly prototype: Optimizer }): boolean {
  for (let each: object | null = Class.prototype; each !== null; each = Object.getPrototypeOf(each)) {
    if (Object.hasOwn(each, 'beginStep')) return true
    if (Object.hasOwn(each, 'step')) return false
  }
  return false
}
