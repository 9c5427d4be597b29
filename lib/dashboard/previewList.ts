import { randomBytes } from 'node:crypto'
import type { PreviewEvent } from '../train/events.ts'

/** A preview picture as the page knows it: by an id that says nothing of the file. */
export interface ShownPreview {
  readonly id: string
  readonly prompt: string
  readonly promptIndex: number
  readonly seed: number | null
  readonly step: number
  readonly epoch: number
}

/** The pictures that can be looked at. When they become too many, every second step's are let go, but the first and the last. */
export class PreviewList {
  readonly #limit: number
  #previews: readonly ShownPreview[] = []
  readonly #paths = new Map<string, string>()

  constructor(limit = 1000) {
    this.#limit = limit
  }

  get all(): readonly ShownPreview[] {
    return this.#previews
  }

  add({ path, prompt, promptIndex = 0, seed, step, epoch }: PreviewEvent): ShownPreview {
    const preview = { id: randomBytes(16).toString('base64url'), prompt, promptIndex, seed: seed ?? null, step, epoch }
    this.#paths.set(preview.id, path)
    this.#previews = [...this.#previews, preview]
    if (this.#previews.length > this.#limit) this.#thin()
    return preview
  }

  /** The file of a picture; undefined for an id that was not given out or has been let go. */
  pathOf(id: string): string | undefined {
    return this.#paths.get(id)
  }

  #thin(): void {
    const steps = [...new Set(this.#previews.map(({ step }) => step))]
    const kept = new Set(steps.filter((_, i) => i % 2 === 0 || i === steps.length - 1))
    this.#previews = this.#previews.filter(({ step }) => kept.has(step))
    const ids = new Set(this.#previews.map(({ id }) => id))
    for (const id of this.#paths.keys()) if (!ids.has(id)) this.#paths.delete(id)
  }
}
